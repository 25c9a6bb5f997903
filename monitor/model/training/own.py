"""Trains a plant's own model on what was sampled of its channels, and judges whether it foresees more.

The last stretches of each channel are held back. On them a head is fitted to the forecasts of each model, as a channel
that learns would do it, and the share of the signal's energy that such a forecast explains is compared. What a
channel's own linear model foresees as well is thus no gain.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.core.arrays import Float32
from monitor.core.forecasting.forecaster import CarriedForecaster, Engine, unusable
from monitor.core.forecasting.level import Level
from monitor.core.learning.head_fit import Stretch, fit_head
from monitor.model.artefact.artefact import Artefact
from monitor.model.engines.engines import load_engine
from monitor.model.own.samples import Sampled
from monitor.model.training.training import CONTINUED, Progress, Recipe
from monitor.model.training.training_run import run_training

HELD_BACK = 0.4
"""Share of each channel's stretches, the last ones, that are judged on and not trained on. Lower: a few stretches
decide. Higher: less to train on."""

LEAST_GAIN = 0.005
"""Share of the signal's energy that must be foreseen more, as a mean over the channels. Lower: chance decides. Higher:
a model that would be worth it is not taken."""


@dataclass(frozen=True)
class Judged:
    """How much is foreseen of what was held back."""

    channels: int
    """Channels that were judged."""
    foreseen: float
    """Share of the energy with the own model, 0 to 1, as a mean over the channels."""
    foreseen_before: float
    """The same with the model that it started from."""

    @property
    def better(self) -> bool:
        """Whether the own model foresees enough more."""
        return self.foreseen - self.foreseen_before >= LEAST_GAIN


def train_own(
    sampled: list[Sampled],
    base: Artefact,
    out: Path,
    report: Callable[[Progress], None],
    recipe: Recipe = CONTINUED,
    warn: Callable[[str], None] = lambda _: None,
) -> Artefact:
    """Train a model on the first stretches of each channel.

    Args:
        sampled: the channels.
        base: the model whose weights the training continues with.
        out: the new model's directory.
        report: called with the progress.
        recipe: settings of the training.
        warn: called with the text of each warning.

    Raises:
        RecordingError: the stretches are too short, or have no signal.
        MonitorError: the model cannot be written, or the training diverged.
    """
    manifest = base.manifest
    material = [(each, list(each.stretches)) for each in sampled]
    constant = manifest.scaling.time_constant_blocks
    return run_training(material, manifest.shape, recipe, HELD_BACK, constant, out, report, base, warn)


def judge(
    sampled: list[Sampled], own: Artefact, base: Artefact, report: Callable[[str], None] = lambda _: None
) -> Judged:
    """Compare two models of the same shape on the stretches that were held back; ``report`` tells each channel."""
    engines = [load_engine(model, "onnxruntime") for model in (own, base)]
    shape, constant = base.manifest.shape, base.manifest.scaling.time_constant_blocks
    found = []
    for each in sampled:
        first = math.ceil(len(each.stretches) * (1.0 - HELD_BACK))
        held = each.stretches[first:]
        held = held[:, : held.shape[1] // shape.block_samples * shape.block_samples]
        blocks = held.reshape(len(held), -1, shape.block_samples)
        trusts = [fit_head(_forecast(engine, blocks, shape.window_blocks, constant)).trust for engine in engines]
        found.append(trusts)
        report(f"{each.name}: foreseen {trusts[0]:.3f}, with {base.path.name} {trusts[1]:.3f}")
    mean = np.mean(found, axis=0)
    return Judged(len(found), float(mean[0]), float(mean[1]))


def _forecast(engine: Engine, blocks: Float32, warmup_blocks: int, constant: int) -> list[Stretch]:
    """Forecast the blocks (stretches, blocks, block_samples) as the daemon would; the warm-up is left out."""
    count = blocks.shape[1]
    rows = np.arange(len(blocks))
    level, forecaster = Level(len(blocks), constant), CarriedForecaster(engine, len(blocks))
    signal, forecast = np.empty_like(blocks), np.zeros_like(blocks)
    for number in range(count):
        now = blocks[:, number]
        spikes = level.outside(rows, now.max(axis=1), now.min(axis=1)).spikes
        signal[:, number] = level.centre(rows, now)
        units = forecaster.step(level.update(rows, signal[:, number], spikes), rows)
        bad = unusable(units)
        if bad is not None:
            forecaster.reset(rows[bad])
            units = np.where(bad[:, None], np.float32(0), units)
        if number + 1 < count:
            forecast[:, number + 1] = units * level.rms(rows)[:, None]
    first = min(warmup_blocks, count // 2)
    return [Stretch(signal[row, first - 1], signal[row, first:], forecast[row, first:]) for row in rows]
