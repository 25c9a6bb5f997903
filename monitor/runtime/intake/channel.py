"""One channel as the event loop knows it: where it comes from, where it goes to, and what was counted of it."""

import math
from dataclasses import dataclass

from monitor.config import Sensor
from monitor.core.scoring.calibration import Calibration

COUNTERS = {
    "samples_received": ("vibration_samples_received_total", "Samples taken into the buffer."),
    "samples_missing": ("vibration_samples_missing_total", "Samples known to be missing between messages."),
    "samples_repeated": ("vibration_samples_repeated_total", "Samples of messages that came twice, dropped."),
    "samples_late": ("vibration_samples_late_total", "Samples of messages overtaken by their successors, dropped."),
}
"""Field of a channel: metric name and help."""

RARE = {
    "samples_reordered": ("vibration_samples_reordered_total", "Samples of overtaken messages, put in their place."),
    "samples_incomplete": ("vibration_samples_incomplete_total", "Samples of blocks that were given up incomplete."),
    "samples_unfitting": ("vibration_samples_unfitting_total", "Samples that found no room in the buffer."),
    "clock_steps": ("vibration_clock_steps_total", "Times the sensor's clock was found to be set anew."),
}
"""The same of what most channels never have: a series appears only where there is something to tell."""


@dataclass(slots=True)
class Channel:
    """One axis of one sensor, as far as the event loop knows it; counters only grow."""

    labels: tuple[str, ...]
    """Values of the configuration's label names, in their order."""
    topic: str
    """Where its messages come from."""
    sensor: Sensor
    """How its messages are read."""
    model: str
    """The lane it belongs to."""
    row: int
    """Its row in that lane's arrays."""
    samples_received: int = 0
    """Samples that went into the ring."""
    samples_missing: int = 0
    """Samples known to be missing between messages."""
    samples_repeated: int = 0
    """Samples of messages that came twice."""
    samples_late: int = 0
    """Samples of messages that came after their successors."""
    samples_reordered: int = 0
    """Samples of messages that were overtaken by others and put back in their place."""
    samples_incomplete: int = 0
    """Samples of blocks that were given up because samples after their beginning were missing."""
    samples_unfitting: int = 0
    """Samples that found no room because inference was a whole buffer behind."""
    clock_steps: int = 0
    """Times the sensor's clock was found to be set anew."""
    blocks_incomplete: int = 0
    """Blocks given up because samples after their beginning were missing."""
    last_sample_s: float = 0.0
    """Monotonic instant of the last samples."""
    hole_samples: int = 0
    """Samples of messages that were rejected since the last one that was used."""
    measured_from_s: float = 0.0
    """Monotonic instant from which samples came without a break; 0: none came in this run."""
    measured_from_samples: int = 0
    """``samples_received`` at that instant."""
    rate_hz: float = math.nan
    """Samples that arrived a second, over the last minute without a break; NaN: there was none yet."""
    wrong_rate: bool = False
    """Whether that is too far from the configured rate."""
    half: tuple[float, float] = (0.0, math.nan)
    """The last half minute without a break: when it ended, and its samples a second."""
    first_block: int = 0
    """What to take off the blocks that its row's ring has seen: those of others before it; less its own of runs before
    this one."""
    key: str = ""
    """What its state depends on; state with another key is not its own."""
    calibration: Calibration | None = None
    """What its scores are relative to, None without one."""
    settings: object = None
    """What its row was last configured with, beside the calibration."""
    heard: bool = True
    """Whether it has ever sent; False for one that the configuration expects and nobody has met yet."""
    event: str = ""
    """The last event of its alarm state, as JSON; empty: there was none."""

    @property
    def name(self) -> str:
        """The labels, readable: ``machine/sensor/axis``."""
        return "/".join(value for value in self.labels if value)

    def restart_measurement(self, now_s: float, coming: int = 0) -> None:
        """Count from now on what arrives; ``coming``: samples of now that are not received yet."""
        self.measured_from_s = now_s
        self.measured_from_samples = self.samples_received + coming
