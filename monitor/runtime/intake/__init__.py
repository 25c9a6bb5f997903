"""From the broker to the rings."""
