"""One channel as the event loop knows it: where it comes from, where it goes to, and what was counted of it."""

from dataclasses import dataclass

from monitor.config import Sensor
from monitor.core.calibration import Calibration


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
    first_block: int = 0
    """What to take off the blocks that its row's ring has seen: those of others before it; less its own of runs before
    this one."""
    key: str = ""
    """What its state depends on; state with another key is not its own."""
    calibration: Calibration | None = None
    """What its scores are relative to, None without one."""
    settings: object = None
    """What its row was last configured with, beside the calibration."""

    @property
    def name(self) -> str:
        """The labels, readable: ``machine/sensor/axis``."""
        return "/".join(value for value in self.labels if value)

    def restart_measurement(self, now_s: float, coming: int = 0) -> None:
        """Count from now on what arrives; ``coming``: samples of now that are not received yet."""
        self.measured_from_s = now_s
        self.measured_from_samples = self.samples_received + coming
