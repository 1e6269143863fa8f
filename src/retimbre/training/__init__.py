"""The only place that updates weights."""
