"""Writes recordings so that reading them returns the same samples, rate and unit.

The suffix selects the format. Files are written atomically: to a temporary file that is then renamed. Pickles are read
but never written.
"""

import gzip
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monitor.atomic_file import replacing
from monitor.core.arrays import Numbers
from monitor.core.units import UNITS_MPS2, MeasuredRate
from monitor.errors import ConfigurationError, MonitorError, RecordingError
from monitor.extras import installed, missing
from monitor.recording.readers.contents import Layout, arrange, named_missing_library


@dataclass(frozen=True)
class _Content:
    """A recording to be written."""

    samples: Numbers
    """(samples,), (samples, channels), (records, samples) or (records, samples, channels)."""
    layout: Layout
    """Shape of the samples as (records, samples, channels)."""
    facts: dict[str, Any]
    """Rate, unit, starts and channel names, if given."""
    beside: dict[str, float | Numbers] = field(default_factory=dict)
    """Measured quantities by name."""

    def columns(self) -> Numbers:
        """The samples of a single record as (samples, channels)."""
        return self.samples.reshape(-1, self.layout.channels)

    def single_facts(self) -> dict[str, Any]:
        """The facts that are one number or word."""
        return {key: value for key, value in self.facts.items() if isinstance(value, str | float)}

    def names(self) -> list[str]:
        """The name of each channel; ``acceleration``, with a number if there are several, if none was given."""
        given: list[str] | None = self.facts.get("channels")
        count = self.layout.channels
        return given or (["acceleration"] if count == 1 else [f"acceleration{k}" for k in range(count)])


def write_recording(
    path: Path,
    samples: Numbers,
    sampling_rate_hz: float,
    unit: str | None,
    *,
    start_s: Sequence[float] | None = None,
    channels: Sequence[str] | None = None,
    recorded_at_s: float | None = None,
    measured: MeasuredRate | None = None,
    beside: Mapping[str, float | Numbers] | None = None,
) -> None:
    """Write a recording; an existing file of that name is replaced.

    Args:
        path: ends in ``.npz``, ``.npy``, ``.csv``, ``.csv.gz``, ``.mat``, ``.wav``, ``.parquet`` or ``.h5``. A ``.npy``
            cannot store rate and unit; reading it needs ``--sampling-rate-hz`` and ``--unit``.
        samples: real and finite, (samples,), (samples, channels) with at most 64 channels, (records, samples), or
            (records, samples, channels); text, WAV and Parquet hold one record.
        sampling_rate_hz: of the samples; a whole number in a WAV.
        unit: ``g``, ``mg``, ``m/s2``, or None where it is not known.
        start_s: start of each record in seconds; needs a format that stores several records.
        channels: a name for each channel; WAV and ``.npy`` do not store names.
        recorded_at_s: UNIX time of the first sample, for a recording from a live feed.
        measured: how fast its samples came then; a reader compares it with the sampling rate.
        beside: measured quantities by name, a number or (samples,) each; needs a format of ``HOLDS_QUANTITIES``.

    Raises:
        ConfigurationError: the suffix is not supported, or the format cannot store such a recording.
        RecordingError: a sample is NaN or infinite, or there are no samples.
        MonitorError: the file cannot be written.
    """
    if (suffix := written_suffix(path)) is None:
        raise ConfigurationError(other_suffix(path))
    content = _checked(path, samples, sampling_rate_hz, unit, start_s, channels)
    if recorded_at_s is not None:
        content.facts["recorded_at_s"] = float(recorded_at_s)
    if measured is not None:
        content.facts.update(measured_rate_hz=measured.rate_hz, measured_over_s=measured.over_s)
    if beside and (suffix not in HOLDS_QUANTITIES or beside.keys() & OWN_NAMES):
        raise ConfigurationError(
            f"{path}: cannot hold {', '.join(beside)} beside the samples; write .npz or .h5, under names that are not "
            f"used for the recording itself ({', '.join(sorted(OWN_NAMES))})"
        )
    content.beside.update(beside or {})
    if suffix in ONE_RECORD and content.layout.records > 1:
        raise ConfigurationError(f"{path}: {suffix} holds one record, not {content.layout.records}; write .npz or .h5")
    try:
        with named_missing_library(str(path), suffix), replacing(path, suffix) as fresh:
            WRITERS[suffix](fresh, content)
    except OSError as error:
        raise MonitorError(
            f"{path}: cannot be written: {error.strerror or error}; check folder and free space"
        ) from error


def written_suffix(path: Path) -> str | None:
    """The suffix of a recording's name that selects the format to write; None if none is supported."""
    return next((known for known in WRITERS if path.name.lower().endswith(known)), None)


def destination_problems(path: Path) -> list[str]:
    """What prevents that a recording is written to ``path``; to be asked before the work that makes one."""
    if path.is_dir():
        return [f"{path}: is a folder; give the name of a file in it"]
    problems = []
    suffix = written_suffix(path)
    if suffix is None:
        problems.append(other_suffix(path))
    elif suffix in LIBRARIES and not installed(LIBRARIES[suffix]):
        problems.append(missing(LIBRARIES[suffix], f"{path}: the format {suffix}"))
    if not path.parent.is_dir():
        problems.append(f"{path}: there is no folder {path.parent}; create it first")
    elif not os.access(path.parent, os.W_OK):
        problems.append(f"{path}: the folder {path.parent} is not writable; give another one")
    return problems


