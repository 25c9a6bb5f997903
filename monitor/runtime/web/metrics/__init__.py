"""The metrics page: what Prometheus reads."""
