"""A drive with several speeds: the machine runs at one after the other, and changes between them in a ramp.

The force of an unbalance grows with the square of the speed, and so does the pressure behind a blade. So the whole
vibration is taken to grow with it. Resonances of the housing stay where they are.
"""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from monitor.core.arrays import Float64


@dataclass(frozen=True)
class SpeedTurns:
    """Speeds that take turns, over and over; the first begins at time 0."""

    turns: tuple[tuple[float, float], ...]
    """Relative speed, above 0 and at most 1, and the seconds that it is held, of each turn."""
    ramp_s: float
    """Seconds of each change to the next speed, above 0."""

    def at(self, time_s: Float64) -> Float64:
        """Relative speed at each time, (n,) seconds."""
        lengths = [held_s + self.ramp_s for _, held_s in self.turns]
        ends = list(accumulate(lengths))
        corners = [corner for end, (_, held_s) in zip(ends, self.turns, strict=True)
                   for corner in (end - self.ramp_s - held_s, end - self.ramp_s)]  # fmt: skip
        speeds = [speed for speed, _ in self.turns for _ in range(2)]
        found: Float64 = np.interp(time_s % ends[-1], [*corners, ends[-1]], [*speeds, speeds[0]])
        return found
