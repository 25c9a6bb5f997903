"""From recordings to a model directory: splits the data, trains, compares and writes.

The end of each recording is held out for the report and never used in training.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monitor.core.arrays import Float32
from monitor.core.forecaster import Engine
from monitor.model.artefact.artefact import Artefact, Scaling
from monitor.model.artefact.onnx_graph import onnx_bytes
from monitor.model.artefact.write import write_model
from monitor.model.engines.onnx_engine import OnnxEngine
from monitor.model.network import Shape
from monitor.model.training.dataset import split_in_time
from monitor.model.training.report import compare, linear_forecaster
from monitor.model.training.training import Progress, Recipe, train
from monitor.recording.source import Recording

Material = list[tuple[Recording, list[Float32]]]
"""Recordings, each with its contiguous records."""


def run_training(
    material: Material,
    shape: Shape,
    recipe: Recipe,
    holdout: float,
    time_constant_blocks: int,
    out: Path,
    report: Callable[[Progress], None],
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

    Returns:
        The model; its manifest holds the losses and the report.

    Raises:
        RecordingError: there are too few samples for training.
        ArtefactError: ``out`` exists and is not a model.
    """
    parts = [split_in_time(records, 1.0 - holdout) for _, records in material]
    trained = train([first for first, _ in parts], shape, recipe, time_constant_blocks, report)
    engine = OnnxEngine(shape, onnx_bytes(shape, trained.weights))
    recordings = [recording for recording, _ in material]
    training = {
        "recordings": [
            _described(recording, first, last) for recording, (first, last) in zip(recordings, parts, strict=True)
        ],
        "recipe": asdict(recipe),
        "losses": trained.losses,
        "validation_losses": trained.validation_losses,
        "seconds": round(trained.seconds, 2),
        "interrupted": trained.interrupted,
        "report": _report([each.name for each in recordings], parts, engine, time_constant_blocks),
    }
    rates = [recording.sampling_rate_hz for recording in recordings]
    scaling = Scaling(time_constant_blocks=time_constant_blocks)
    return write_model(out, shape, trained.weights, scaling, rates, training)


def _described(recording: Recording, first: list[Float32], last: list[Float32]) -> dict[str, Any]:
    with recording.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "name": recording.name,
        "sha256": digest,
        "sampling_rate_hz": recording.sampling_rate_hz,
        "decimate": recording.decimate,
        "unit": recording.unit,
        "trained_samples": sum(record.size for record in first),
        "held_out_samples": sum(record.size for record in last),
    }


def _report(
    names: list[str],
    parts: list[tuple[list[Float32], list[Float32]]],
    engine: Engine,
    time_constant_blocks: int,
) -> list[dict[str, Any]]:
    size = engine.block_samples
    linear = linear_forecaster([first for first, _ in parts], size, time_constant_blocks)
    rows = []
    for name, (first, last) in zip(names, parts, strict=True):
        own = linear_forecaster([first], size, time_constant_blocks)
        found = compare(engine, last, {"linear": linear, "linear_own": own}, time_constant_blocks, engine.window_blocks)
        if not found.blocks:
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
