"""Which intervals of a channel's life are kept for learning: a bounded number, evenly spread, in pieces.

Intervals are numbered in the order in which they came. Consecutive ones make a piece of two spans, which is what the
conditions are learned from (:mod:`monitor.core.learning.condition_fit`). A piece is kept whole or not at all, so the
intervals of a span always follow one another. At first every piece is kept, then every second, every fourth, and so on,
each time when the bound is reached. So the kept pieces are evenly spread over all that was seen, and a stretch of time
is a number of consecutive pieces however many were left out. What is kept depends on the numbers only: the same
intervals are kept whether they came in one run or with a restart between them.
"""

import numpy as np

from monitor.core.arrays import Bool, Int64

PIECE_INTERVALS = 16
"""Intervals of a piece: two spans. Fewer: spans would mix what lies far apart. More: fewer pieces, so that a condition
of a few minutes a day may never be seen."""

MOST_INTERVALS = 1408
"""Most kept intervals: 88 pieces, over a week one every two to four hours. Fewer: conditions are missed, and limits
are less certain. More: more disk, 124 bytes each and 4 for each measured quantity."""


def every(seen: Int64 | int) -> Int64:
    """How many pieces there are for each kept one, after ``seen`` intervals: a power of two."""
    pieces = -(-np.asarray(seen, np.int64) // PIECE_INTERVALS)
    most = MOST_INTERVALS // PIECE_INTERVALS
    exponent = np.ceil(np.log2(np.maximum(pieces, most) / most))
    return np.asarray(2 ** exponent.astype(np.int64))


def kept(numbers: Int64, seen: Int64 | int) -> Bool:
    """Whether the intervals with these numbers, from 0, are kept after ``seen`` intervals."""
    return np.asarray(numbers // PIECE_INTERVALS % every(seen) == 0)
