"""Channels learn what is healthy from their own life."""
