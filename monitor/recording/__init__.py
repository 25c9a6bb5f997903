"""Recordings: reading, writing and simulating them."""
