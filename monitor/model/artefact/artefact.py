"""A model directory: its contents, and the checks before any of its files is used.

The manifest states the size and SHA-256 of every other file. A file is hashed before it is parsed. The network is built
from the shape in the manifest, and only numbers are read from the files. Golden vectors record the forecasts at the
time of writing; an engine whose forecasts differ is rejected.
"""

import hashlib
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitor.atomic_file import write_folder_atomically
from monitor.core.arrays import Float32
from monitor.core.forecasting.forecaster import Engine
from monitor.core.units import same_rate
from monitor.errors import ArtefactError, MonitorError
from monitor.model.artefact.golden_file import read_golden
from monitor.model.artefact.keras_file import read_keras_weights
from monitor.model.network import Shape
from monitor.shipped import shipped_models

MANIFEST = "manifest.json"
FILES = ("model.keras", "model.onnx", "golden.npz", "README.md")
"""Files besides the manifest; no others are read."""

MAX_MANIFEST_BYTES = 1 << 20
MAX_FILE_BYTES = 256 << 20
"""Largest file: far above any model of this kind. Higher: a wrong file takes more memory before it is rejected."""

MAX_GOLDEN_WORK = 10**11
"""Most multiplications for the golden vectors; the reference model needs 2 * 10**7. Higher: a hostile model can delay
the start by hours."""

GOLDEN_TOLERANCE = 1e-4
"""Largest deviation from the golden vectors, relative to their largest value. Engines agree to 1e-6; a wrong weight
causes 1e-2 and more."""


class Scaling(BaseModel):
    """How samples are normalised before the network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["running_rms"] = "running_rms"
    """Division by the running RMS; no other kind exists."""
    time_constant_blocks: int = Field(default=100, ge=1, le=1_000_000)
    """Time constant of the level, in blocks."""


class FileEntry(BaseModel):
    """Expected size and hash of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_bytes: int = Field(ge=1, le=MAX_FILE_BYTES)
    """Exact size in bytes."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the contents, in hexadecimal."""


class Manifest(BaseModel):
    """The contents of ``manifest.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["vibration-monitor model"] = "vibration-monitor model"
    """Identifies the file format."""
    format_version: Literal[1] = 1
    """Version of the directory's layout."""
    shape: Shape
    """Dimensions of the network."""
    parameters: int
    """Number of weights."""
    scaling: Scaling
    """Normalisation before the network."""
    sampling_rates_hz: tuple[float, ...]
    """Rates of the recordings it was trained on; none for a universal model, which takes any rate."""
    warmup_blocks: int = Field(ge=1)
    """Blocks after a reset that are not scored."""
    training: dict[str, Any]
    """Recordings, recipe, losses and report of the training."""
    versions: dict[str, str]
    """Versions of the libraries that made it, by name."""
    files: dict[str, FileEntry]
    """Expected size and hash of the other files, by name."""

    def untrained_rate(self, found_hz: float, who: str) -> str:
        """The warning for ``who`` if the model was not trained at its rate; empty if it was, or takes any rate."""
        if not self.sampling_rates_hz or same_rate(found_hz, *self.sampling_rates_hz):
            return ""
        rates = ", ".join(f"{rate:g}" for rate in self.sampling_rates_hz)
        return f"{who}: has {found_hz:g} Hz, the model was trained at {rates} Hz; its forecasts may be poor"


@dataclass(frozen=True)
class Artefact:
    """A model directory, checked and loaded into memory."""

    path: Path
    """Directory that it was read from."""
    manifest: Manifest
    """The parsed ``manifest.json``."""
    sha256: str
    """SHA-256 of the manifest, which covers all files through their hashes."""
    contents: dict[str, bytes]
    """Contents of the files by name, as hashed."""

    def golden(self) -> tuple[Float32, Float32]:
        """Golden windows (n, window_blocks, block_samples) and their forecasts (n, block_samples)."""
        return read_golden(self.path / "golden.npz", self.contents["golden.npz"], self.manifest.shape)

    def weights(self) -> list[Float32]:
        """Read the weights in ``model.keras`` as plain numbers; nothing in the file is executed.

        Raises:
            ArtefactError: shapes differ from the manifest's, or a weight is not finite.
        """
        return read_keras_weights(self.path / "model.keras", self.contents["model.keras"], self.manifest.shape)

    def check_golden(self, engine: Engine) -> float:
        """Compare an engine with the golden vectors, in the windowed and the carried mode.

        Returns:
            The largest deviation, relative to the largest value.

        Raises:
            ArtefactError: the deviation is above the tolerance, or the check would take too long.
        """
        windows, forecasts = self.golden()
        work = len(windows) * windows.shape[1] * self.manifest.parameters
        if work > MAX_GOLDEN_WORK:
            raise ArtefactError(
                f"{self.path}: checking it takes {work:.1e} multiplications, at most {MAX_GOLDEN_WORK:.0e} were "
                "expected; train a smaller network"
            )
        state = engine.new_state(len(windows))
        rows = np.arange(len(windows))
        for block in range(windows.shape[1]):
            carried = engine.step(np.ascontiguousarray(windows[:, block]), state, rows)
        answers = np.stack([engine.forecast_windows(windows), carried])
        if not np.isfinite(answers).all():
            raise ArtefactError(
                f"{self.path}: {engine.name} forecasts NaN or infinity for the golden vectors; the model's weights are "
                "not finite, train it again"
            )
        deviation = float(np.abs(answers - forecasts).max() / max(np.abs(forecasts).max(), 1e-30))
        if not deviation <= GOLDEN_TOLERANCE:
            raise ArtefactError(
                f"{self.path}: {engine.name} deviates by {deviation:.2g} from the golden vectors (at most "
                f"{GOLDEN_TOLERANCE:g}); the files do not belong together, or the engine's library is broken"
            )
        return deviation


