"""What has become of a plant's own model: one small file that is replaced atomically.

The daemon writes it while it samples; the command that trains and judges writes the outcome. What the file says is what
counts: a model that it does not name is not used, so a kill at any instant leaves the old outcome or the new one.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitor.atomic_file import write_atomically
from monitor.errors import ArtefactError, MonitorError

FOLDER = "own"
"""Name of the folder in the state directory; it has a folder for each model of the configuration."""

FILE = "own.json"

MOST_BYTES = 65_536
"""Largest file that is read; it has less than 2 kB."""

LONGEST_REASON = 1000
"""Most characters of a reason."""


class Phase(StrEnum):
    """What becomes of a plant's own model; the values of the metric's label ``phase``."""

    SAMPLING = "sampling"
    """Stretches of the running machines are written to disk."""
    TRAINING = "training"
    """They are complete: the model is trained and judged, or waits for that."""
    TAKEN = "taken"
    """It foresees more, and forecasts the channels."""
    OFFERED = "offered"
    """It foresees more. Channels have baselines of the model in use and would learn anew, so a person decides."""
    DECLINED = "declined"
    """It does not foresee more: the model in use stays."""
    FAILED = "failed"
    """It could not be trained: the model in use stays."""


class OwnState(BaseModel):
    """The contents of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal["vibration-monitor own model"] = "vibration-monitor own model"
    """Identifies the file format."""
    format_version: Literal[1] = 1
    """Version of the file's layout."""
    model: str = Field(max_length=1000)
    """Name of the model in the configuration whose place it takes."""
    base: str = Field(max_length=4096)
    """Directory of the model that the training starts from."""
    base_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Its hash."""
    phase: Phase
    """What has become of it."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Hash of the own model, if it is taken or offered."""
    channels: int = Field(default=0, ge=0)
    """Channels that it was judged on."""
    foreseen: float | None = None
    """Share of the energy of held-back stretches that is foreseen with it, 0 to 1, as a mean over the channels."""
    foreseen_before: float | None = None
    """The same with the model that it started from."""
    reason: str = Field(default="", max_length=LONGEST_REASON)
    """Why it could not be trained."""

    @property
    def gain(self) -> float | None:
        """How much more of the signal's energy is foreseen; None: it was not judged."""
        if self.foreseen is None or self.foreseen_before is None:
            return None
        return self.foreseen - self.foreseen_before

    @property
    def judged(self) -> str:
        """How much is foreseen with it and without, in words."""
        if self.foreseen is None or self.foreseen_before is None:
            return "it was not judged"
        return (
            f"with it {self.foreseen:.1%} of the signal's energy on held-back stretches is foreseen, with the model in "
            f"use {self.foreseen_before:.1%} (mean over {self.channels} channel{'s' if self.channels != 1 else ''})"
        )

    def directory(self, folder: Path) -> Path | None:
        """The directory of the own model in its ``folder``; None: there is none."""
        return None if self.sha256 is None else folder / f"model-{self.sha256[:12]}"


def read_state(folder: Path) -> OwnState | None:
    """Read the file in the folder of an own model; None if there is none.

    Raises:
        ArtefactError: it cannot be read, is damaged or of another version.
    """
    path = folder / FILE
    try:
        with path.open("rb") as file:
            return OwnState.model_validate_json(file.read(MOST_BYTES))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        raise ArtefactError(
            f"{path}: is damaged or of another version: {error.errors()[0]['msg']}; restore it from a backup, or "
            f"delete {folder}: the configured model is then used again, and what was learned with the own model is not"
        ) from error


def write_state(folder: Path, state: OwnState) -> None:
    """Replace the file.

    Raises:
        MonitorError: it cannot be written; the old one stays.
    """
    path = folder / FILE
    try:
        write_atomically(path, state.model_dump_json(indent=1).encode())
    except OSError as error:
        raise MonitorError(
            f"{path}: cannot be written: {error.strerror or error}; check folder and free space"
        ) from error


@contextlib.contextmanager
def training_locked(folder: Path, waits: Callable[[], None]) -> Iterator[None]:
    """Keep other trainings out of the folder of an own model; the kernel ends the lock with the process.

    Args:
        folder: the folder.
        waits: called if another training has to end before.

    Raises:
        MonitorError: the folder cannot be written.
    """
    path = folder / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise MonitorError(f"{path}: cannot be written: {error.strerror or error}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waits()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
