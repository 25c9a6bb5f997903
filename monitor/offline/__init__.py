"""Recordings through the pipeline of the daemon: backtest and calibration."""
