"""The model directory: writing, checking and reading its files."""
