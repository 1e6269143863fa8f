"""Sound as numbers; nothing is learned here."""
