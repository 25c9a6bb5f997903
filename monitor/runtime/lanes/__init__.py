"""Forecasts and scores, computed by worker processes over shared memory."""
