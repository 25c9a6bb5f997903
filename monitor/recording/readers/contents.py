"""What lies in a recording file, before anybody decides which part of it is the recording.

Every format is one function from a path to :class:`Contents`: the arrays that could be vibration, the facts beside them
(rate, unit, start of each record) and the arrays that cannot be used, with the reason. Opening reads headers only; the
samples come later, a piece at a time. Refuses to know: options, units' meaning, decimation.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from monitor.core.arrays import Numbers
from monitor.errors import RecordingError

Dtype = np.dtype[Any]

MAX_CHANNELS = 64
"""A last axis of at most this many values is read as channels, a longer one as the samples of a record. Lower: arrays
of many axes are taken for records. Higher: very short records are taken for channels; 64 samples are no block yet."""

MAX_WHOLE_BYTES = 2**30
"""Largest array that is taken into memory at once, where its format leaves no other way. One GiB is 3 hours of float64
at 12 kHz; higher and a file can use up a small machine's memory."""

MAX_EXPANSION = 200
EXPANSION_FLOOR_BYTES = 2**26
"""A compressed file that unpacks to more than ``MAX_EXPANSION`` times its size, and to more than 64 MiB, is a bomb:
measured vibration shrinks 1.1 to 5 times. Below the floor even a silent recording (1000 times) may pass."""

RATE_NAMES = ("sampling_rate_hz", "sampling_rate", "sample_rate", "fs", "Fs")
FACT_NAMES = (*RATE_NAMES, "unit", "start_s", "channels")
"""Names beside an array that are facts about it, never samples."""

CLOCKS = frozenset({"", "#", "time", "time_s", "t", "t_s", "timestamp", "seconds", "sample", "index", "unnamed: 0"})
"""Column names of tables that count time or rows and are no channels, in lower case."""


class Layout(NamedTuple):
    """An array of any accepted shape seen as (records, samples, channels)."""

    records: int
    """Contiguous stretches; between them samples are missing."""
    samples: int | None
    """Samples of a record; None when only reading tells (a CSV), and then there is one record."""
    channels: int
    """Values at each instant."""


Frames = Callable[[Layout, int, int], Iterator[Numbers]]
"""From a layout, a channel's index and a maximum of samples: the channel's samples in order, records one after
another, in pieces of at most that many."""


@dataclass(frozen=True)
class Stored:
    """One array in a file that could be a recording."""

    key: str
    """Its name in the file, empty where the format has none."""
    shape: tuple[int | None, ...]
    """As in :class:`Layout` after :func:`arrange`; the first axis is None where only reading tells."""
    frames: Frames
    """Reads it."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Facts about this array alone; they go before those of the file."""


@dataclass(frozen=True)
class Contents:
    """A file's arrays and facts."""

    arrays: Mapping[str, Stored]
    """What could be a recording, by key."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Value of each of ``FACT_NAMES`` that the file gives."""
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Why the other arrays cannot be a recording, by key."""
    key_is_channel: bool = False
    """``FILE#key`` names a column of the only array (CSV, WAV, Parquet)."""


def why_unusable(shape: tuple[int, ...], dtype: Dtype) -> str | None:
    """Why an array of this shape and type cannot be a recording; None if it can."""
    reasons = (
        (dtype.hasobject, "holds Python objects, never loaded because that can run code; save it as plain numbers"),
        (dtype.names is not None, "is a table of named fields; save the wanted field as an array of its own"),
        (dtype.kind == "c", "is complex; save its real part, or the signal it was computed from"),
        (dtype.kind not in "iuf", f"has type {dtype}, not numbers"),
        (any(axis < 1 for axis in shape), f"is empty (shape {shape})"),
        (all(axis == 1 for axis in shape), "is a single number"),
        (len(shape) > 3, f"has {len(shape)} axes; expected (samples), (records, samples[, channels])"),
    )
    return next((reason for applies, reason in reasons if applies), None)


def why_empty(samples: int) -> str | None:
    """Why a table of this many rows cannot be a recording; None if it can."""
    return None if samples > 1 else f"holds {samples} samples"


def arrange(shape: tuple[int | None, ...], starts: int | None) -> Layout:
    """See a shape as (records, samples, channels).

    Two axes are (samples, channels) if the second is at most ``MAX_CHANNELS`` and the file does not give as many
    starts as there are rows; else (records, samples). A single row or column is one record of one channel.

    Args:
        shape: one to three axes, the first None where only reading tells.
        starts: how many ``start_s`` the file gives, None for no such array.
    """
    if len(shape) == 1:
        return Layout(1, shape[0], 1)
    if len(shape) == 3:
        records, samples, channels = shape
        return Layout(records or 1, samples, channels or 1)
    first, second = shape
    if first is None or second is None:
        return Layout(1, first, second or 1)
    if first == 1 and second > 1 and starts != 1:
        return Layout(1, second, 1)
    if second <= MAX_CHANNELS and starts != first:
        return Layout(1, first, second)
    return Layout(first, second, 1)


def in_memory(array: Numbers) -> Frames:
    """The reader of an array that is in memory already."""

    def frames(layout: Layout, channel: int, max_samples: int) -> Iterator[Numbers]:
        flat = array.reshape(-1, layout.channels)[:, channel]
        for start in range(0, flat.shape[0], max_samples):
            yield flat[start : start + max_samples]

    return frames


def refuse_bomb(what: str, stored_bytes: int, unpacked_bytes: int) -> None:
    """Refuse data that unpacks to far more than measured vibration can.

    Raises:
        RecordingError: more than ``MAX_EXPANSION`` times the stored size and more than 64 MiB.
    """
    if unpacked_bytes > EXPANSION_FLOOR_BYTES and unpacked_bytes > MAX_EXPANSION * stored_bytes:
        raise RecordingError(
            f"{what} unpacks from {stored_bytes:,} bytes to {unpacked_bytes:,} or more, over {MAX_EXPANSION} times as "
            "much, which no measured vibration does; it was not unpacked. If the file can be trusted, save it "
            "uncompressed"
        )


def refuse_whole(what: str, array_bytes: int) -> None:
    """Refuse to take more than ``MAX_WHOLE_BYTES`` into memory at once.

    Raises:
        RecordingError: the array is larger.
    """
    if array_bytes > MAX_WHOLE_BYTES:
        raise RecordingError(
            f"{what} would take {array_bytes:,} bytes of memory at once, more than {MAX_WHOLE_BYTES:,}; save it as "
            "row-ordered .npy, .npz or .h5, which are read piece by piece, or split it"
        )


@contextmanager
def named_missing_library(what: str, suffix: str) -> Iterator[None]:
    """Turn a failed import inside the block into a message that says what to install.

    Args:
        what: the recording, for the message.
        suffix: its format.

    Raises:
        RecordingError: an import failed.
    """
    try:
        yield
    except ImportError as error:
        raise RecordingError(
            f"{what}: the format {suffix} needs the library {error.name}, which is not installed; "
            "pip install 'vibration-monitor[recordings]'"
        ) from error
