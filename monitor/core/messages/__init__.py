"""From the bytes of one message to its samples: every payload is checked and bounded here, once.

``decode`` is where it begins.
"""
