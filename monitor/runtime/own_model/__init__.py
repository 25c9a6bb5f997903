"""A plant's own model: the daemon samples its channels, has it trained, and forecasts with it if it is better."""
