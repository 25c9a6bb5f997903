"""Listens to one channel: joins what its ring holds, look by look, to records that are longer than a ring.

It reads what the rings hold anyway, so no message waits for it. Missing samples end a record; the next begins another.
The speed of the shaft is noted beside the samples.
"""

import math

import numpy as np

from monitor.config.sensors import SPEED
from monitor.core.arrays import Float32, Float64
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.lane import Lane

LISTEN_S = 12.0
"""Seconds of samples that are wanted. Fewer: cage and sidebands are not told apart. More: a name comes later."""

LISTEN_TURNS = 400.0
"""Turns of the shaft that are wanted, if that takes longer; see ``naming.TURNS``."""

LONGEST_LISTEN_S = 40.0
"""Most seconds that are wanted, however slow the shaft is."""

MOST_SAMPLES = 2**21
"""Most samples of all records together, 8 MB."""

PATIENCE_S = 90.0
"""Seconds after which what came has to do."""

LEAST_SAMPLES = 256
"""Samples of a record, at least."""

STEADY = 0.002
"""Relative range of a measured speed up to which it counts as constant. Lower: its noise smears the lines. Higher: the
smearing of a real change stays."""


class Listening:
    """Records of one channel, being collected."""

    def __init__(self, channel: Channel, lane: Lane, now_s: float) -> None:
        self.channel = channel
        self.lane = lane
        self._began_s = now_s
        self._end: int | None = None
        self._pieces: list[list[Float32]] = []
        self._starts: list[int] = []
        self._speeds: list[tuple[int, float]] = []
        self._received = 0

    @property
    def pause_s(self) -> float:
        """Seconds until the next look, before the ring has forgotten anything."""
        rings = self.lane.rings
        held_s = rings.capacity_blocks * rings.block_samples / self.channel.sensor.sampling_rate_hz
        return float(np.clip(held_s / 4, 0.02, 0.5))

    def look(self, now_s: float) -> bool:
        """Take what is new; returns whether it is enough, or the patience is over."""
        rings, row, rate_hz = self.lane.rings, self.channel.row, self.channel.sensor.sampling_rate_hz
        following = rings.next_sample(row)
        held = rings.capacity_blocks * rings.block_samples
        new = held if self._end is None or following < self._end else min(held, following - self._end)
        start, samples = rings.recent(row, new)
        if samples.size:
            if start != self._end or not self._pieces:
                self._pieces.append([])
                self._starts.append(start)
            self._pieces[-1].append(samples)
            self._received += samples.size
        self._end = following
        speed_rpm = self._speed_rpm(now_s)
        self._speeds.append((following, speed_rpm))
        turning = speed_rpm if speed_rpm > 0 else math.nan
        wanted_s = np.fmin(np.fmax(LISTEN_S, LISTEN_TURNS * 60 / turning), LONGEST_LISTEN_S)
        enough = self._received >= min(wanted_s * rate_hz, MOST_SAMPLES)
        return bool(enough or now_s - self._began_s > PATIENCE_S)

    def _speed_rpm(self, now_s: float) -> float:
        """The speed now; NaN: not known."""
        sensor = self.channel.sensor
        if SPEED not in sensor.conditions:
            return math.nan if sensor.machine.speed_rpm is None else sensor.machine.speed_rpm
        conditions = self.lane.conditions
        values = conditions.of(np.array([self.channel.row]), now_s)[0]
        return float(values[conditions.names.index(SPEED)]) if SPEED in conditions.names else math.nan

    def records(self) -> list[Float32]:
        """What was collected, (n,) each, without what is too short."""
        return [np.concatenate(pieces) for pieces in self._pieces if sum(map(len, pieces)) >= LEAST_SAMPLES]

    def speeds(self) -> list[Float64] | None:
        """Turns a minute at each sample of each record; None: not known, or the shaft stands."""
        known = [(at, rpm) for at, rpm in self._speeds if rpm > 0]
        if not known or len(known) < len(self._speeds) / 2:
            return None
        at, rpm = np.array(known).T
        if np.ptp(rpm) <= STEADY * rpm.mean():
            rpm[:] = rpm.mean()
        found = []
        for start, pieces in zip(self._starts, self._pieces, strict=True):
            size = sum(map(len, pieces))
            if size >= LEAST_SAMPLES:
                found.append(np.interp(start + np.arange(size), at, rpm))
        return found
