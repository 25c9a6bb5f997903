"""Commands that read, score, make, send and take recordings."""
