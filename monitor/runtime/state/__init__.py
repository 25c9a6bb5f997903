"""The state that survives a restart: its file format, and saving and restoring it."""
