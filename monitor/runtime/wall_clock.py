"""From monotonic instants to wall time, in one place.

Durations and instants inside the daemon are monotonic. What leaves it (metrics, events, captures) carries UNIX seconds.
The difference between the two clocks is kept, so that one instant always maps to one wall time, until the wall clock
steps (NTP after a start, a person, a resumed virtual machine): then it is taken anew.
"""

import logging
from collections.abc import Callable

LOG = logging.getLogger(__name__)

STEP_S = 1.0
"""Deviation from which the wall clock counts as stepped. Smaller: an NTP client that slews the clock makes the time
stamps of silent channels wander. Larger: stamps are wrong by as much."""


class WallClock:
    """Maps monotonic seconds to UNIX seconds."""

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        """Take the difference of two clocks.

        Args:
            wall: UNIX seconds.
            monotonic: monotonic seconds.
        """
        self._wall = wall
        self._monotonic = monotonic
        self._offset_s = wall() - monotonic()

    @property
    def offset_s(self) -> float:
        """Add to a monotonic instant to get UNIX seconds."""
        offset_s = self._wall() - self._monotonic()
        stepped_s = offset_s - self._offset_s
        if abs(stepped_s) > STEP_S:
            LOG.warning("the wall clock stepped: by_s=%.1f", stepped_s)
            self._offset_s = offset_s
        return self._offset_s

    def now_s(self) -> float:
        """UNIX seconds now."""
        return self.unix_s(self._monotonic())

    def unix_s(self, monotonic_s: float) -> float:
        """UNIX seconds of a monotonic instant."""
        return monotonic_s + self.offset_s
