"""The HTTP server: metrics, health, the live page."""
