"""Recordings to and from a broker: replaying and recording."""
