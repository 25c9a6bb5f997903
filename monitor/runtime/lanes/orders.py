"""The messages between the daemon and a worker: orders, and their answers.

Rows are numbered within the worker's part. Does not handle: how messages travel (``workers``) and what a worker does
with them (``worker``).
"""

from dataclasses import dataclass

from monitor.core.arrays import Arrays
from monitor.core.learning.block_sums import Context
from monitor.core.learning.gather import Gathered
from monitor.core.scoring.alarm import Changes
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.interval.head import Head
from monitor.model.artefact.artefact import Artefact
from monitor.model.engines.engines import EngineName
from monitor.runtime.lanes.closed import Closed
from monitor.runtime.lanes.lane import LaneShape


@dataclass(frozen=True, slots=True)
class Start:
    """The first message to a worker: what to run."""

    shape: LaneShape
    """Sizes of the whole lane."""
    part: int
    """Number of the worker's part, from 0."""
    artefact: Artefact
    """The model."""
    engine: EngineName
    """Library that runs the model."""
    batches: "Batches"
    """Limits of a batch."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Limits of a batch."""

    max_batch: int = 1024
    """Most blocks in a batch."""
    max_delay_s: float = 0.005
    """Pause when no block is due; the next batch fills meanwhile."""


@dataclass(frozen=True, slots=True)
class Clear:
    """Reset a row for another channel."""

    row: int
    """The row, in the worker's part."""
    received: int
    """Blocks that the row's ring has seen so far."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep a calibration; later orders refer to it by its number."""

    number: int
    """Identifies the calibration."""
    calibration: Calibration | None
    """The calibration; None: forget the one with this number."""


@dataclass(frozen=True, slots=True)
class Configure:
    """Set a row's settings; its accumulated evidence is reset."""

    row: int
    """The row, in the worker's part."""
    interval_blocks: int
    """Blocks in an interval."""
    warmup_blocks: int
    """Blocks at the start of a context that are not scored."""
    calibration: int | None = None
    """Number of its calibration; None: it has none."""
    limit: float = 0.0
    """Surprise at which the alarm limit is reached."""
    wrong_rate: bool = False
    """Whether the configured rate differs from the calibration's."""
    sampling_rate_hz: float = 0.0
    """The configured rate; 0: not known, so there are no figures of whole records."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The measured rate of a row became wrong, or right again; its evidence and its alarm stay."""

    row: int
    """The row, in the worker's part."""
    wrong_rate: bool
    """Whether samples arrive at another rate than the configured one."""


@dataclass(frozen=True, slots=True)
class Gather:
    """Have a row's channel learn, after :class:`Configure`; the same number goes on where it is."""

    row: int
    """The row, in the worker's part."""
    number: int
    """Identifies the learning."""
    names: tuple[str, ...] = ()
    """Measured quantities that are learned."""
    settle: int = 0
    """Intervals that are left out after a long standstill."""
    settling: int = 0
    """Intervals that are left out at first."""
    seen: int = 0
    """Intervals that were seen in an earlier run."""
    left_out: tuple[int, ...] = ()
    """Intervals that were left out in an earlier run, by reason."""
    head: Head | None = None
    """Its head; None: not fitted yet. That of a calibration goes first."""
    level_mps2: float = 0.0
    """RMS of the running machine; 0: not known."""
    only_unknown: bool = False
    """Whether to gather only what its calibration refuses as an unknown condition."""


@dataclass(frozen=True, slots=True)
class TakeTurn:
    """Take blocks for the head of a row's channel; :class:`HeadBlocks` answers."""

    row: int
    """The row, in the worker's part."""
    every: int
    """Blocks are taken from every so many intervals; 0: give the turn back."""


@dataclass(frozen=True, slots=True)
class Restore:
    """Restore the state that an earlier run saved of a row's channel."""

    row: int
    """The row, in the worker's part."""
    arrays: Arrays
    """State of one channel, from :class:`Collected`."""
    counters: bool
    """Whether to restore the board's counters too."""
    resume_at: int | None = None
    """Stream index up to which another process scored it: it goes on there; None: it begins anew."""


@dataclass(frozen=True, slots=True)
class Collect:
    """Ask for the state of rows."""

    number: int
    """Identifies the question; the answer repeats it."""
    rows: tuple[int, ...]
    """The rows, in the worker's part."""
    last: bool = False
    """Whether the worker ends after its answer."""
    points: bool = False
    """Whether to answer also where another process can go on; the worker keeps it from the first such question on."""


@dataclass(frozen=True, slots=True)
class Report:
    """Hand over every interval that a channel with a calibration closes from now on, as :class:`Closed`; or end it."""

    wanted: bool
    """Whether they are wanted."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the worker."""


Order = Clear | Keep | Configure | Measured | Gather | TakeTurn | Restore | Collect | Report | Batches | Stop


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has loaded its model."""

    engine: str
    """Engine that runs it."""
    device: str
    """Processor that runs it, for example ``cpu``."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The engine cannot run the model."""

    reason: str
    """The engine's error, for a person."""


@dataclass(frozen=True, slots=True)
class Collected:
    """The answer to :class:`Collect`."""

    number: int
    """Number of the question."""
    arrays: Arrays
    """(rows, ...) their state."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker ends because of an unexpected error."""

    traceback: str
    """Python's traceback of the error."""


@dataclass(frozen=True, slots=True)
class HeadBlocks:
    """The answer to :class:`TakeTurn`."""

    number: int
    """Number of the learning."""
    blocks: Context
    """Blocks to fit a head to."""
    foreseen: bool
    """Whether the network had a usable forecast of all of them."""


Answer = Ready | Refused | Collected | Failed | Changes | Gathered | HeadBlocks | Closed
