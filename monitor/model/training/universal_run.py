"""From random machines, and recordings if there are any, to the directory of a universal model.

During the training, and in the report, the network is compared on machines that it is never trained on: random machines
of a seed kept apart, and the end of each recording. Each comparison includes an AR model fitted to that very machine.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from monitor.core.arrays import Bool, Float32, Float64
from monitor.core.forecasting.level import TIME_CONSTANT_BLOCKS
from monitor.errors import MonitorError, RecordingError
from monitor.model.artefact.artefact import Artefact, Scaling, load_artefact, require_destination
from monitor.model.artefact.onnx_graph import onnx_bytes
from monitor.model.artefact.write import write_model
from monitor.model.engines.onnx_engine import OnnxEngine
from monitor.model.network import Shape
from monitor.model.training.checkpoint import checkpoint_of
from monitor.model.training.dataset import split_in_time
from monitor.model.training.report import linear_forecaster
from monitor.model.training.signal_pool import normalised, shortest_record
from monitor.model.training.training_run import Material, described, report_rows, started_from, with_signal
from monitor.model.training.universal import UniversalProgress, train_universal
from monitor.model.training.universal_recipe import UniversalRecipe
from monitor.simulation.random_vibration import RandomVibration

HELD_OUT_SEED = 990_001
"""Seed of the random machines that no training uses."""

HELD_OUT_MACHINES = 200
"""Held-out random machines in the report."""

CLASSES = (0.0, 0.1, 0.5, 0.9, 10.0)
"""Borders of the gap ratio of a machine's own AR model, for the report; an unstable one counts as the last."""

TONES = (0.0005, 0.002, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.45)
"""Frequencies of single tones in the report, in cycles per sample."""

FIT_BLOCKS, JUDGED_BLOCKS = 300, 300
"""Blocks of a held-out machine that its own AR model is fitted to, and blocks that are judged."""


