"""Run one function over many items; knows no speech."""
