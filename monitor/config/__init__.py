"""The configuration: what its keys mean, and its file."""
