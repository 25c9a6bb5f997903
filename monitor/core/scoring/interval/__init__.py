"""What is measured of an interval: the residual and the whitened bands that a channel's head leaves."""
