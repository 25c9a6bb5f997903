"""From the bytes of one message to its samples: the border where all that a sensor sends is typed and bounded."""
