"""What a calibration is learned from, and how: from healthy blocks to what is normal for a channel."""
