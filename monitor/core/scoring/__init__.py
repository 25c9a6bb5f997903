"""From residuals to a score and an alarm state."""
