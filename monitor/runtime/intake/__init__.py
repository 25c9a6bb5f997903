"""From the broker to the rings: connection, messages, channels."""
