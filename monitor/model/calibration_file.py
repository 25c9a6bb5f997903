"""Calibration files: a ``.npz`` with a JSON header and one calibration a regime, valid for one model only.

The file is not trusted. Reading it checks size, hash, and shape and finiteness of every array; pickles are not loaded.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitor.atomic_file import write_atomically
from monitor.core.samples.condition_values import LONGEST_CONDITION_NAME
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.calibration.conditions import MOST_QUANTITIES
from monitor.core.scoring.interval.head import Head
from monitor.errors import ArtefactError, MonitorError

MOST_BYTES = 64 * 2**20
"""Largest file, packed and unpacked; one regime takes 40 to 90 kB."""

FACTS = (
    "block_samples",
    "interval_blocks",
    "warmup_blocks",
    "sampling_rate_hz",
    "interval_s",
    "healthy_s",
    "intervals",
    "aside_intervals",
    "level_mps2",
    "gap_ratio",
    "trust",
    "linear_trust",
    "episode_intervals",
)
"""Scalars of a calibration, stored in the header."""

OF_HEAD = tuple(field.name for field in fields(Head))
"""Arrays of a head, stored as such; its matrices are made from them."""

ARRAYS = (*OF_HEAD, *(field.name for field in fields(Calibration) if field.name not in (*FACTS, "head", "quantities")))
"""Arrays of a calibration and its head, stored as such."""

ANY_REGIME = ""
"""Name of the regime if only one is used."""

REGIME_LABEL = "regime"
"""The label that names the operating regime, where a channel has one."""


QuantityName = Annotated[str, Field(min_length=1, max_length=LONGEST_CONDITION_NAME)]
"""The name of a measured quantity."""


class Header(BaseModel):
    """The JSON header of a calibration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal["vibration-monitor calibration"] = "vibration-monitor calibration"
    """Identifies the file format."""
    format_version: Literal[5] = 5
    """Version of the file's layout."""
    model_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the manifest of the model that it belongs to."""
    channel: str = Field(max_length=1000)
    """Name of the channel it was made for."""
    made: dict[str, Any]
    """Recordings and versions, for information only."""
    regimes: tuple[str, ...] = Field(min_length=1, max_length=100)
    """Names of the operating regimes, in the order of the arrays; an empty name is any regime."""
    facts: tuple[dict[str, float], ...]
    """Scalars of each regime's calibration."""
    quantities: tuple[Annotated[tuple[QuantityName, ...], Field(max_length=MOST_QUANTITIES)], ...]
    """Names of the measured quantities of each regime's calibration."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the arrays."""


@dataclass(frozen=True)
class CalibrationFile:
    """The contents of a calibration file, checked."""

    path: Path
    """File that it was read from."""
    header: Header
    """The parsed header."""
    regimes: dict[str, Calibration]
    """Calibrations by the name of the regime."""

    def check(self, model_sha256: str) -> None:
        """Reject a calibration that was made with another model.

        Raises:
            ArtefactError: the model is another one.
        """
        if self.header.model_sha256 != model_sha256:
            raise ArtefactError(
                f"{self.path}: was made with model {self.header.model_sha256[:12]}, this is {model_sha256[:12]}; its "
                "limits hold for that model only, run 'vibration-monitor calibrate' with this one"
            )

    def of_regime(self, regime: str) -> Calibration | None:
        """The calibration for a regime, or else the one for any; None: the file has neither."""
        return self.regimes.get(regime) or self.regimes.get(ANY_REGIME)

    def of_channel(self, labels: Mapping[str, str]) -> Calibration:
        """The calibration for the regime that a channel's labels name.

        Raises:
            ArtefactError: the file has none.
        """
        regime = labels.get(REGIME_LABEL, ANY_REGIME)
        found = self.of_regime(regime)
        if found is None:
            raise ArtefactError(f"{self.path} has no regime {regime!r}, only {', '.join(self.regimes)}")
        return found