def load_artefact(path: Path) -> Artefact:
    """Read and check a model directory.

    Raises:
        ArtefactError: a file is missing, damaged, too large, or does not match the manifest.
    """
    if not path.is_dir():
        names = ", ".join(shipped_models())
        raise ArtefactError(
            f"model {path}: there is no such directory; give one that 'train' wrote, or a shipped model: {names}"
        )
    data = _read_bounded(path / MANIFEST, MAX_MANIFEST_BYTES)
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ArtefactError(
            f"{path / MANIFEST}: {where or 'document'}: {first['msg']}; train the model again"
        ) from error
    if manifest.parameters != manifest.shape.parameters:
        raise ArtefactError(
            f"{path / MANIFEST}: says {manifest.parameters} parameters, its shape has {manifest.shape.parameters}"
        )
    if 4 * manifest.parameters > MAX_FILE_BYTES:
        raise ArtefactError(
            f"{path / MANIFEST}: a network of {manifest.parameters} parameters does not fit a file of at most "
            f"{MAX_FILE_BYTES} bytes; train a smaller one"
        )
    if set(manifest.files) != set(FILES):
        listed = ", ".join(sorted(manifest.files))
        raise ArtefactError(f"{path / MANIFEST}: lists {listed}; it must list exactly {', '.join(FILES)}")
    contents = {}
    for name, entry in manifest.files.items():
        file = path / name
        content = _read_bounded(file, entry.size_bytes)
        if len(content) != entry.size_bytes:
            raise ArtefactError(
                f"{file}: has {len(content)} bytes, the manifest says {entry.size_bytes}; copy it again"
            )
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise ArtefactError(
                f"{file}: its SHA-256 differs from the manifest's; it was changed or damaged, copy it again"
            )
        contents[name] = content
    return Artefact(path.resolve(), manifest, hashlib.sha256(data).hexdigest(), contents)


def save_artefact(path: Path, manifest: dict[str, Any], contents: dict[str, bytes]) -> Artefact:
    """Write a model directory atomically: it is complete or absent.

    Args:
        path: the directory; an existing model there is replaced.
        manifest: all fields of :class:`Manifest` except ``files``.
        contents: contents of each of ``FILES``.

    Returns:
        The artefact, read back from the disk.

    Raises:
        ArtefactError: the directory exists and is not a model.
        MonitorError: it cannot be written.
    """
    require_destination(path)
    files = {
        name: {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents.items()
    }
    text = Manifest.model_validate({**manifest, "files": files}).model_dump_json(indent=2) + "\n"
    write_folder_atomically(path, {**contents, MANIFEST: text.encode()}, check=load_artefact)
    return load_artefact(path)


def require_destination(path: Path) -> None:
    """Require that a model can be written to ``path``; called before a training too, which may take hours.

    Raises:
        ArtefactError: the directory exists and is not a model.
        MonitorError: its folder cannot be written.
    """
    if path.name in {"", ".."}:
        raise ArtefactError(f"{path}: has no name of its own; give the name of a new directory, such as models/mine")
    try:
        if path.exists() and not (path / MANIFEST).is_file() and any(path.iterdir() if path.is_dir() else [path]):
            raise ArtefactError(f"{path}: exists and is not a model; give another directory")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent):
            pass
    except OSError as error:
        raise MonitorError(
            f"{path}: a model cannot be written there: {error.filename}: {error.strerror}; give another directory"
        ) from error


def _read_bounded(file: Path, most: int) -> bytes:
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ArtefactError(f"{file}: is not a regular file; copy the model again")
        if found.st_size > most:
            raise ArtefactError(f"{file}: has {found.st_size} bytes, at most {most} were expected; copy it again")
        with file.open("rb") as stream:
            return stream.read(most + 1)
    except OSError as error:
        raise ArtefactError(f"cannot read {file}: {error.strerror}") from error
