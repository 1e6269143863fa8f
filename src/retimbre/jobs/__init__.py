"""Run one function over many items, or in one process only; knows no speech."""
