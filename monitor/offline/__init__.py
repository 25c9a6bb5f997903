"""Recordings through the pipeline of the daemon: backtest, calibration and diagnosis."""