def save_calibrations(
    path: Path, regimes: dict[str, Calibration], *, model_sha256: str, channel: str, made: dict[str, Any]
) -> None:
    """Write a file atomically: it is complete or absent.

    Args:
        path: the file.
        regimes: calibrations by regime.
        model_sha256: SHA-256 of the model's manifest.
        channel: name of the channel.
        made: any JSON data, for information only.

    Raises:
        MonitorError: the file cannot be written; an existing one is unchanged.
    """
    arrays = {
        f"{number}.{name}": np.asarray(getattr(calibration.head if name in OF_HEAD else calibration, name))
        for number, calibration in enumerate(regimes.values())
        for name in ARRAYS
    }
    header = Header(
        model_sha256=model_sha256,
        channel=channel,
        made=made,
        regimes=tuple(regimes),
        facts=tuple({name: float(getattr(one, name)) for name in FACTS} for one in regimes.values()),
        quantities=tuple(one.quantities for one in regimes.values()),
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
        ArtefactError: the file cannot be read, is damaged, or is not a calibration.
    """
    try:
        arrays = _arrays(path)
    except ArtefactError:
        raise
    except OSError as error:
        raise ArtefactError(f"cannot read the calibration {path}: {error.strerror or error}") from error
    except Exception as error:  # zipfile, zlib and NumPy raise many types for a damaged file
        raise ArtefactError(f"{path}: is not a calibration, or is damaged ({error}); calibrate again") from error
    header = _header(path, arrays)
    regimes = {
        regime: _calibration(path, header.facts[number], header.quantities[number], arrays, f"{number}.")
        for number, regime in enumerate(header.regimes)
    }
    return CalibrationFile(path, header, regimes)


def _arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a file, unchecked."""
    if path.stat().st_size > MOST_BYTES:
        raise ArtefactError(f"{path}: has more than {MOST_BYTES} bytes; this is not a calibration")
    data = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
            raise ArtefactError(f"{path}: unpacks to more than {MOST_BYTES} bytes; this is not a calibration")
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _header(path: Path, arrays: dict[str, np.ndarray[Any, Any]]) -> Header:
    """Remove the header from the arrays, and check it against them."""
    try:
        text = arrays.pop("header").astype(np.uint8).tobytes()
        header = Header.model_validate_json(text)
    except (KeyError, ValidationError, json.JSONDecodeError) as error:
        wrong = [one["loc"] for one in error.errors()] if isinstance(error, ValidationError) else []
        if wrong == [("format_version",)]:
            raise ArtefactError(f"{path}: is of another version of the format; calibrate again") from error
        raise ArtefactError(f"{path}: has no header of a calibration; calibrate again") from error
    expected = {f"{number}.{name}" for number in range(len(header.regimes)) for name in ARRAYS}
    if arrays.keys() != expected or {len(header.facts), len(header.quantities)} != {len(header.regimes)}:
        raise ArtefactError(f"{path}: its arrays are not those that its header announces; calibrate again")
    if _digest(arrays) != header.sha256:
        raise ArtefactError(f"{path}: its contents do not match its hash; it was changed or damaged, copy it again")
    return header


def _calibration(
    path: Path,
    facts: dict[str, float],
    quantities: tuple[str, ...],
    arrays: dict[str, np.ndarray[Any, Any]],
    prefix: str,
) -> Calibration:
    if facts.keys() != set(FACTS):
        raise ArtefactError(f"{path}: its header lacks numbers of a calibration; calibrate again")
    whole = {"block_samples", "interval_blocks", "warmup_blocks"}
    numbers: dict[str, Any] = {name: int(value) if name in whole else value for name, value in facts.items()}
    values: dict[str, Any] = {name: arrays[prefix + name] for name in ARRAYS}
    for name, value in values.items():
        kind = np.float32 if name in ("summary", "ahead", "carried") else np.float64
        if value.dtype != kind or not np.isfinite(value).all():
            raise ArtefactError(f"{path}: '{name}' is not of finite {np.dtype(kind).name} numbers; calibrate again")
    for name, least, most in (("block_samples", 4, 4096), ("interval_blocks", 1, 2**31), ("warmup_blocks", 0, 2**31)):
        if not least <= numbers[name] <= most:
            raise ArtefactError(f"{path}: '{name}' is {numbers[name]:.10g}, out of range; calibrate again")
    head = Head(**{name: values.pop(name) for name in OF_HEAD})
    if len(set(quantities)) != len(quantities):
        raise ArtefactError(f"{path}: its header names a measured quantity twice; calibrate again")
    calibration = Calibration(**numbers, head=head, quantities=quantities, **values)
    calibration.check_shapes(str(path))
    return calibration


def _digest(arrays: dict[str, np.ndarray[Any, Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
