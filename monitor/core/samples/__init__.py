"""What arrived of every channel: samples in rings, in records without a break, and the quantities measured beside."""
