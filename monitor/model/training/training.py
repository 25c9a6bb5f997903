"""Training: from recordings to weights.

A training starts from fresh weights, or continues with those of a model. There are two losses. ``every-block`` takes
the forecasts after every block of a window, with a learning rate that falls as a cosine; it was measured to be better.
``last-block`` is the tutorial's: the forecast after the last block, with a constant learning rate. Early stopping
validates on the end of each recording, never on random segments.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from monitor.core.arrays import Float32, Int64
from monitor.errors import MonitorError, RecordingError
from monitor.model.network import Shape, build_network, quiet_tensorflow
from monitor.model.training.dataset import Record, Windows, make_record, samples_before


@dataclass(frozen=True)
class Recipe:
    """Settings of a training."""

    loss: Literal["every-block", "last-block"] = "every-block"
    """Forecasts that the loss is computed of: after every block, or after the last block of a window."""
    epochs: int = 6
    """Passes over the windows."""
    batch: int = 64
    """Windows per training step."""
    optimizer: Literal["adam", "muon"] = "adam"
    """Muon learns more in few steps (K. Jordan, "Muon: an optimizer for hidden layers", 2024)."""
    learning_rate: float = 3e-3
    """Highest learning rate; for Adam, 1e-3 is the default in Keras and the tutorial's."""
    cosine: bool = True
    """Whether the learning rate falls to zero as a cosine."""
    rising: float = 0.0
    """Fraction of a cosine training in which the learning rate rises from zero. Lower: the first steps, taken before
    Adam knows the size of the gradients, damage weights that were good. Higher: less is learned in the same time."""
    stride: int = 5
    """Samples from the start of one window to the next."""
    windows: int | None = 10_000
    """Most windows an epoch: for ``last-block`` the first ones, as in the tutorial; else a random choice."""
    validation: float = 0.15
    """Fraction at the end of each recording that is used for early stopping, not for training."""
    patience: int = 3
    """Epochs without improvement after which training stops."""
    seed: int = 1
    """Random seed of the initial weights and of the order of windows."""


CONTINUED = Recipe(epochs=3, windows=5_000, optimizer="muon", learning_rate=2e-2, rising=0.1)
"""The recipe for continuing with a model's weights: a quarter of the steps of a training from scratch. From the shipped
reference, the gap ratios of 11 recordings are 0.88 to 1.06 times those from scratch, 0.98 in the median
(``tests/benchmarks/forecast.py``, part ``own``). A lower learning rate is worse on most of them. The larger the weights
of the model, the higher the rate that is needed, because a step of Muon has a fixed size."""

TUTORIAL = Recipe(loss="last-block", epochs=3, batch=32, learning_rate=1e-3, cosine=False, windows=5000, validation=0.0)
"""The tutorial's recipe: 5000 windows, stride 5, batch 32, Adam, mean squared error, 3 epochs."""


@dataclass(frozen=True)
class Progress:
    """Progress of a training."""

    epoch: int
    """Current epoch, from 1."""
    epochs: int
    """Most epochs."""
    fraction: float
    """Completed fraction of the whole training, 0 to 1."""
    loss: float
    """Mean training loss of the epoch so far."""
    validation_loss: float | None
    """Validation loss after the epoch; None during it, or without validation."""
    epoch_over: bool
    """Whether the epoch is complete."""
    windows_per_s: float
    """Windows trained per second."""
    remaining_s: float
    """Estimated seconds until the end."""


@dataclass(frozen=True)
class Trained:
    """The result of a training."""

    weights: list[Float32]
    """Arrays as in :attr:`Shape.weight_shapes`."""
    losses: list[float]
    """Mean training loss of each epoch."""
    validation_losses: list[float]
    """Mean validation loss after each epoch; empty without validation."""
    validation_loss_before: float | None
    """Validation loss of the weights that the training continued with; None from scratch, or without validation."""
    seconds: float
    """Duration of the training in seconds."""
    interrupted: bool
    """Whether a user stopped it; the weights are then the best so far."""


