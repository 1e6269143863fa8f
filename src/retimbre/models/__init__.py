"""One folder per model family, the same files in each."""
