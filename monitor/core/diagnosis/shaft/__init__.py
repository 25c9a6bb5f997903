"""The shaft: how fast it turns, its angle, and its own faults."""
