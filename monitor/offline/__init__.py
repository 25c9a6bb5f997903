"""Recordings through the daemon's own pipeline: backtest and calibration."""
