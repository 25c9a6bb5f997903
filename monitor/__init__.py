"""Forecast machine vibration and export the gap between forecast and measurement as Prometheus metrics."""

__version__ = "0.1.0"
