"""How far a channel is that learns, and the file that holds it for all: the learner writes it, and a start reads it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from monitor.atomic_file import write_atomically
from monitor.core.learning.bursts import Burst
from monitor.core.learning.gather import LEFT_OUT

PROGRESS = "progress.json"
"""Name of the file."""

MOST_BYTES = 1 << 26
"""Largest file that is read."""

Count = Annotated[int, msgspec.Meta(ge=0)]


class HowFar(msgspec.Struct, frozen=True):
    """How far a channel is."""

    key: str
    """Everything that what it learns depends on; see :class:`monitor.runtime.learning.messages.Open`."""
    seen: Count
    """Intervals seen so far."""
    left_out: tuple[Count, ...] = ()
    """Intervals left out so far, by reason; empty: none."""
    burst: Burst | None = None
    """What the sensor sends at a time; None: a stream."""
    known: Count = 0
    """Intervals of those seen that made the baseline that is extended."""
    head: str = ""
    """Digest of the head that its intervals belong to; empty: none is fitted yet, or it is not known."""

    def __post_init__(self) -> None:
        """Refuse what no channel can be.

        Raises:
            ValueError: so it is.
        """
        if len(self.left_out) not in {0, len(LEFT_OUT)}:
            raise ValueError("intervals are left out for other reasons")
        if self.burst is not None and not (self.burst.blocks >= 2 and self.burst.every_s >= 0.0):
            raise ValueError("these are no bursts")


def how_far(document: bytes) -> HowFar | None:
    """What :func:`msgspec.json.encode` made of one; None: it is none."""
    try:
        return msgspec.json.decode(document, type=HowFar)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def read_progress(path: Path) -> dict[str, HowFar]:
    """How far channels were, by the names of their files; empty if it is not known."""
    try:
        with path.open("rb") as file:
            found = msgspec.json.decode(file.read(MOST_BYTES), type=dict[str, msgspec.Raw])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return {name: one for name, text in found.items() if (one := how_far(bytes(text))) is not None}


def write_progress(path: Path, present: Mapping[str, HowFar]) -> None:
    """Write how far channels are, by the names of their files.

    Raises:
        OSError: it cannot be written; the old file stays.
    """
    write_atomically(path, msgspec.json.encode(present))


def bursts_of(folder: Path | None) -> dict[str, Burst]:
    """What sensors send at a time, by the names of their channels' files; streams are left out."""
    found = {} if folder is None else read_progress(folder / PROGRESS)
    return {name: one.burst for name, one in found.items() if one.burst is not None}