def train(
    recordings: list[list[Float32]],
    shape: Shape,
    recipe: Recipe,
    time_constant_blocks: int,
    report: Callable[[Progress], None],
    start: list[Float32] | None = None,
) -> Trained:
    """Train a network on healthy recordings.

    Args:
        recordings: the contiguous records of each recording in the order of time, (n,) float32 each.
        shape: dimensions of the network.
        recipe: settings of the training.
        time_constant_blocks: time constant of the level.
        report: called with the progress several times an epoch.
        start: weights to continue with, as in :attr:`Shape.weight_shapes`; None: fresh ones.

    Returns:
        The weights with the best validation loss, those of ``start`` included; without validation the last ones.
        KeyboardInterrupt ends it early.

    Raises:
        RecordingError: the records are too short for a single window.
        MonitorError: the training diverged.
    """
    run = _Run(recordings, shape, recipe, time_constant_blocks, report, start)
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
        run.validation_loss_before,
        time.monotonic() - run.began_s,
        interrupted,
    )


class _Run:
    """The state of one training: network, optimiser, and the best weights so far."""

    def __init__(
        self,
        recordings: list[list[Float32]],
        shape: Shape,
        recipe: Recipe,
        time_constant_blocks: int,
        report: Callable[[Progress], None],
        start: list[Float32] | None,
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
        self.step, self.evaluate = _compiled(self.network, _optimizer(recipe, self.steps * recipe.epochs))
        self.rng = np.random.default_rng(recipe.seed)
        self.best: list[Float32] = []
        self.validation_loss_before: float | None = None
        self.losses: list[float] = []
        self.validation_losses: list[float] = []
        self.began_s = time.monotonic()
        if start is not None:
            self.network.set_weights(start)
            if len(self.validation):
                self.best = start
                self.validation_loss_before = self._validate()

    @property
    def out_of_patience(self) -> bool:
        """Whether the validation loss has not improved for ``patience`` epochs."""
        losses = self.validation_losses
        return bool(losses) and len(losses) - 1 - int(np.argmin(losses)) >= self.recipe.patience

    @property
    def best_validation_loss(self) -> float:
        """The validation loss of the best weights so far; infinite if there are none."""
        before = math.inf if self.validation_loss_before is None else self.validation_loss_before
        return min([before, *self.validation_losses])

    def epoch(self) -> None:
        """Run one pass over the windows, then the validation."""
        recipe = self.recipe
        # ``last-block`` takes the first windows, as in the tutorial; ``every-block`` draws new ones from all
        # recordings.
        order = np.arange(self.per_epoch)
        if self.every_block:
            order = self.training.evenly(self.rng, self.per_epoch)
        order = self.rng.permutation(order)
        total = 0.0
        for number, first in enumerate(range(0, self.per_epoch, recipe.batch), 1):
            total += float(self.step(*self._batch(self.training, order[first : first + recipe.batch])))
            if number % 20 == 0:
                self._tell(number, total / number)
        if not math.isfinite(total):
            raise MonitorError(
                f"training: the loss was no finite number in epoch {len(self.losses) + 1}; give a --learning-rate "
                f"below {recipe.learning_rate:g}"
            )
        self.losses.append(total / self.steps)
        if len(self.validation):
            loss, best = self._validate(), self.best_validation_loss
            self.validation_losses.append(loss)
            if loss <= best:
                self.best = self.network.get_weights()
        self._tell(0, self.losses[-1])

    def _validate(self) -> float:
        parts = np.array_split(np.arange(len(self.validation)), math.ceil(len(self.validation) / 256))
        return float(np.mean([float(self.evaluate(*self._batch(self.validation, part))) for part in parts]))

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


def _optimizer(recipe: Recipe, steps: int) -> Any:
    """The optimiser of a training of so many steps."""
    import keras

    rate: Any = recipe.learning_rate
    rising = round(recipe.rising * steps)
    if recipe.cosine and rising:
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, steps - rising, warmup_target=recipe.learning_rate, warmup_steps=rising
        )
    elif recipe.cosine:
        rate = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps)
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(rate)
    # Without decay of the weights, which are good already. Muon takes the matrices, its Adam the offsets.
    return keras.optimizers.Muon(rate, weight_decay=None, adam_weight_decay=None, adam_beta_2=0.99)


def _compiled(network: Any, optimizer: Any) -> tuple[Any, Any]:
    """Compile a training step and an evaluation as TensorFlow functions: (inputs, targets) to mean squared error."""
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
