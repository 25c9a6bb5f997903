"""Recordings to and from an MQTT broker: replaying and recording."""
