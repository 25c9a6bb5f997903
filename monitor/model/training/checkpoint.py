"""Checkpoints of a universal training: one ``.npz`` that is complete or absent, and read without executing anything."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from monitor.atomic_file import write_atomically
from monitor.core.arrays import AnyArray, Float32
from monitor.errors import ArtefactError


@dataclass
class Position:
    """Where a training stands."""

    batch: int = 0
    """Batches done."""
    batches: int = 0
    """Batches of the whole training; 0: not known yet."""
    spent_s: float = 0.0
    """Seconds of training so far, over all runs."""
    losses: list[float] = field(default_factory=list)
    """Mean loss of each report."""
    gap_ratios: list[float] = field(default_factory=list)
    """Mean gap ratio of each report."""

    @property
    def fraction(self) -> float:
        """The completed fraction of the training."""
        return self.batch / self.batches


@dataclass(frozen=True)
class Checkpoint:
    """All that a training needs to go on."""

    settings: str
    """Recipe, and hash of what the training starts from; a training with others cannot go on from here."""
    position: Position
    """Where it stands."""
    weights: list[Float32]
    """Arrays of the network, in Keras' order."""
    variables: list[AnyArray]
    """Arrays of the optimiser, in Keras' order."""


def checkpoint_of(out: Path) -> Path:
    """The checkpoint of a training whose model goes to the directory ``out``."""
    return out.with_name(out.name + ".checkpoint.npz")


def write_checkpoint(path: Path, found: Checkpoint) -> None:
    """Write a checkpoint atomically."""
    position = found.position
    buffer = io.BytesIO()
    np.savez(
        buffer,
        allow_pickle=False,
        settings=np.array(found.settings),
        numbers=np.array([position.batch, position.batches, position.spent_s], np.float64),
        losses=np.array(position.losses, np.float64),
        gap_ratios=np.array(position.gap_ratios, np.float64),
        **{f"weight_{i}": each for i, each in enumerate(found.weights)},
        **{f"optimizer_{i}": each for i, each in enumerate(found.variables)},
    )
    write_atomically(path, buffer.getvalue())


def read_checkpoint(path: Path, weights: int, variables: int) -> Checkpoint:
    """Read a checkpoint with so many ``weights`` and ``variables``; their shapes are not checked.

    Raises:
        ArtefactError: it cannot be read.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            found = {name: stored[name] for name in stored.files}
        batch, batches, spent_s = found["numbers"].tolist()
        return Checkpoint(
            str(found["settings"]),
            Position(int(batch), int(batches), spent_s, found["losses"].tolist(), found["gap_ratios"].tolist()),
            [found[f"weight_{i}"] for i in range(weights)],
            [found[f"optimizer_{i}"] for i in range(variables)],
        )
    except Exception as error:  # zipfile, zlib and NumPy raise many types for a damaged file
        raise ArtefactError(
            f"checkpoint {path}: cannot be read ({error}); delete it to start the training again"
        ) from error
