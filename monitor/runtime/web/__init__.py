"""The HTTP server: metrics, health checks, the API, the live page."""
