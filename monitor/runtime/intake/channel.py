"""One channel as the event loop sees it: its topic, its row in a lane, and its counters."""

import math
from dataclasses import dataclass
from enum import StrEnum

from monitor.config.sensors import Sensor
from monitor.core.arrays import Numbers
from monitor.core.learning.bursts import Burst
from monitor.core.scoring.alarm import State
from monitor.core.scoring.calibration.calibration import Calibration

COUNTERS = {
    "samples_received": ("vibration_samples_received_total", "Samples taken into the buffer."),
    "samples_missing": ("vibration_samples_missing_total", "Samples known to be missing between messages."),
    "samples_repeated": ("vibration_samples_repeated_total", "Samples of messages that came twice, dropped."),
    "samples_late": ("vibration_samples_late_total", "Samples of messages that came after later ones, dropped."),
}
"""Counters of every channel, by field: metric name and help."""

RARE = {
    "samples_reordered": ("vibration_samples_reordered_total", "Samples of messages that were put back in order."),
    "samples_incomplete": ("vibration_samples_incomplete_total", "Samples dropped because their block is incomplete."),
    "samples_unfitting": ("vibration_samples_unfitting_total", "Samples dropped because the buffer was full."),
    "clock_steps": ("vibration_clock_steps_total", "Steps found in the sensor's clock."),
}
"""Counters that stay 0 for most channels: a series is exposed only once it is above 0."""


class ChannelState(StrEnum):
    """What a channel does; each is in exactly one state. The values of the metric's label ``state``."""

    LEARNING = "learning"
    """It has no calibration yet, and learns."""
    PROVISIONAL = "provisional"
    """It is judged by a provisional calibration, and learns on."""
    WATCHED = "watched"
    """It is judged."""
    UNKNOWN_CONDITION = "unknown_condition"
    """The machine runs outside the measured conditions that were learned, and is not judged."""
    STOPPED = "stopped"
    """The machine stands."""
    SILENT = "silent"
    """Nothing has come for ``scoring.silent_after``."""
    UNUSABLE = "unusable"
    """What comes is no measurement of a running machine, or there is no calibration and none is learned."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a channel is that learns."""

    ratio: float
    """Share of the time that it learns, 0 to 1."""
    learned_s: float
    """Seconds of running that it has learned from."""
    phase: str
    """What it does: sampling or training, while it waits for the plant's own model; then opening, settling, turn,
    fitting or gathering."""
    unsteady: bool
    """Whether it keeps moving away."""
    curve: tuple[float, ...]
    """How new each stretch of time was when it came."""
    aside: tuple[tuple[float, float, int], ...]
    """Stretches that nothing else explains: first and last UNIX seconds, and the number of kept intervals."""
    left_out: dict[str, int]
    """Intervals that were left out, by reason."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """That a person has seen a channel's alarm."""

    by: str
    """Who."""
    reason: str
    """What is to be said about it."""
    at_s: float
    """UNIX seconds."""
    state: State
    """The alarm state that was seen."""


@dataclass(slots=True)
class Channel:
    """One axis of one sensor, as the event loop sees it; counters only grow."""

    labels: tuple[str, ...]
    """Values of the configuration's label names, in their order."""
    topic: str
    """Topic of its messages."""
    sensor: Sensor
    """Configuration that its messages are decoded with."""
    model: str
    """Model of its lane, by its name in the configuration."""
    row: int
    """Its row in that lane's arrays."""
    samples_received: int = 0
    """Samples that went into the ring."""
    samples_missing: int = 0
    """Samples known to be missing between messages."""
    samples_repeated: int = 0
    """Samples of duplicate messages, dropped."""
    samples_late: int = 0
    """Samples of messages that came after later ones, dropped."""
    samples_reordered: int = 0
    """Samples of messages that came out of order and were put back in order."""
    samples_incomplete: int = 0
    """Samples of blocks that were dropped because some of their samples were missing."""
    samples_unfitting: int = 0
    """Samples dropped because the ring was full: inference was a whole buffer behind."""
    clock_steps: int = 0
    """Steps found in the sensor's clock."""
    blocks_incomplete: int = 0
    """Blocks dropped because some of their samples were missing."""
    last_sample_s: float = 0.0
    """Monotonic instant of the last samples."""
    hole_samples: int = 0
    """Samples of messages rejected since the last message that was used."""
    lead_samples: int = 0
    """Samples to leave out of the next messages, so that blocks begin where they began in the worker before."""
    measured_from_s: float = 0.0
    """Monotonic instant since which samples came without interruption; 0: none came in this run."""
    measured_from_samples: int = 0
    """``samples_received`` at that instant."""
    rate_hz: float = math.nan
    """Measured samples per second over the last uninterrupted minute; NaN: none yet."""
    wrong_rate: bool = False
    """Whether ``rate_hz`` differs too much from the configured rate."""
    half: tuple[float, float] = (0.0, math.nan)
    """The last uninterrupted half minute: when it ended, and its samples per second."""
    first_block: int = 0
    """Subtract it from the blocks that its row's ring has seen to get its own: the blocks of earlier channels in the
    row, minus its own of earlier runs."""
    key: str = ""
    """Everything that its saved state depends on; state saved with another key is not used."""
    calibration: Calibration | None = None
    """Calibration of its scores; None: it has none."""
    provisional: bool = False
    """Whether its calibration is provisional: it learns on."""
    calibrated_at_s: float = math.nan
    """UNIX seconds at which its calibration was locked; NaN: not known, or it is not locked."""
    baseline_changed: tuple[str, float] | None = None
    """What last happened to its baseline, and when in UNIX seconds; None: nothing yet."""
    burst: Burst | None = None
    """What its sensor sends at a time; None: a stream, or not known."""
    learning: Progress | None = None
    """How far it is; None: it does not learn."""
    settings: object = None
    """Settings that its row was last configured with, apart from the calibration."""
    gone: bool = False
    """Whether it is a channel no more: its row may belong to another one."""
    away: bool = False
    """Whether its sender said that it has ended: it is silent at once, until samples come."""
    heard: bool = True
    """Whether it has ever sent; False for an expected channel that has not sent yet."""
    event: str = ""
    """The last event of its alarm state, as JSON; empty: none yet."""
    alarm_since_s: float = math.nan
    """UNIX seconds since which its alarm state has not been ok; NaN: it is ok, or not known."""
    captured_score: float = math.nan
    """Score at which the beginning of its latest alarm was captured; NaN: none was in this run."""
    acknowledged: Acknowledgement | None = None
    """Who has seen its present alarm; None: nobody, or there is none."""

    @property
    def name(self) -> str:
        """The label values as one text: ``machine/sensor/axis``."""
        return "/".join(value for value in self.labels if value)

    def without_lead(self, samples: Numbers) -> Numbers:
        """The samples of a message, (n,), without those of them that are to be left out."""
        left_out = min(self.lead_samples, len(samples))
        self.lead_samples -= left_out
        return samples[left_out:]

    def restart_measurement(self, now_s: float, coming: int = 0) -> None:
        """Measure the rate from ``now_s`` on, without the ``coming`` samples that are about to be received."""
        self.measured_from_s = now_s
        self.measured_from_samples = self.samples_received + coming
