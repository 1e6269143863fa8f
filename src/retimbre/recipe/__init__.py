"""Files that describe a run."""
