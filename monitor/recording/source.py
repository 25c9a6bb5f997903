"""A recording: the samples of one channel of a file, in contiguous records, read piece by piece.

A recording is opened by ``FILE`` or ``FILE#key`` and a :class:`RecordingOptions`. Format, rate, unit and the start of
each record come from the file if it states them. Samples are missing between records, so each record starts a new
context. Samples are float32 in m/s² if the unit is known, else in the unit of the file. Nothing is guessed: if a choice
is open, the error message lists the possibilities.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Float32, Numbers
from monitor.core.units import UNITS_MPS2
from monitor.errors import MonitorError, RecordingError
from monitor.recording.decimate import Decimator
from monitor.recording.formats import read_contents
from monitor.recording.options import ALL_CHANNELS, RecordingOptions
from monitor.recording.readers.contents import Layout, named_missing_library
from monitor.recording.selection import Selection, select

PIECE_SAMPLES = 2**16
"""Samples read at once: 5 s at 12 kHz. Lower: more calls. Higher: more memory. The result is the same."""

READ_SAMPLES = 2**16
"""Most samples of the file read at once for one decimated piece; limits memory if the factor is large."""

MAX_MAGNITUDE = 1e15
"""Largest magnitude of a sample, in the file's unit: above all 32-bit integers, and its square still fits float32."""

LONGEST_COMPLAINT = 300
"""Most characters of a library's error message that are shown; some quote the file."""

MAX_LOADED_SAMPLES = 2**28
"""Most samples that :meth:`Recording.load` loads: 1 GiB, 6 hours at 12 kHz."""


class Piece(NamedTuple):
    """Consecutive samples of one record."""

    record: int
    """Index of the contiguous record."""
    start_sample: int
    """Index in the record of the first sample, after decimation."""
    samples: Float32
    """(n,) samples."""


@dataclass(frozen=True)
class Recording:
    """One channel of a file. Every read starts from the beginning; no file stays open between reads."""

    address: str
    """As given: ``FILE`` or ``FILE#key``."""
    name: str
    """The address without the folder, with the channel in brackets if the array has several."""
    path: Path
    """Path of the file."""
    channel: str
    """Name of the channel in the array; its number if it has none."""
    channels: tuple[str, ...]
    """Names of all channels of the array."""
    sampling_rate_hz: float
    """Sampling rate after decimation."""
    unit: str | None
    """Unit of the samples in the file: ``g``, ``mg``, ``m/s2`` or None. :meth:`pieces` converts to m/s²."""
    decimate: int
    """Decimation factor: samples of the file per sample of the recording."""
    records: int
    """Number of contiguous records."""
    record_samples: int | None
    """Samples of each record after decimation; None for a CSV, whose length is unknown until it is read."""
    start_s: tuple[float, ...] | None
    """Start of each record in seconds; None if the file does not state it."""
    record_interval_s: float | None
    """Seconds from one record to the next, from the options; None if not given."""
    selection: Selection
    """The selected array and channel of the file."""

    @property
    def factor_mps2(self) -> float:
        """Factor from the unit of the file to m/s²; 1 if the unit is unknown."""
        return UNITS_MPS2[self.unit] if self.unit else 1.0

    @property
    def first_record(self) -> int:
        """The number of the first record that :meth:`pieces` gives."""
        return 0

    def record_start_s(self, record: int) -> float:
        """The start of a record in seconds: from the file, else index times interval, else end to end.

        A single record without a start in the file begins at 0.
        """
        if self.start_s is not None:
            return self.start_s[record]
        if record == 0:
            return 0.0
        if self.record_interval_s is not None:
            return record * self.record_interval_s
        return record * (self.record_samples or 0) / self.sampling_rate_hz

    def pieces(self, max_samples: int = PIECE_SAMPLES, *, own_unit: bool = False) -> Iterator[Piece]:
        """Read the recording in order, in pieces that never span two records.

        Args:
            max_samples: most samples of a piece, at least 1; does not change the samples.
            own_unit: return the unit of the file (:attr:`unit`) instead of m/s².

        Yields:
            Pieces of (1 .. max_samples,) float32, finite.

        Raises:
            RecordingError: a sample is NaN, infinite or above 1e15, or the file is damaged; earlier samples were
                yielded.
        """
        factor = 1.0 if own_unit else self.factor_mps2
        decimator = self._decimator()
        chunk = min(max_samples * self.decimate, max(max_samples, READ_SAMPLES))
        for record, start, samples in self._settled(decimator, chunk):
            for first in range(0, samples.size, max_samples):
                part = samples[first : first + max_samples]
                yield Piece(record, start + first, part * np.float32(factor) if factor != 1.0 else part)

    def load(self, *, own_unit: bool = False) -> list[Float32]:
        """Load the whole recording: one (samples,) float32 array a record.

        Raises:
            RecordingError: as :meth:`pieces`, or more than ``MAX_LOADED_SAMPLES``.
        """
        parts: list[list[Float32]] = []
        total = 0
        for piece in self.pieces(own_unit=own_unit):
            total += piece.samples.size
            if total > MAX_LOADED_SAMPLES:
                raise RecordingError(
                    f"{self.address}: loading the recording would take more than {MAX_LOADED_SAMPLES:,} samples into "
                    "memory; split it into shorter files, or use --decimate"
                )
            if piece.start_sample == 0:
                parts.append([])
            parts[-1].append(piece.samples.copy())
        return [np.concatenate(record) for record in parts]

    def _decimator(self) -> Decimator:
        """What reduces the samples of the file to those of the recording."""
        return Decimator(self.decimate)

    def _settled(self, decimator: Decimator, chunk: int) -> Iterator[Piece]:
        """Iterate over decimated float32 samples in the file's unit, with their positions."""
        record, position = 0, 0
        for index, ends, raw in self._stretches(chunk):
            if index != record:
                record, position = index, 0
            outputs = [decimator.push(raw)] + ([decimator.finish()] if ends else [])
            for output in outputs:
                if output.size:
                    yield Piece(record, position, output.astype(np.float32))
                    position += output.size
        tail = decimator.finish()
        if tail.size:
            yield Piece(record, position, tail.astype(np.float32))

    def _stretches(self, chunk: int) -> Iterator[tuple[int, bool, Numbers]]:
        """Iterate over checked samples, split at the ends of records: record number, whether it ends here, samples."""
        layout = self.selection.layout
        done = 0
        for raw in self._raw(layout, chunk):
            first = 0
            while first < raw.size:
                record, inside = divmod(done, layout.samples) if layout.samples else (0, done)
                left = layout.samples - inside if layout.samples else raw.size
                part = raw[first : first + left]
                self._check(part, record, inside)
                yield record, part.size == left and layout.samples is not None, part
                first += part.size
                done += part.size

    def _raw(self, layout: Layout, chunk: int) -> Iterator[Numbers]:
        """Iterate over the samples from the format's reader, and convert its errors to :class:`RecordingError`."""
        expected = None if layout.samples is None else layout.records * layout.samples
        done = 0
        with unreadable(self.address, self.path):
            for raw in self.selection.stored.frames(layout, self.selection.channel, chunk):
                done += raw.size
                if expected is not None and done > expected:
                    break
                yield raw
            if expected is not None and done != expected:
                raise EOFError(f"the file does not hold the {expected:,} samples that its header announces")

    def _check(self, samples: Numbers, record: int, inside: int) -> None:
        """Reject samples that are not finite or too large, with their position."""
        with np.errstate(invalid="ignore"):  # the comparison finds NaN; no warning is needed
            usable = np.abs(samples.astype(np.float64)) <= MAX_MAGNITUDE
        if not usable.all():
            at = int(np.flatnonzero(~usable)[0])
            where = f"sample {inside + at}" + (f" of record {record}" if self.records > 1 else "")
            found = "more than any sensor gives" if np.isfinite(samples[at]) else "not a finite number"
            raise RecordingError(
                f"{self.address}: {where} (counted from 0, in the file) is {samples[at]}, {found}; cut the recording "
                "there or repair the sample: a forecast cannot go across it"
            )


