"""The score of every interval, written to a topic for whoever keeps or joins them."""
