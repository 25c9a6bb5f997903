"""Stretches of samples of each channel on disk, that a plant's own model is trained and judged on.

A channel has one ``.npy`` file of (stretches, samples) in m/s², to which stretches are appended: first the samples,
then the header that counts them. So a kill leaves at most one stretch that nobody counts, and the next one takes its
place. An index says what the files are of, and how long each channel has run. Does not handle: what is worth sampling.
"""

import contextlib
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.atomic_file import write_atomically
from monitor.core.arrays import Bool, Float32
from monitor.core.scoring.plausibility import STOPPED_SHARE
from monitor.errors import RecordingError

FOLDER = "samples"
"""Name of the folder in that of the own model."""

INDEX = "index.json"

PLANT_BYTES = 128 * 2**20
"""Disk for the samples of all channels that one model forecasts. Less: large plants are hardly sampled. More: training
takes more memory, which is three times this."""

FEWEST_STRETCHES = 6
"""Fewest stretches of a channel that is trained on. Fewer: nothing is left to judge on. More: large plants and short
hours are left out."""

MOST_STRETCHES = 96
"""Most stretches of a channel, one in 37 s of an hour. Fewer: conditions are missed. More: more disk; a training looks
at no more windows."""

MOST_INDEX_BYTES = 1 << 26
"""Largest index that is read."""


@dataclass
class About:
    """What the samples of one channel are of."""

    name: str
    """The channel's name."""
    sampling_rate_hz: float
    """Its sampling rate."""
    factor_mps2: float
    """Its unit and scale."""
    ran_s: float = 0.0
    """Seconds that it has run while it was looked at."""

    def same(self, other: "About") -> bool:
        """Whether samples of both may be in one file."""
        return (self.sampling_rate_hz, self.factor_mps2) == (other.sampling_rate_hz, other.factor_mps2)


@dataclass(frozen=True)
class Sampled:
    """The samples of one channel."""

    name: str
    """The channel's name."""
    path: Path
    """The file."""
    sampling_rate_hz: float
    """Sampling rate."""
    stretches: Float32
    """(stretches, samples) in m/s², finite; there are no samples between stretches."""
    decimate: int = 1
    """As of a recording: every sample is kept."""
    unit: str | None = "m/s2"
    """As of a recording."""


class Samples:
    """The files of all channels; not thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Read the index; what it does not know is deleted, and sampled anew.

        Args:
            folder: that of the own model.
        """
        self._folder = folder / FOLDER
        self.abouts = _read_index(self._folder / INDEX)
        """What the files are of, by the beginning of their names."""
        self.bytes = 0
        """Size of all files together."""
        for path in self._folder.glob("*.npy"):
            if path.stem in self.abouts:
                self.bytes += path.stat().st_size
            else:
                _delete(path)

    def of(self, slug: str, stretch_samples: int) -> Float32:
        """The stretches of a channel, (n, samples); none if its file is missing, damaged or of another length."""
        path = self._path(slug)
        try:
            found = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return np.empty((0, stretch_samples), np.float32)
        good = found.ndim == 2 and found.dtype == np.float32 and found.shape[1] == stretch_samples
        return found if good and np.isfinite(found).all() else np.empty((0, stretch_samples), np.float32)

    def append(self, slug: str, stretch: Float32, before: int) -> None:
        """Append a stretch, (samples,), to a file that has ``before``; without any, the file begins again.

        Raises:
            OSError: it cannot be written; what was there stays.
        """
        path, size = self._path(slug), stretch.size
        head = _header(before + 1, size)
        self._folder.mkdir(parents=True, exist_ok=True)
        if not before:
            self._forget(path)
        with path.open("r+b" if before else "wb") as file:
            if not before:
                file.write(_header(0, size))
            end = len(head) + 4 * size * before
            try:
                file.seek(end)
                file.write(stretch.astype("<f4").tobytes())
                file.flush()
            except OSError:
                file.truncate(end)
                raise
            file.seek(0)
            file.write(head)
        self.bytes += 4 * size

    def index(self) -> bytes:
        """The contents of the index."""
        return json.dumps({slug: vars(about) for slug, about in self.abouts.items()}).encode()

    def save(self, index: bytes) -> None:
        """Write the index.

        Raises:
            OSError: it cannot be written; the old one stays.
        """
        write_atomically(self._folder / INDEX, index)

    def _forget(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            self.bytes -= path.stat().st_size
            path.unlink()

    def _path(self, slug: str) -> Path:
        return self._folder / f"{slug}.npy"


def read_samples(folder: Path) -> list[Sampled]:
    """The samples of all channels that have enough, by name.

    Args:
        folder: that of the own model.

    Raises:
        RecordingError: no channel has enough.
    """
    found = []
    for slug, about in _read_index(folder / FOLDER / INDEX).items():
        path = folder / FOLDER / f"{slug}.npy"
        try:
            stretches = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            continue
        if stretches.ndim != 2 or not stretches.size or not np.isfinite(stretches).all():
            continue
        stretches = stretches[running(stretches.std(axis=1))].astype(np.float32)
        if len(stretches) >= FEWEST_STRETCHES:
            found.append(Sampled(about.name, path, about.sampling_rate_hz, stretches))
    if not found:
        raise RecordingError(
            f"{folder / FOLDER}: no channel has the {FEWEST_STRETCHES} stretches of samples that training needs; let "
            "the daemon run with learning.model: own while the machines run"
        )
    return sorted(found, key=lambda each: each.name)


def running(rms_mps2: Float32) -> Bool:
    """Which stretches, by their RMS (n,), are of a machine that runs: those not far below the second loudest.

    The loudest alone may be a shock.
    """
    loud = np.sort(rms_mps2)[-2:][:1]
    return np.asarray(rms_mps2 >= STOPPED_SHARE * loud, np.bool_)


def share(channels: int, stretch_samples: int) -> int:
    """How many stretches each of so many channels may have."""
    most = PLANT_BYTES // (4 * stretch_samples * max(channels, 1))
    return max(FEWEST_STRETCHES, min(MOST_STRETCHES, most))


def _header(stretches: int, samples: int) -> bytes:
    """The header of a file; it has the same length for any number of stretches."""
    buffer = io.BytesIO()
    about = {"descr": "<f4", "fortran_order": False, "shape": (stretches, samples)}
    np.lib.format.write_array_header_1_0(buffer, about)
    return buffer.getvalue()


def _read_index(path: Path) -> dict[str, About]:
    """The index; empty if there is none, or it is not one."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(MOST_INDEX_BYTES))
        abouts = {
            str(slug): About(
                str(one["name"]), float(one["sampling_rate_hz"]), float(one["factor_mps2"]), float(one["ran_s"])
            )
            for slug, one in found.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
    names = (slug for slug in abouts if "/" not in slug and "\0" not in slug)
    return {
        slug: abouts[slug]
        for slug in names
        if 0 < abouts[slug].sampling_rate_hz < math.inf and 0 <= abouts[slug].ran_s < math.inf
    }


def _delete(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
