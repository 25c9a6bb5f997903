"""A channel's forecast: its level, the next block, the gap to what came, and points where another process goes on."""
