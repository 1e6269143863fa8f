"""How good is it, in numbers; each file one measure with its unit."""