def other_suffix(path: Path) -> str:
    """What to say of a name whose suffix is that of no format to write."""
    return f"{path}: recordings are written as {' '.join(WRITERS)}; end the name in one of them"


def _checked(
    path: Path,
    samples: Numbers,
    sampling_rate_hz: float,
    unit: str | None,
    start_s: Sequence[float] | None,
    channels: Sequence[str] | None,
) -> _Content:
    if samples.dtype.kind not in "iuf" or not 1 <= samples.ndim <= 3 or samples.size < 2:
        raise RecordingError(
            f"{path}: writing an array of shape {samples.shape} and type {samples.dtype}; expected numbers"
        )
    bad = np.flatnonzero(~np.isfinite(samples.ravel()))
    if bad.size:
        raise RecordingError(f"{path}: value {bad[0]} of the samples to be written is not finite; nothing was written")
    layout = arrange(samples.shape, None if start_s is None else len(start_s))
    problems = []
    if not 0 < sampling_rate_hz < 1e9:
        problems.append(f"the sampling rate is {sampling_rate_hz} Hz; it must be above 0")
    if unit is not None and unit not in UNITS_MPS2:
        problems.append(f"the unit is '{unit}'; expected one of {', '.join(UNITS_MPS2)}")
    if start_s is not None and len(start_s) != layout.records:
        problems.append(f"{len(start_s)} starts for {layout.records} records; give one each")
    if channels is not None and len(channels) != layout.channels:
        problems.append(f"{len(channels)} names for {layout.channels} channels; give one each")
    if problems:
        raise ConfigurationError(f"{path}: cannot be written: " + "\n".join(problems))
    facts: dict[str, Any] = {"sampling_rate_hz": float(sampling_rate_hz)}
    facts |= {"unit": unit} if unit else {}
    facts |= {"start_s": np.asarray(start_s, np.float64)} if start_s is not None else {}
    facts |= {"channels": list(channels)} if channels is not None else {}
    return _Content(samples, layout, facts)


def _write_npy(path: Path, content: _Content) -> None:
    np.save(path, content.samples, allow_pickle=False)


def _write_npz(path: Path, content: _Content) -> None:
    arrays: dict[str, Any] = {"acceleration": content.samples, **content.facts, **content.beside}
    np.savez(path, **arrays)


def _write_csv(path: Path, content: _Content) -> None:
    remarks = [f"# {key}: {value}" for key, value in content.single_facts().items()]
    head = "\n".join([*remarks, ",".join(content.names())])
    digits = "%.9g" if content.samples.dtype.itemsize <= 4 else "%.17g"
    with gzip.open(path, "wb", 6) if path.name.endswith(".gz") else path.open("wb") as binary:
        text = io.TextIOWrapper(binary, encoding="utf-8", newline="\n")
        np.savetxt(text, content.columns(), digits, ",", header=head, comments="")
        text.flush()
        text.detach()


def _write_mat(path: Path, content: _Content) -> None:
    from scipy.io import savemat

    # MATLAB stores a vector as a column, and several names as rows of characters.
    savemat(path, {"acceleration": content.samples, **content.facts}, appendmat=False, oned_as="column")


def _write_wav(path: Path, content: _Content) -> None:
    import soundfile

    rate = content.facts["sampling_rate_hz"]
    if rate != int(rate):
        raise ConfigurationError(f"{path}: a WAV cannot say {rate} Hz, only whole numbers; write .npz")
    kind = "FLOAT" if content.samples.dtype.itemsize <= 4 else "DOUBLE"
    with soundfile.SoundFile(path, "w", int(rate), content.layout.channels, kind, format="WAV") as file:
        facts = {key: value for key, value in content.single_facts().items() if key != "sampling_rate_hz"}
        if facts:
            file.comment = "; ".join(f"{key}: {value}" for key, value in facts.items())
        file.write(content.columns().astype(np.float32 if kind == "FLOAT" else np.float64))


def _write_parquet(path: Path, content: _Content) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns = content.columns()
    table = pa.table({name: columns[:, k] for k, name in enumerate(content.names())})
    facts = {key: str(value) for key, value in content.single_facts().items()}
    parquet.write_table(table.replace_schema_metadata(facts), path)


def _write_h5(path: Path, content: _Content) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("acceleration", data=content.samples)
        for name, fact in content.facts.items():
            dataset.attrs[name] = fact
        for name, values in content.beside.items():
            file.create_dataset(name, data=values)


WRITERS: dict[str, Callable[[Path, _Content], None]] = {
    ".npz": _write_npz,
    ".npy": _write_npy,
    ".csv": _write_csv,
    ".csv.gz": _write_csv,
    ".mat": _write_mat,
    ".wav": _write_wav,
    ".parquet": _write_parquet,
    ".h5": _write_h5,
}
"""Writer by suffix, in lower case."""

LIBRARIES = {".wav": "soundfile", ".parquet": "pyarrow", ".h5": "h5py"}
"""The optional library of a format, by suffix."""

HOLDS_QUANTITIES = frozenset({".npz", ".h5"})
"""Formats that can store measured quantities beside the samples."""

OWN_NAMES = frozenset(
    {"acceleration", "sampling_rate_hz", "unit", "start_s", "channels", "recorded_at_s", "measured_rate_hz",
     "measured_over_s"}
)  # fmt: skip
"""Names in a file that no measured quantity can have."""

ONE_RECORD = frozenset({".csv", ".csv.gz", ".wav", ".parquet"})
"""Formats that can store only one record."""
