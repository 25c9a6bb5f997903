"""What each channel was learned from, and its changes by a person."""
