"""Calibrations in a file: one ``.npz`` with a JSON header, one entry a regime, tied to the model it was made with.

The file comes from outside and is read with suspicion: bounded size, no pickle, every array of the expected shape and
finite, the contents as hashed. Refuses to know: what the numbers mean.
"""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitor.atomic_file import write_atomically
from monitor.core.scoring.calibration import Calibration
from monitor.errors import ArtefactError, MonitorError

MOST_BYTES = 64 * 2**20
"""Largest file, packed or not; one regime has about 0.2 MB."""

FACTS = (
    "block_samples",
    "interval_blocks",
    "warmup_blocks",
    "sampling_rate_hz",
    "interval_s",
    "healthy_s",
    "intervals",
    "level_mps2",
    "gap_ratio",
    "episode_intervals",
)
"""Single numbers of a calibration; they stand in the header."""

ARRAYS = tuple(field.name for field in fields(Calibration) if field.name not in FACTS)
"""The rest."""

ANY_REGIME = ""
"""Name of the regime where none is told apart."""


class Header(BaseModel):
    """The header."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal["vibration-monitor calibration"] = "vibration-monitor calibration"
    """What this is."""
    format_version: Literal[1] = 1
    """Of the file's layout."""
    model_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the model's manifest."""
    channel: str = Field(max_length=1000)
    """Name of the channel it was made for."""
    made: dict[str, Any]
    """Recordings, versions: for people."""
    regimes: tuple[str, ...] = Field(min_length=1, max_length=100)
    """Operating regimes, in the order of the arrays' names; empty: any."""
    facts: tuple[dict[str, float], ...]
    """Single numbers of each."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the arrays."""


@dataclass(frozen=True)
class CalibrationFile:
    """The contents of a file."""

    path: Path
    """Where it was read."""
    header: Header
    """What it says."""
    regimes: dict[str, Calibration]
    """By the regime's name."""

    def check(self, model_sha256: str) -> None:
        """Refuse a calibration that was made with another model.

        Raises:
            ArtefactError: it was.
        """
        if self.header.model_sha256 != model_sha256:
            raise ArtefactError(
                f"{self.path}: was made with model {self.header.model_sha256[:12]}, this is {model_sha256[:12]}; its "
                "limits hold for that model only, run 'vibration-monitor calibrate' with this one"
            )


def save_calibrations(
    path: Path, regimes: dict[str, Calibration], *, model_sha256: str, channel: str, made: dict[str, Any]
) -> None:
    """Write a file at once: it is complete or not there.

    Args:
        path: the file.
        regimes: calibrations by regime.
        model_sha256: of the model's manifest.
        channel: name of the channel.
        made: anything JSON takes, for people.

    Raises:
        MonitorError: the file cannot be written; an old one is still there.
    """
    arrays = {
        f"{number}.{name}": np.asarray(getattr(calibration, name))
        for number, calibration in enumerate(regimes.values())
        for name in ARRAYS
    }
    header = Header(
        model_sha256=model_sha256,
        channel=channel,
        made=made,
        regimes=tuple(regimes),
        facts=tuple({name: float(getattr(one, name)) for name in FACTS} for one in regimes.values()),
        sha256=_digest(arrays),
    )
    buffer = io.BytesIO()
    text = np.frombuffer(header.model_dump_json().encode(), np.uint8)
    np.savez_compressed(buffer, header=text, **arrays)  # type: ignore[arg-type] # keyword arrays, not allow_pickle
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise MonitorError(
            f"{path}: cannot be written: {error.strerror or error}; check folder and free space"
        ) from error


def load_calibrations(path: Path) -> CalibrationFile:
    """Read and check a file.

    Raises:
        ArtefactError: it cannot be read, is damaged, or is no calibration.
    """
    try:
        arrays = _arrays(path)
    except ArtefactError:
        raise
    except OSError as error:
        raise ArtefactError(f"cannot read the calibration {path}: {error.strerror or error}") from error
    except Exception as error:  # whatever zipfile, zlib or NumPy say about a damaged file
        raise ArtefactError(f"{path}: is no calibration, or a damaged one ({error}); calibrate again") from error
    header = _header(path, arrays)
    regimes = {
        regime: _calibration(path, header.facts[number], arrays, f"{number}.")
        for number, regime in enumerate(header.regimes)
    }
    return CalibrationFile(path, header, regimes)


def _arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a file, not looked into."""
    if path.stat().st_size > MOST_BYTES:
        raise ArtefactError(f"{path}: has more than {MOST_BYTES} bytes; this is no calibration")
    data = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
            raise ArtefactError(f"{path}: unpacks to more than {MOST_BYTES} bytes; this is no calibration")
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _header(path: Path, arrays: dict[str, np.ndarray[Any, Any]]) -> Header:
    """Take the header out of the arrays and check it against them."""
    try:
        text = arrays.pop("header").astype(np.uint8).tobytes()
        header = Header.model_validate_json(text)
    except (KeyError, ValidationError, json.JSONDecodeError) as error:
        raise ArtefactError(f"{path}: has no header of a calibration; calibrate again") from error
    expected = {f"{number}.{name}" for number in range(len(header.regimes)) for name in ARRAYS}
    if arrays.keys() != expected or len(header.facts) != len(header.regimes):
        raise ArtefactError(f"{path}: its arrays are not those that its header announces; calibrate again")
    if _digest(arrays) != header.sha256:
        raise ArtefactError(f"{path}: its contents are not as hashed, it was changed or damaged; copy it again")
    return header


def _calibration(
    path: Path, facts: dict[str, float], arrays: dict[str, np.ndarray[Any, Any]], prefix: str
) -> Calibration:
    if facts.keys() != set(FACTS):
        raise ArtefactError(f"{path}: its header lacks numbers of a calibration; calibrate again")
    whole = {"block_samples", "interval_blocks", "warmup_blocks"}
    numbers: dict[str, Any] = {name: int(value) if name in whole else value for name, value in facts.items()}
    values: dict[str, Any] = {name: arrays[prefix + name] for name in ARRAYS}
    for name, value in values.items():
        kind = np.float32 if name == "whitening" else np.float64
        if value.dtype != kind or not np.isfinite(value).all():
            raise ArtefactError(f"{path}: '{name}' is not of finite {np.dtype(kind).name} numbers; calibrate again")
    for name, least, most in (("block_samples", 4, 4096), ("interval_blocks", 1, 2**31), ("warmup_blocks", 0, 2**31)):
        if not least <= numbers[name] <= most:
            raise ArtefactError(f"{path}: '{name}' is {numbers[name]:.10g}, out of range; calibrate again")
    calibration = Calibration(**numbers, **values)
    calibration.check_shapes(str(path))
    return calibration


def _digest(arrays: dict[str, np.ndarray[Any, Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
