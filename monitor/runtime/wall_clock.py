"""Converts monotonic instants to wall time.

Durations and instants inside the daemon are monotonic. Metrics, events and captures carry UNIX seconds. The offset
between the two clocks is stored, so an instant always maps to the same wall time. It is measured again only when the
wall clock steps: NTP after a start, a manual change, a resumed virtual machine.
"""

import logging
from collections.abc import Callable

LOG = logging.getLogger(__name__)

STEP_S = 1.0
"""Deviation above which the wall clock counts as stepped. Smaller: time stamps of silent channels drift while an NTP
client slews the clock. Larger: time stamps may be wrong by as much."""


class WallClock:
    """Maps monotonic seconds to UNIX seconds."""

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        """Measure the offset between two clocks.

        Args:
            wall: returns UNIX seconds.
            monotonic: returns monotonic seconds.
        """
        self._wall = wall
        self._monotonic = monotonic
        self._offset_s = wall() - monotonic()

    @property
    def offset_s(self) -> float:
        """UNIX seconds minus monotonic seconds; checks for a step of the wall clock."""
        offset_s = self._wall() - self._monotonic()
        stepped_s = offset_s - self._offset_s
        if abs(stepped_s) > STEP_S:
            LOG.warning("the wall clock stepped: by_s=%.1f", stepped_s)
            self._offset_s = offset_s
        return self._offset_s

    def monotonic_s(self) -> float:
        """Monotonic seconds now."""
        return self._monotonic()

    def now_s(self) -> float:
        """UNIX seconds now."""
        return self.unix_s(self._monotonic())

    def unix_s(self, monotonic_s: float) -> float:
        """UNIX seconds of a monotonic instant."""
        return monotonic_s + self.offset_s
