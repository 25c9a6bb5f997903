"""The model directory: written, checked, read."""
