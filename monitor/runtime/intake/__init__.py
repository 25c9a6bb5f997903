"""From the broker to the rings: sources, messages, channels.

``ingest`` is where every message goes.
"""
