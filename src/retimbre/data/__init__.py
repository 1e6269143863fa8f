"""From recordings to training material on disk."""
