"""The HTTP server: metrics, health checks, the API, the live page.

``server`` has the routes, ``table`` the figures of all channels, ``view`` what the daemon shows of itself.
"""
