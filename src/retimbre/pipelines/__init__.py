"""Several models that speak together."""
