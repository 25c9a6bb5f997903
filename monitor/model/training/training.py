"""Training: windows in, weights out.

Two recipes. ``every-block`` puts the loss on the forecast after each block of a window and lets the learning rate fall
as a cosine (measured better); ``last-block`` is the tutorial's: the loss on the forecast after the last block, a
constant rate. Early stopping looks at the last part of the time axis, never at random segments. Refuses to know: files,
the daemon.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from monitor.core.arrays import Float32, Int64
from monitor.errors import RecordingError
from monitor.model.network import Shape, build_network, quiet_tensorflow
from monitor.model.training.dataset import Record, Windows, make_record, samples_before


@dataclass(frozen=True)
class Recipe:
    """How to train."""

    loss: Literal["every-block", "last-block"] = "every-block"
    """Where the loss is put."""
    epochs: int = 6
    """Passes over the windows."""
    batch: int = 64
    """Windows in a step."""
    learning_rate: float = 3e-3
    """Highest rate; 1e-3 is Keras' default for Adam and the tutorial's."""
    cosine: bool = True
    """Whether the rate falls to zero as a cosine."""
    stride: int = 5
    """Samples between the starts of two windows."""
    windows: int | None = 10_000
    """Most windows an epoch (the first ones, as in the tutorial, for ``last-block``; a random choice otherwise)."""
    validation: float = 0.15
    """Part at the end of each recording that stops the training and is not trained on."""
    patience: int = 3
    """Epochs without improvement after which training stops."""
    seed: int = 1
    """Of the weights and of the order."""


TUTORIAL = Recipe(loss="last-block", epochs=3, batch=32, learning_rate=1e-3, cosine=False, windows=5000, validation=0.0)
"""5000 windows, stride 5, batch 32, Adam, mean squared error, 3 epochs."""


@dataclass(frozen=True)
class Progress:
    """How far a training is."""

    epoch: int
    """From 1."""
    epochs: int
    """At most."""
    fraction: float
    """Of the whole training, 0 to 1."""
    loss: float
    """Running mean of the epoch."""
    validation_loss: float | None
    """After the epoch; None within it, or without validation."""
    epoch_over: bool
    """Whether this closes an epoch."""
    windows_per_s: float
    """Rate."""
    remaining_s: float
    """Estimate."""


@dataclass(frozen=True)
class Trained:
    """What came out."""

    weights: list[Float32]
    """As in :attr:`Shape.weight_shapes`."""
    losses: list[float]
    """Mean training loss of each epoch."""
    validation_losses: list[float]
    """Mean validation loss after each epoch; empty without validation."""
    seconds: float
    """How long it took."""
    interrupted: bool
    """Whether a person stopped it; the weights are the best so far."""


def train(
    recordings: list[list[Float32]],
    shape: Shape,
    recipe: Recipe,
    time_constant_blocks: int,
    report: Callable[[Progress], None],
) -> Trained:
    """Train a fresh network on healthy recordings.

    Args:
        recordings: of each its contiguous records in the order of time, (n,) float32 each.
        shape: the network.
        recipe: how.
        time_constant_blocks: of the level.
        report: told several times an epoch.

    Returns:
        The best weights by validation loss, the last without validation. KeyboardInterrupt ends it early.

    Raises:
        RecordingError: the records are too short for a single window.
    """
    run = _Run(recordings, shape, recipe, time_constant_blocks, report)
    interrupted = False
    try:
        while len(run.losses) < recipe.epochs and not run.out_of_patience:
            run.epoch()
    except KeyboardInterrupt:
        interrupted = True
    return Trained(
        run.best or run.network.get_weights(),
        run.losses,
        run.validation_losses,
        time.monotonic() - run.began_s,
        interrupted,
    )


class _Run:
    """One training under way: network, optimiser, and the best weights so far."""

    def __init__(
        self,
        recordings: list[list[Float32]],
        shape: Shape,
        recipe: Recipe,
        time_constant_blocks: int,
        report: Callable[[Progress], None],
    ) -> None:
        quiet_tensorflow()
        import keras

        keras.utils.set_random_seed(recipe.seed)
        self.training, self.validation = _windows(recordings, shape, recipe, time_constant_blocks)
        self.recipe = recipe
        self.report = report
        self.every_block = recipe.loss == "every-block"
        self.network = build_network(shape, every_block=self.every_block)
        self.per_epoch = min(len(self.training), recipe.windows or len(self.training))
        self.steps = math.ceil(self.per_epoch / recipe.batch)
        rate: Any = recipe.learning_rate
        if recipe.cosine:
            rate = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, self.steps * recipe.epochs)
        self.step, self.evaluate = _compiled(self.network, keras.optimizers.Adam(rate))
        self.rng = np.random.default_rng(recipe.seed)
        self.best: list[Float32] = []
        self.losses: list[float] = []
        self.validation_losses: list[float] = []
        self.began_s = time.monotonic()

    @property
    def out_of_patience(self) -> bool:
        """Whether the validation loss has not improved for too long."""
        losses = self.validation_losses
        return bool(losses) and len(losses) - 1 - int(np.argmin(losses)) >= self.recipe.patience

    def epoch(self) -> None:
        """One pass over the windows, and a look at the validation."""
        recipe = self.recipe
        # The tutorial takes the first windows; the better recipe any, anew each time, evenly from all records.
        order = np.arange(self.per_epoch)
        if self.every_block:
            order = self.training.evenly(self.rng, self.per_epoch)
        order = self.rng.permutation(order)
        total = 0.0
        for number, first in enumerate(range(0, self.per_epoch, recipe.batch), 1):
            total += float(self.step(*self._batch(self.training, order[first : first + recipe.batch])))
            if number % 20 == 0:
                self._tell(number, total / number)
        self.losses.append(total / self.steps)
        if len(self.validation):
            parts = np.array_split(np.arange(len(self.validation)), math.ceil(len(self.validation) / 256))
            losses = [float(self.evaluate(*self._batch(self.validation, part))) for part in parts]
            self.validation_losses.append(float(np.mean(losses)))
            if self.validation_losses[-1] == min(self.validation_losses):
                self.best = self.network.get_weights()
        self._tell(0, self.losses[-1])

    def _batch(self, windows: Windows, which: Int64) -> tuple[Float32, Float32]:
        inputs, targets = windows.batch(which)
        return (inputs, targets) if self.every_block else (inputs, targets[:, -1])

    def _tell(self, steps: int, loss: float) -> None:
        epochs = self.recipe.epochs
        fraction = (len(self.losses) + steps / self.steps) / epochs
        elapsed_s = time.monotonic() - self.began_s
        validation_loss = self.validation_losses[-1] if self.validation_losses and not steps else None
        self.report(
            Progress(
                len(self.losses) + (1 if steps else 0),
                epochs,
                fraction,
                loss,
                validation_loss,
                steps == 0,
                fraction * epochs * self.per_epoch / elapsed_s,
                elapsed_s * (1 / fraction - 1),
            )
        )


def _compiled(network: Any, optimizer: Any) -> tuple[Any, Any]:
    """A training step and an evaluation, (inputs, targets) to mean squared error, as TensorFlow functions."""
    import tensorflow as tf

    optimizer.build(network.trainable_variables)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(inputs: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(network(inputs, training=True) - targets))
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return loss

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def evaluate(inputs: Any, targets: Any) -> Any:
        return tf.reduce_mean(tf.square(network(inputs, training=False) - targets))

    return step, evaluate


def _windows(
    recordings: list[list[Float32]], shape: Shape, recipe: Recipe, time_constant_blocks: int
) -> tuple[Windows, Windows]:
    size, blocks = shape.block_samples, shape.window_blocks
    first_parts: list[Record] = []
    last_parts: list[Record] = []
    for number, records in enumerate(recordings):
        counts = samples_before([record.size for record in records], 1.0 - recipe.validation)
        for samples, cut in zip(records, counts, strict=True):
            whole = make_record(samples, size, time_constant_blocks, number)
            if cut:
                first_parts.append(Record(samples[:cut], whole.mean[:cut], whole.rms[:cut], number))
            if cut < samples.size:
                last_parts.append(Record(samples[cut:], whole.mean[cut:], whole.rms[cut:], number))
    training = Windows(first_parts, size, blocks, recipe.stride)
    if not len(training):
        longest = max((record.size for records in recordings for record in records), default=0)
        need = math.ceil(((blocks + 2) * size) / (1.0 - recipe.validation))
        raise RecordingError(
            f"training: the longest record has {longest} samples, a window of {blocks} blocks of {size} needs {need}; "
            "bring longer records, or use fewer --blocks"
        )
    return training, Windows(last_parts, size, blocks, size)
