"""Real, base and tuned side by side: one HTML file that opens offline."""
