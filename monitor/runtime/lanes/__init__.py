"""Forecasts and scores, in worker processes over shared memory."""
