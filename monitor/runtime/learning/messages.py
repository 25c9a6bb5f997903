"""The messages between the daemon and its learner, the process that keeps and fits what channels learn from."""

from dataclasses import dataclass

from monitor.core.arrays import Float64
from monitor.core.learning.block_sums import Context
from monitor.core.learning.bursts import Burst
from monitor.core.learning.gather import Gathered
from monitor.core.learning.head_fit import Fitted
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.interval.head import Head
from monitor.runtime.learning.progress import HowFar

CHANGED = "the channel has changed since"
"""Why a file is not used that was made under another key."""

NOT_COME = "what the worker before kept of the channel did not come along"
"""Why a channel that another worker had begins anew."""


@dataclass(frozen=True, slots=True)
class Open:
    """Take up the learning of a channel: what an earlier run kept, or nothing."""

    number: int
    """Identifies the learning."""
    name: str
    """Name of the channel's file, without suffix."""
    key: str
    """Everything that what is learned depends on; a file with another key is not used."""
    names: tuple[str, ...]
    """Names of the measured quantities."""
    block_samples: int
    """Samples in a block."""
    fitted: Fitted | None = None
    """The head of the baseline that goes on judging meanwhile; None: one is fitted."""
    level_mps2: float = 0.0
    """RMS that belongs to it."""
    burst: Burst | None = None
    """What the sensor sends at a time; None: a stream."""
    extend: bool = False
    """Whether what comes now extends what is kept."""
    brought: HowFar | None = None
    """How far another worker was with the channel, which it had last; None: it had not, or that is not known."""


@dataclass(frozen=True, slots=True)
class Close:
    """The channel does not learn any more."""

    number: int
    """The learning."""
    forget: bool
    """Whether to delete what was kept."""


@dataclass(frozen=True, slots=True)
class Feed:
    """What was gathered."""

    gathered: Gathered
    """Of any channels."""
    wall_offset_s: float
    """UNIX seconds minus those in ``gathered``."""


@dataclass(frozen=True, slots=True)
class FitHead:
    """Fit a head."""

    number: int
    """The learning."""
    blocks: Context
    """Blocks to fit it to."""
    foreseen: bool
    """Whether the network's forecasts of them are usable."""


@dataclass(frozen=True, slots=True)
class Calibrate:
    """Make a calibration from what is kept."""

    number: int
    """The learning."""
    interval_blocks: int
    """Scored blocks in an interval."""
    warmup_blocks: int
    """Blocks left out at the start of each context."""
    sampling_rate_hz: float
    """Sampling rate."""
    interval_s: float | None = None
    """For bursts, seconds from one to the next."""


Job = Open | Close | Feed | FitHead | Calibrate


@dataclass(frozen=True, slots=True)
class Opened:
    """The answer to :class:`Open`."""

    number: int
    """The learning."""
    head: Head | None
    """Its head; None: not fitted yet."""
    level_mps2: float
    """RMS of the running machine; 0 without a head."""
    seen: int
    """Intervals seen so far."""
    left_out: tuple[int, ...]
    """Intervals left out so far, by reason; empty: none."""
    problem: str
    """Why a file that was there is not used; empty: it is, or there was none."""
    known: int = 0
    """Intervals of those seen that made the baseline that is extended."""
    digest: str = ""
    """Digest of the head; empty: there is none."""


@dataclass(frozen=True, slots=True)
class HeadFitted:
    """The answer to :class:`FitHead`."""

    number: int
    """The learning."""
    head: Head
    """The head."""
    level_mps2: float
    """RMS of the blocks."""
    digest: str
    """Digest of the head."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The answer to :class:`Calibrate`."""

    number: int
    """The learning."""
    calibration: Calibration
    """The calibration."""
    from_s: float
    """UNIX seconds of the first interval that it was made from."""
    to_s: float
    """UNIX seconds of the last."""
    curve: Float64
    """How new each stretch of time was; see :func:`monitor.core.learning.condition_fit.novelty`."""
    moving: bool
    """Whether the channel kept moving away."""
    aside: tuple[tuple[float, float, int], ...]
    """What was set aside: first and last UNIX seconds, and the number of kept intervals, of each stretch."""


@dataclass(frozen=True, slots=True)
class Unable:
    """A job could not be done."""

    number: int
    """The learning."""
    job: str
    """What was to be done."""
    reason: str
    """Why not, for a person."""


@dataclass(frozen=True, slots=True)
class Unsaved:
    """What was gathered could not be written, and is lost."""

    intervals: int
    """How many intervals."""
    reason: str
    """Why, for a person."""


Answer = Opened | HeadFitted | Calibrated | Unable | Unsaved
