"""What happens when an alarm state changes."""
