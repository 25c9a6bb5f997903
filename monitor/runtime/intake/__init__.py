"""From the broker to the rings: sources, messages, channels."""
