"""Recordings: reading and writing them."""
