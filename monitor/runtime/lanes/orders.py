"""What the daemon orders a worker to do, and what the worker says.

Rows are those of the worker's part. Refuses to know: how these travel, who carries them out.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.core.scoring.alarm import Changes
from monitor.core.scoring.calibration import Calibration
from monitor.model.artefact.artefact import Artefact
from monitor.model.engines.engines import EngineName
from monitor.runtime.lanes.lane import LaneShape

Arrays = dict[str, npt.NDArray[np.generic]]
"""What is kept of a channel, by name; of several channels, with an axis in front."""


@dataclass(frozen=True, slots=True)
class Start:
    """The first message: what to run."""

    shape: LaneShape
    """Of the whole lane."""
    part: int
    """Number of the part."""
    artefact: Artefact
    """The model."""
    engine: EngineName
    """What runs it."""
    batches: "Batches"
    """How to batch."""


@dataclass(frozen=True, slots=True)
class Batches:
    """How blocks become batches."""

    max_batch: int = 1024
    """Most blocks in one."""
    max_delay_s: float = 0.005
    """Pause when nothing is due, during which the next one fills."""


@dataclass(frozen=True, slots=True)
class Clear:
    """Another channel moves into a row: forget what is known of the one before."""

    row: int
    """Which."""
    received: int
    """Blocks that the row's ring has seen."""


@dataclass(frozen=True, slots=True)
class Learn:
    """A calibration that is spoken of by its number from now on; None: never again."""

    number: int
    """Its number."""
    calibration: Calibration | None
    """What it is."""


@dataclass(frozen=True, slots=True)
class Configure:
    """A row's settings; its accumulated evidence begins anew."""

    row: int
    """Which."""
    interval_blocks: int
    """Blocks in an interval."""
    warmup_blocks: int
    """Blocks of a context that are not scored."""
    calibration: int | None = None
    """Number of its calibration."""
    limit: float = 0.0
    """Surprise at the limit."""
    wrong_rate: bool = False
    """Whether the rate is not the calibration's."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Whether the samples of a row arrive at another rate than the configured one; its evidence and alarm stay."""

    row: int
    """Which."""
    wrong_rate: bool
    """Whether they do."""


@dataclass(frozen=True, slots=True)
class Restore:
    """What a run before knew of the channel in a row."""

    row: int
    """Which."""
    arrays: Arrays
    """From :class:`Collected`, of one channel."""
    counters: bool
    """Whether the board's counters go on as well."""


@dataclass(frozen=True, slots=True)
class Collect:
    """Say what is known of rows."""

    number: int
    """Of the question."""
    rows: tuple[int, ...]
    """Which."""
    last: bool = False
    """Whether to end after that."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End."""


Order = Clear | Learn | Configure | Measured | Restore | Collect | Batches | Stop


@dataclass(frozen=True, slots=True)
class Ready:
    """The model runs."""

    engine: str
    """On which engine."""
    device: str
    """On what."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The model cannot be run."""

    reason: str
    """Why."""


@dataclass(frozen=True, slots=True)
class Collected:
    """The answer to :class:`Collect`."""

    number: int
    """Of the question."""
    arrays: Arrays
    """(rows, ...) what is known."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker ends because of an error."""

    traceback: str
    """What happened."""


Answer = Ready | Refused | Collected | Failed | Changes
