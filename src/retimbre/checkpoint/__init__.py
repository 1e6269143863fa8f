"""Files with weights, read without running anything inside."""
