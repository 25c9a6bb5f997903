"""The contents of a recording file, before the recording in it is selected.

Every format is one function from a path to :class:`Contents`: the usable arrays, the metadata ("facts": rate, unit,
start of each record) and the unusable arrays with the reason. Opening reads headers only; the samples are read later,
piece by piece.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from monitor.core.arrays import Numbers
from monitor.errors import RecordingError
from monitor.extras import EXTRAS, missing

Dtype = np.dtype[Any]

MAX_CHANNELS = 64
"""A last axis of at most this length holds channels, a longer one the samples of a record. Lower: arrays of many
channels are taken for records. Higher: very short records are taken for channels; 64 samples are shorter than a
block."""

MAX_WHOLE_BYTES = 2**30
"""Largest array that is loaded into memory at once, if the format requires that: one GiB is 3 hours of float64 at 12
kHz. Lower: such recordings are rejected. Higher: a file can exhaust the memory of a small machine."""

MAX_EXPANSION = 200
EXPANSION_FLOOR_BYTES = 2**26
"""A compressed file is taken for a decompression bomb if it unpacks to more than ``MAX_EXPANSION`` times its size and
to more than this (64 MiB). Measured vibration compresses by a factor of 1.1 to 5. Below this size even a silent
recording (a factor of 1000) is accepted."""

RATE_NAMES = ("sampling_rate_hz", "sampling_rate", "sample_rate", "fs", "Fs")
FACT_NAMES = (*RATE_NAMES, "unit", "start_s", "channels", "recorded_at_s", "measured_rate_hz", "measured_over_s")
"""Names of metadata, which are never read as samples."""

CLOCKS = frozenset({"", "#", "time", "time_s", "t", "t_s", "timestamp", "seconds", "sample", "index", "unnamed: 0"})
"""Column names, in lower case, that hold time or row numbers and are not channels."""


class Layout(NamedTuple):
    """The shape of an array as (records, samples, channels)."""

    records: int
    """Number of records; a record is contiguous, and between records samples are missing."""
    samples: int | None
    """Samples of a record; None if unknown until the file is read (a CSV), which then has one record."""
    channels: int
    """Number of channels."""


SINGLE_NUMBER = "is a single number"
"""Why a single number cannot be a recording; it may be a measured quantity."""

Frames = Callable[[Layout, int, int], Iterator[Numbers]]
"""Called with a layout, the index of a channel and the most samples of a piece; yields the samples of the channel in
order, record after record, in pieces."""


@dataclass(frozen=True)
class Stored:
    """One array in a file that could be a recording."""

    key: str
    """Name in the file; empty if the format has no names."""
    shape: tuple[int | None, ...]
    """Shape in the file, one to three axes, or none for a single number; the first is None if unknown until the file
    is read."""
    frames: Frames
    """Reads the samples."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Metadata of this array alone; overrides that of the file."""


@dataclass(frozen=True)
class Contents:
    """The arrays and metadata of a file."""

    arrays: Mapping[str, Stored]
    """Arrays that could be a recording, by key."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Values of those of ``FACT_NAMES`` that the file states."""
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Reason why each of the other arrays cannot be a recording, by key."""
    key_is_channel: bool = False
    """Whether the key in ``FILE#key`` is a column of the only array (CSV, WAV, Parquet)."""
    numbers: Mapping[str, Stored] = field(default_factory=dict)
    """Those of the unusable arrays that are single numbers; only .npz and .h5 have them."""


def why_unusable(shape: tuple[int, ...], dtype: Dtype) -> str | None:
    """The reason why an array of this shape and type cannot be a recording; None if it can."""
    reasons = (
        (dtype.hasobject, "holds Python objects, never loaded because that can run code; save it as plain numbers"),
        (dtype.names is not None, "is a table of named fields; save the wanted field as an array of its own"),
        (dtype.kind == "c", "is complex; save its real part, or the signal it was computed from"),
        (dtype.kind not in "iuf", f"has type {dtype}, not numbers"),
        (any(axis < 1 for axis in shape), f"is empty (shape {shape})"),
        (all(axis == 1 for axis in shape), SINGLE_NUMBER),
        (len(shape) > 3, f"has {len(shape)} axes; expected (samples), (records, samples[, channels])"),
    )
    return next((reason for applies, reason in reasons if applies), None)


def why_empty(samples: int) -> str | None:
    """The reason why a table of so many rows cannot be a recording; None if it can."""
    return None if samples > 1 else f"holds {samples} samples"


def arrange(shape: tuple[int | None, ...], starts: int | None) -> Layout:
    """Interpret a shape as (records, samples, channels).

    Two axes are (samples, channels) if the second is at most ``MAX_CHANNELS`` and the file does not give as many
    starts as there are rows; else (records, samples). A single row or column is one record of one channel.

    Args:
        shape: one to three axes; the first is None if unknown until the file is read.
        starts: number of ``start_s`` in the file; None if it has none.
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
    """The reader of an array that is already in memory."""

    def frames(layout: Layout, channel: int, max_samples: int) -> Iterator[Numbers]:
        flat = array.reshape(-1, layout.channels)[:, channel]
        for start in range(0, flat.shape[0], max_samples):
            yield flat[start : start + max_samples]

    return frames


def refuse_bomb(what: str, stored_bytes: int, unpacked_bytes: int) -> None:
    """Reject data that unpacks to far more than measured vibration does.

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
    """Reject an array of more than ``MAX_WHOLE_BYTES``, which would have to be loaded at once.

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
        what: the recording, for the error message.
        suffix: suffix of its format.

    Raises:
        RecordingError: an import failed.
    """
    try:
        yield
    except ImportError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        raise RecordingError(missing(library, f"{what}: the format {suffix}")) from error
