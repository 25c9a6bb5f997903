"""The HTTP server: metrics, health checks, the live page."""
