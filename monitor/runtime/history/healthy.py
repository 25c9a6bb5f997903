"""What a channel looks like when it is healthy: a mean spectrum and a stretch of samples, to be shown beside a fault.

A stretch of samples is taken while the score is far below the limit: often at first and ever more rarely, so that the
mean covers minutes after minutes and days after days. After :data:`STRETCHES` it stays as it is, so a fault that grows
slowly does not become the healthy picture. It belongs to the calibration: another one begins anew. Nothing is scored
with it. One file of fixed places holds all channels; a file that cannot be read is set aside.
"""

import contextlib
import hashlib
import logging
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.core.arrays import Float32
from monitor.core.spectrum import amplitude_spectrum

LOG = logging.getLogger(__name__)

SAMPLES = 3200
"""Samples of a stretch, as many as the page's picture has, so that both spectra have the same lines. 16 kB of disk a
channel with its spectrum."""

CALM = 0.5
"""Highest score of an interval that counts as healthy here. Lower: some healthy machines never do. Higher: the
beginning of a fault is taken for healthy."""

FIRST_S, GROWTH, STRETCHES = 10.0, 1.25, 48
"""The n-th stretch is taken at least ``FIRST_S`` times ``GROWTH`` to the n after the first: the 48th after five days.
Fewer: the mean is noisy. More: a slow fault is averaged in."""

MAGIC = b"vibration-monitor healthy 1\n".ljust(64)
RECORD = struct.Struct("<8sqddd")
"""Hash of the calibration, stretches, sampling rate, UNIX seconds of the first and of the last stretch."""
HEAD = 64
LINES = SAMPLES // 4 + 1
RECORD_BYTES = HEAD + 4 * (LINES + SAMPLES)


@dataclass(frozen=True, slots=True)
class Healthy:
    """The healthy picture of one channel."""

    stretches: int
    """Number of stretches in the mean."""
    rate_hz: float
    """Sampling rate."""
    first_s: float
    """UNIX seconds of the first stretch."""
    last_s: float
    """UNIX seconds of the last one."""
    power: Float32
    """(lines,) mean square of the amplitude at each frequency, in (m/s²)²."""
    samples: Float32
    """(SAMPLES,) the last stretch, in m/s²."""

    @property
    def amplitude(self) -> Float32:
        """(lines,) amplitude of the spectrum, in m/s², from 0 Hz in steps of the rate / (SAMPLES / 2)."""
        return np.sqrt(self.power)

    @property
    def next_s(self) -> float:
        """UNIX seconds at which the next stretch is due; infinite: no more."""
        return float("inf") if self.stretches >= STRETCHES else self.first_s + FIRST_S * GROWTH**self.stretches


class HealthyPictures:
    """The healthy pictures of all channels; not safe for several threads."""

    def __init__(self, folder: Path) -> None:
        """Open the file, or make it. Raises OSError."""
        path = folder / "healthy"
        with contextlib.suppress(FileNotFoundError):
            with path.open("rb") as old:
                head = old.read(len(MAGIC))
            if head != MAGIC:
                path.replace(path.with_name("healthy.bad"))
                LOG.warning("healthy spectra start empty: file=%s reason=it is not of this version", path)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        os.pwrite(self._file, MAGIC, 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def read(self, place: int, key: str) -> Healthy | None:
        """The picture of a channel with this state key; None: there is none yet."""
        data = os.pread(self._file, RECORD_BYTES, _at(place))
        if len(data) < RECORD_BYTES:
            return None
        of, stretches, rate_hz, first_s, last_s = RECORD.unpack_from(data)
        values = np.frombuffer(data, "<f4", offset=HEAD)
        if of != _hash(key) or stretches < 1 or not np.isfinite([first_s, last_s, *values[:LINES]]).all():
            return None
        return Healthy(stretches, rate_hz, first_s, last_s, values[:LINES], values[LINES:])

    def take(self, place: int, key: str, rate_hz: float, samples: Float32, now_s: float) -> float:
        """Add a stretch of (SAMPLES,) if one is due; returns the UNIX seconds at which the next is. Raises OSError."""
        old = self.read(place, key)
        if old is not None and now_s < old.next_s:
            if old.stretches >= STRETCHES:
                return old.next_s
            return min(old.next_s, now_s + FIRST_S * GROWTH**old.stretches)  # the clock may have been set back
        count = 1 if old is None else old.stretches + 1
        power = np.square(amplitude_spectrum(samples))
        if old is not None:
            power = old.power + (power - old.power) / count
        first_s = now_s if old is None else old.first_s
        head = RECORD.pack(_hash(key), count, rate_hz, first_s, now_s).ljust(HEAD, b"\0")
        body = np.concatenate([power, samples]).astype("<f4").tobytes()
        os.pwrite(self._file, head + body, _at(place))
        return Healthy(count, rate_hz, first_s, now_s, power, samples).next_s


def _at(place: int) -> int:
    return len(MAGIC) + place * RECORD_BYTES


def _hash(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=8).digest()
