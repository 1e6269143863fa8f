"""Network parts that two families share."""
