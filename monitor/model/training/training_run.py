"""From recordings to a model directory: splits the data, trains, compares and writes.

The end of each recording is held out for the report and never used in training. The record of the training in the
manifest names every recording that the weights have seen, also those of the model that the training started from.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from monitor.core.arrays import Float32
from monitor.core.forecasting.forecaster import Engine
from monitor.errors import RecordingError
from monitor.model.artefact.artefact import Artefact, Scaling, require_destination
from monitor.model.artefact.onnx_graph import onnx_bytes
from monitor.model.artefact.write import write_model
from monitor.model.engines.onnx_engine import OnnxEngine
from monitor.model.network import Shape
from monitor.model.training.dataset import split_in_time
from monitor.model.training.report import compare, linear_forecaster
from monitor.model.training.training import Progress, Recipe, train


class Origin(Protocol):
    """Where samples come from, as a recording says it; see :class:`monitor.recording.source.Recording`."""

    @property
    def name(self) -> str:
        """Name to show."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def sampling_rate_hz(self) -> float:
        """Sampling rate."""

    @property
    def decimate(self) -> int:
        """Samples of the file per sample."""

    @property
    def unit(self) -> str | None:
        """Unit of the samples in the file."""


MOST_REPORTED = 50
"""Recordings that have a row in the report, the first ones; a row takes 9 kB. More: the manifest of a plant's model is
larger than what is read of one."""

Material = Sequence[tuple[Origin, list[Float32]]]
"""Recordings, each with its contiguous records."""


def run_training(
    material: Material,
    shape: Shape,
    recipe: Recipe,
    holdout: float,
    time_constant_blocks: int,
    out: Path,
    report: Callable[[Progress], None],
    start: Artefact | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> Artefact:
    """Train on the first part of each recording, report on the rest, write the model.

    Args:
        material: the recordings, each with its contiguous records.
        shape: dimensions of the network.
        recipe: settings of the training.
        holdout: fraction at the end of each recording that is held out, 0 to 0.9.
        time_constant_blocks: time constant of the level.
        out: the model directory.
        report: called with the progress of the training.
        start: the model whose weights the training continues with; None: fresh weights.
        warn: called with the text of each warning.

    Returns:
        The model; its manifest holds the losses and the report.

    Raises:
        RecordingError: there are too few samples for training, or no signal in any recording.
        ArtefactError: ``out`` exists and is not a model.
        MonitorError: ``out`` cannot be written, or the training diverged.
    """
    require_destination(out)
    material = with_signal(material, holdout, warn)
    parts = [split_in_time(records, 1.0 - holdout) for _, records in material]
    weights = None if start is None else start.weights()
    trained = train([first for first, _ in parts], shape, recipe, time_constant_blocks, report, weights)
    engine = OnnxEngine(shape, onnx_bytes(shape, trained.weights))
    recordings = [recording for recording, _ in material]
    training = {
        "recordings": [
            described(recording, first, last) for recording, (first, last) in zip(recordings, parts, strict=True)
        ],
        "started_from": None if start is None else started_from(start, trained.validation_loss_before),
        "recipe": asdict(recipe),
        "losses": trained.losses,
        "validation_losses": trained.validation_losses,
        "seconds": round(trained.seconds, 2),
        "interrupted": trained.interrupted,
        "report": report_rows([each.name for each in recordings], parts, engine, time_constant_blocks),
    }
    rates = [recording.sampling_rate_hz for recording in recordings]
    scaling = Scaling(time_constant_blocks=time_constant_blocks)
    return write_model(out, shape, trained.weights, scaling, rates, training)


def with_signal(material: Material, holdout: float, warn: Callable[[str], None]) -> Material:
    """The recordings that have a signal to train on; those whose samples are all equal teach nothing.

    Args:
        material: the recordings, each with its contiguous records; at least one.
        holdout: fraction at the end of each recording that is held out.
        warn: called for each recording without a signal.

    Raises:
        RecordingError: none has a signal.
    """
    found = []
    for recording, records in material:
        if any(record.min() < record.max() for record in split_in_time(records, 1.0 - holdout)[0]):
            found.append((recording, records))
        else:
            warn(
                f"{recording.name}: all samples that would be trained on are equal, so there is nothing to forecast; "
                "left out"
            )
    if not found:
        raise RecordingError(
            "training: there is nothing to forecast: in every recording all samples to train on are equal; check the "
            "sensors, and record the machines while they run"
        )
    return found


def started_from(start: Artefact, validation_loss: float | None) -> dict[str, Any]:
    """What the manifest says of the model that a training started from, and of what it has seen."""
    return {
        "name": start.path.name,
        "sha256": start.sha256,
        "validation_loss": validation_loss,
        "recordings": [
            {"name": name, "sha256": sha256} for sha256, name in recordings_seen(start.manifest.training).items()
        ],
    }


def recordings_seen(training: dict[str, Any]) -> dict[str, str]:
    """The recordings that a model's weights have seen, also by the models that it started from.

    Args:
        training: ``training`` of a manifest.

    Returns:
        The name of each file by its SHA-256; of a file with several channels, the first name.
    """
    before = (training.get("started_from") or {}).get("recordings", [])
    seen: dict[str, str] = {}
    for each in [*training.get("recordings", []), *before]:
        seen.setdefault(each["sha256"], each["name"])
    return seen


def file_sha256(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def described(recording: Origin, first: list[Float32], last: list[Float32]) -> dict[str, Any]:
    """What the manifest says of a recording: its file, and how much of it was trained on and held out."""
    return {
        "name": recording.name,
        "sha256": file_sha256(recording.path),
        "sampling_rate_hz": recording.sampling_rate_hz,
        "decimate": recording.decimate,
        "unit": recording.unit,
        "trained_samples": sum(record.size for record in first),
        "held_out_samples": sum(record.size for record in last),
    }


def report_rows(
    names: list[str],
    parts: list[tuple[list[Float32], list[Float32]]],
    engine: Engine,
    time_constant_blocks: int,
) -> list[dict[str, Any]]:
    """The rows of the report: the gap ratios of all forecasters on the held-out part of each recording."""
    size = engine.block_samples
    linear = linear_forecaster([first for first, _ in parts], size, time_constant_blocks)
    rows: list[dict[str, Any]] = []
    for name, (first, last) in zip(names, parts, strict=True):
        if len(rows) == MOST_REPORTED:
            break
        own = linear_forecaster([first], size, time_constant_blocks)
        found = compare(engine, last, {"linear": linear, "linear_own": own}, time_constant_blocks, engine.window_blocks)
        if not np.isfinite(found.ratios["zero"].overall):  # no block, or no signal in any
            continue
        rows.append(
            {
                "name": name,
                "blocks": found.blocks,
                "gap_ratio": {key: round(value.overall, 6) for key, value in found.ratios.items()},
                "by_position": {
                    key: [round(ratio, 4) for ratio in value.by_position]
                    for key, value in found.ratios.items()
                    if key != "zero"
                },
            }
        )
    return rows
