"""Recordings to the broker and from it."""
