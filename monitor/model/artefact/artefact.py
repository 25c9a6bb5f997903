"""A model directory: what is in it, how it is written, and how it is checked before anything reads it.

The manifest says the size and SHA-256 of every other file; a file is hashed before a parser sees it, the network is
built from the manifest's shape, and only numbers are taken from the files. Golden vectors say what the network answered
when it was written; an engine that answers otherwise is refused. Refuses to know: training, engines.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitor.core.arrays import Float32
from monitor.core.forecaster import Engine
from monitor.core.units import same_rate
from monitor.errors import ArtefactError
from monitor.model.artefact.golden_file import read_golden
from monitor.model.artefact.keras_file import read_keras_weights
from monitor.model.network import Shape

MANIFEST = "manifest.json"
FILES = ("model.keras", "model.onnx", "golden.npz", "README.md")
"""Files beside the manifest; nothing else is read."""

MAX_MANIFEST_BYTES = 1 << 20
MAX_FILE_BYTES = 256 << 20
"""Far above any model of this shape; a larger file is something else."""

MAX_GOLDEN_WORK = 10**11
"""Multiplications for the golden vectors; the reference has 2 * 10**7. A hostile model would take hours."""

GOLDEN_TOLERANCE = 1e-4
"""Largest deviation from the golden vectors, relative to their largest value. Engines agree to 1e-6; a wrong weight
shows as 1e-2 and more."""


class Scaling(BaseModel):
    """How samples are brought to unit level."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["running_rms"] = "running_rms"
    """The only kind."""
    time_constant_blocks: int = Field(default=100, ge=1, le=1_000_000)
    """Of the level."""


class FileEntry(BaseModel):
    """What a file must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_bytes: int = Field(ge=1, le=MAX_FILE_BYTES)
    """Exactly."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of its bytes."""


class Manifest(BaseModel):
    """The contents of ``manifest.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["vibration-monitor model"] = "vibration-monitor model"
    """What this is."""
    format_version: Literal[1] = 1
    """Of the directory's layout."""
    shape: Shape
    """The network."""
    parameters: int
    """Number of weights."""
    scaling: Scaling
    """Before the network."""
    sampling_rates_hz: tuple[float, ...]
    """Rates of the recordings it was trained on."""
    warmup_blocks: int = Field(ge=1)
    """Blocks after a reset that are not scored."""
    training: dict[str, Any]
    """Recordings, recipe, losses, report."""
    versions: dict[str, str]
    """Of the libraries that made it."""
    files: dict[str, FileEntry]
    """The other files."""

    def untrained_rate(self, found_hz: float, who: str) -> str:
        """The warning that ``who`` has a rate that the model was not trained at; empty if it was."""
        if same_rate(found_hz, *self.sampling_rates_hz):
            return ""
        rates = ", ".join(f"{rate:g}" for rate in self.sampling_rates_hz)
        return f"{who}: has {found_hz:g} Hz, the model was trained at {rates} Hz; its forecasts may be poor"


@dataclass(frozen=True)
class Artefact:
    """A checked model directory, in memory."""

    path: Path
    """Where it was read."""
    manifest: Manifest
    """What it says."""
    sha256: str
    """Of the manifest, and so of everything."""
    contents: dict[str, bytes]
    """The bytes of the files, as hashed."""

    def golden(self) -> tuple[Float32, Float32]:
        """Golden windows (n, window_blocks, block_samples) and their forecasts (n, block_samples)."""
        return read_golden(self.path / "golden.npz", self.contents["golden.npz"], self.manifest.shape)

    def weights(self) -> list[Float32]:
        """The weights in ``model.keras``, read as numbers; nothing in the file is executed.

        Raises:
            ArtefactError: shapes differ from the manifest's, or a weight is not finite.
        """
        return read_keras_weights(self.path / "model.keras", self.contents["model.keras"], self.manifest.shape)

    def check_golden(self, engine: Engine) -> float:
        """Compare an engine with the golden vectors, in windowed and carried mode.

        Returns:
            The largest deviation, relative to the largest value.

        Raises:
            ArtefactError: it is above the tolerance.
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
        ArtefactError: something is missing, damaged, too large, or not what the manifest says.
    """
    if not path.is_dir():
        raise ArtefactError(f"model {path}: there is no such directory; give one that 'train' wrote")
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
            raise ArtefactError(f"{file}: its SHA-256 is not the manifest's; it was changed or damaged, copy it again")
        contents[name] = content
    return Artefact(path.resolve(), manifest, hashlib.sha256(data).hexdigest(), contents)


def save_artefact(path: Path, manifest: dict[str, Any], contents: dict[str, bytes]) -> Artefact:
    """Write a model directory at once: it is complete or not there.

    Args:
        path: the directory; an existing model there is replaced.
        manifest: everything of :class:`Manifest` but ``files``.
        contents: bytes of each of ``FILES``.

    Returns:
        The artefact, as read back.
    """
    files = {
        name: {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents.items()
    }
    text = Manifest.model_validate({**manifest, "files": files}).model_dump_json(indent=2) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not (path / MANIFEST).is_file() and any(path.iterdir() if path.is_dir() else [path]):
        raise ArtefactError(f"{path}: exists and is no model; give another directory")
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        for name, data in {**contents, MANIFEST: text.encode()}.items():
            with (fresh / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        fresh.chmod(0o755)
        load_artefact(fresh)
        old = fresh.with_name(f"{fresh.name}-old")
        if path.exists():
            path.rename(old)
        fresh.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return load_artefact(path)


def _read_bounded(file: Path, most: int) -> bytes:
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ArtefactError(f"{file}: is no regular file; copy the model again")
        if found.st_size > most:
            raise ArtefactError(f"{file}: has {found.st_size} bytes, at most {most} were expected; copy it again")
        with file.open("rb") as stream:
            return stream.read(most + 1)
    except OSError as error:
        raise ArtefactError(f"cannot read {file}: {error.strerror}") from error
