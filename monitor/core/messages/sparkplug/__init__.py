"""Sparkplug B: payloads, the topics of its messages, and what births say of later data."""