class HeldOutMachines:
    """Random machines that no training has seen, each with the gap ratio of an AR model of its own."""

    def __init__(self, count: int, block_samples: int, warmup_blocks: int) -> None:
        self._warmup_blocks = min(warmup_blocks, JUDGED_BLOCKS // 2)
        blocks = FIT_BLOCKS + JUDGED_BLOCKS + 1
        signals = RandomVibration(HELD_OUT_SEED).signals(count, blocks * block_samples)
        fitted = FIT_BLOCKS * block_samples
        own = [linear_forecaster([[each[:fitted]]], block_samples, TIME_CONSTANT_BLOCKS) for each in signals]
        self._inputs, self._targets = normalised(signals[:, fitted:].reshape(count, -1, block_samples))
        linear = np.stack([inputs @ matrix for inputs, matrix in zip(self._inputs, own, strict=True)])
        # An AR model may be so unstable that its forecasts are not finite: fmin takes the limit then.
        self.linear_own = np.fmin(_gap_ratios(linear, self._targets, self._warmup_blocks), CLASSES[-1])
        """(count,) gap ratio of each machine's own AR model; of an unstable one at most the last of ``CLASSES``."""

    def gap_ratios(self, engine: OnnxEngine) -> Float64:
        """The gap ratio of a network on each machine, (count,)."""
        return _gap_ratios(_forecasts(engine, self._inputs), self._targets, self._warmup_blocks)

    def summary(self, ratios: Float64, chosen: Bool | None = None) -> dict[str, float]:
        """The figures of a report: gap ratios of network and AR models, and how often the network is better.

        Args:
            ratios: (count,) the network's.
            chosen: (count,) the machines to look at, at least one; None: all.
        """
        linear = self.linear_own if chosen is None else self.linear_own[chosen]
        ratios = ratios if chosen is None else ratios[chosen]
        return {
            "count": int(ratios.size),
            "gap_ratio_median": float(np.median(ratios)),
            "gap_ratio_mean": float(np.mean(ratios)),
            "gap_ratio_max": float(np.max(ratios)),
            "linear_own_median": float(np.median(linear)),
            "over_linear_own_median": float(np.median(ratios / np.maximum(linear, 1e-9))),
            "better_than_linear_own": float(np.mean(ratios < linear)),
        }

    def classes(self, ratios: Float64) -> list[dict[str, float]]:
        """The summary by the gap ratio of the machines' own AR models, in the ranges of ``CLASSES``."""
        rows: list[dict[str, float]] = []
        for low, high in itertools.pairwise(CLASSES):
            chosen = (self.linear_own >= low) & (self.linear_own < high if high < CLASSES[-1] else True)
            if chosen.any():
                rows.append({"from": low, "to": high, **self.summary(ratios, chosen)})
        return rows


def tones_foreseen(engine: OnnxEngine, warmup_blocks: int) -> list[dict[str, float]]:
    """The gap ratio of a network on single steady tones, 30 dB above white noise, at the frequencies ``TONES``."""
    size = engine.block_samples
    time = np.arange((warmup_blocks + JUDGED_BLOCKS + 1) * size)
    rng = np.random.default_rng(HELD_OUT_SEED)
    signals = np.stack([math.sqrt(2) * np.cos(2 * math.pi * (each * time + rng.random())) for each in TONES])
    signals += 10 ** (-30 / 20) * rng.standard_normal(signals.shape)
    inputs, targets = normalised(signals.astype(np.float32).reshape(len(TONES), -1, size))
    ratios = _gap_ratios(_forecasts(engine, inputs), targets, warmup_blocks)
    return [{"frequency": each, "gap_ratio": float(ratio)} for each, ratio in zip(TONES, ratios, strict=True)]


def _forecasts(engine: OnnxEngine, inputs: Float32) -> Float32:
    """Run a network over sequences, (n, blocks, block_samples) to the same shape, with a carried state."""
    state, rows = engine.new_state(len(inputs)), np.arange(len(inputs))
    steps = [engine.step(np.ascontiguousarray(inputs[:, block]), state, rows) for block in range(inputs.shape[1])]
    return np.stack(steps, axis=1)


def _gap_ratios(forecasts: Float64 | Float32, targets: Float32, warmup_blocks: int) -> Float64:
    """The gap ratio of each sequence after the warm-up, (n,)."""
    observed = targets[:, warmup_blocks:].astype(np.float64)
    error = np.einsum("nkj->n", (observed - forecasts[:, warmup_blocks:]) ** 2)
    ratios: Float64 = error / np.einsum("nkj->n", observed**2)
    return ratios


def run_universal(
    material: Material,
    shape: Shape,
    recipe: UniversalRecipe,
    holdout: float,
    out: Path,
    report: Callable[[UniversalProgress], None],
    *,
    budget_s: float | None,
    batches: int | None,
    start: Artefact | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> Artefact:
    """Train a universal model, compare it on held-out machines, and write it.

    A checkpoint lies beside the directory while the training runs; the same call resumes it.

    Args:
        material: healthy recordings to mix in, each with its contiguous records; may be empty.
        shape: dimensions of the network.
        recipe: settings of the training.
        holdout: fraction at the end of each recording that is held out, 0 to 0.9.
        out: the model directory.
        report: called with the progress of the training.
        budget_s: seconds that the training may take.
        batches: length of the training in batches; takes precedence over the budget.
        start: the model whose weights the training starts from; None: fresh weights.
        warn: called with the text of each warning.

    Returns:
        The model; its manifest holds the report. Ctrl-C ends the training early.

    Raises:
        RecordingError: a recording is unusable.
        ArtefactError: ``out`` exists and is not a model, or the checkpoint belongs to another training.
        MonitorError: ``out`` cannot be written, the training diverged, or it was stopped and there is no model to
            write: before the first batch, or where ``out`` holds the model of a training that was not stopped.
    """
    require_destination(out)
    material = with_signal(material, holdout, warn) if material else []
    parts = [split_in_time(records, 1.0 - holdout) for _, records in material]
    for (recording, _), (first, _) in zip(material, parts, strict=True):
        longest = max((record.size for record in first), default=0)
        if longest < (least := shortest_record(recipe.blocks, shape.block_samples)):
            raise RecordingError(
                f"{recording.name}: too short: its longest record has {longest:,} samples to train on, after --holdout "
                f"{holdout:g}, at least {least:,} are needed; leave it out, or give a smaller --holdout"
            )
    held_out = HeldOutMachines(HELD_OUT_MACHINES, shape.block_samples, shape.window_blocks)
    checkpoint = checkpoint_of(out)

    def check(weights: list[Float32]) -> dict[str, float]:
        return held_out.summary(held_out.gap_ratios(OnnxEngine(shape, onnx_bytes(shape, weights))))

    trained = train_universal(
        [first for first, _ in parts],
        shape,
        recipe,
        budget_s=budget_s,
        batches=batches,
        checkpoint=checkpoint,
        report=report,
        check=check,
        start=None if start is None else start.weights(),
    )
    if trained.interrupted and (not trained.batches or _finished(out)):
        kept = f"{out} is kept as it was" if out.exists() else "no model was written"
        raise MonitorError(
            f"train --universal: stopped after {trained.batches} batches; {kept}, the same command resumes the training"
        )
    engine = OnnxEngine(shape, onnx_bytes(shape, trained.weights))
    found = held_out.gap_ratios(engine)
    recordings = [recording for recording, _ in material]
    training: dict[str, Any] = {
        "universal": {
            "batches": trained.batches,
            "recordings": len(material),
            "random_machines": {**held_out.summary(found), "classes": held_out.classes(found)},
            "tones": tones_foreseen(engine, shape.window_blocks),
        },
        "recordings": [
            described(recording, first, last) for recording, (first, last) in zip(recordings, parts, strict=True)
        ],
        "started_from": None if start is None else started_from(start, None),
        "recipe": asdict(recipe),
        "losses": trained.losses,
        "gap_ratios": trained.gap_ratios,
        "validation_losses": [],
        "seconds": round(trained.seconds, 2),
        "interrupted": trained.interrupted,
        "report": report_rows([each.name for each in recordings], parts, engine, TIME_CONSTANT_BLOCKS),
    }
    artefact = write_model(
        out, shape, trained.weights, Scaling(time_constant_blocks=TIME_CONSTANT_BLOCKS), [], training
    )
    if not trained.interrupted:
        checkpoint.unlink(missing_ok=True)
    return artefact


def _finished(path: Path) -> bool:
    """Whether there is a model of a training that was not stopped early."""
    try:
        training = load_artefact(path).manifest.training
    except MonitorError:
        return False
    return not training.get("interrupted", False)