@contextmanager
def unreadable(address: str, path: Path) -> Iterator[None]:
    """Convert any exception of a format's library to a :class:`RecordingError`."""
    try:
        with named_missing_library(address, path.suffix):
            yield
    except MonitorError:
        raise
    except Exception as error:
        found = "".join(c if c.isprintable() else "?" for c in str(error)[:LONGEST_COMPLAINT]) or type(error).__name__
        raise RecordingError(
            f"{address}: cannot be read: {found}; the file is damaged, cut short, or not "
            "what its name says: copy or export it again"
        ) from error


def open_recording(address: str, options: RecordingOptions | None = None) -> Recording:
    """Open one channel of a file; reads headers only.

    Args:
        address: ``FILE`` or ``FILE#key``: a variable of a .mat or .npz, a dataset of an .h5, a column of a .csv or
            .parquet, a channel of a .wav.
        options: what the file does not state.

    Returns:
        The recording.

    Raises:
        RecordingError: no such file or key, several candidates, unknown rate, or an unusable file.
    """
    found = open_recordings([address], options)
    if len(found) > 1:
        raise RecordingError(f"{address}: one channel is needed here, not all {len(found)}; give one with --channel")
    return found[0]


def open_recordings(addresses: Sequence[str], options: RecordingOptions | None = None) -> list[Recording]:
    """Open several recordings with the same options; with ``--channel all`` every channel of each is one recording.

    Args:
        addresses: as in :func:`open_recording`.
        options: as in :func:`open_recording`.

    Returns:
        In the order of the addresses, then of the channels.

    Raises:
        RecordingError: as :func:`open_recording`.
    """
    options = options or RecordingOptions()
    return [recording for address in addresses for recording in _open(address, options)]


def _open(address: str, options: RecordingOptions) -> Iterator[Recording]:
    path, key = split_address(address)
    with unreadable(address, path):
        contents = read_contents(path)
    for selection in select(address, key, contents, options):
        layout = selection.layout
        several = layout.channels > 1 and (not contents.key_is_channel or options.channel == ALL_CHANNELS)
        yield Recording(
            address=address,
            name=path.name + (f"#{key}" if key else "") + (f"[{selection.channel_name}]" if several else ""),
            path=path,
            channel=selection.channel_name,
            channels=selection.channel_names,
            sampling_rate_hz=selection.sampling_rate_hz / options.decimate,
            unit=selection.unit,
            decimate=options.decimate,
            records=layout.records,
            record_samples=None if layout.samples is None else -(-layout.samples // options.decimate),
            start_s=selection.start_s,
            record_interval_s=options.record_interval_s,
            selection=selection,
        )


def split_address(address: str) -> tuple[Path, str | None]:
    """Split ``FILE#key`` into file and key; an existing file whose name contains ``#`` takes precedence.

    Raises:
        RecordingError: there is no such file.
    """
    whole = Path(address)
    if whole.is_file():
        return whole, None
    name, mark, key = address.rpartition("#")
    path = Path(name) if mark else whole
    if path.is_file():
        return path, key
    if path.is_dir():
        raise RecordingError(f"{address}: is a folder; give a recording file in it")
    raise RecordingError(
        f"{address}: there is no file {path}; check the path. A variable or column of a file is written FILE#key"
    )
