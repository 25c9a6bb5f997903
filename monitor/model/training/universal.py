"""Training of the universal reference: a network that forecasts machines that it has never seen.

It is trained on random machines, each seen for a short time only. What it can learn is therefore how to identify a
machine while it runs: the state that it carries from block to block describes the machine. The loss is the logarithm of
each sequence's residual energy relative to its signal energy, so that a machine that can be forecast to 99 % counts as
much as one that is mostly noise. Sequences are long, and cut into pieces; the state is carried from piece to piece, the
gradient is not. Pieces of many batches alternate, so that consecutive steps see different machines.

The optimiser is Muon for matrices, Adam for offsets (K. Jordan, "Muon: an optimizer for hidden layers", 2024; J. Liu,
"Muon is scalable for LLM training", 2025). The learning rate is constant, then falls linearly to zero. Where it begins
to fall, the training can be branched or resumed; only then must its length be known.
"""

import hashlib
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monitor.core.arrays import Float32
from monitor.errors import ArtefactError, MonitorError
from monitor.model.network import Shape, build_carrying_network, quiet_tensorflow
from monitor.model.training.checkpoint import Checkpoint, Position, read_checkpoint, write_checkpoint
from monitor.model.training.signal_pool import POOL_SIGNALS, SignalPool

WARMUP_STEPS = 200
"""Steps in which the learning rate rises to its full value."""

LEAST_BUDGET_S = 30.0
"""Shortest budget. Less: the learning rate has not even risen."""

CHECKPOINT_EVERY_S = 300.0
"""Seconds between two checkpoints: what an interruption costs."""


@dataclass(frozen=True)
class UniversalRecipe:
    """Settings of a universal training."""

    sequences: int = 64
    """Sequences in a batch."""
    piece_blocks: int = 8
    """Blocks of a sequence in one training step; the gradient reaches as far back. More: fewer steps in the same time,
    and steps are what counts (2.9 million blocks of simple machines: gap ratio 0.63 with 32, 0.49 with 8)."""
    pieces: int = 16
    """Pieces of a sequence, trained on in their order with the carried state."""
    together: int = 32
    """Batches whose pieces are trained on in turn, in random order. With 1, consecutive steps see the same machines,
    and the network learns half as fast (700 steps on simple machines: gap ratio 0.81 instead of 0.69)."""
    uncounted_blocks: int = 2
    """Blocks at the start of a sequence whose forecasts do not count in the loss."""
    learning_rate: float = 1.2e-2
    """Highest learning rate."""
    weight_decay: float = 0.1
    """Decay of the weights, relative to the learning rate. Lower: they grow without end under Muon, whose steps are all
    of the same size, and the gates saturate (a standard deviation of 2 after 48,000 steps). Higher: less is kept (2.9
    million blocks of simple machines: gap ratio 0.49 with 0, 0.46 with 0.03, 0.45 with 0.1)."""
    falling: float = 0.8
    """Share of the training in which the learning rate falls to zero."""
    floor: float = 0.1
    """Added to the relative residual energy before the logarithm. Lower: almost noiseless machines dominate the loss.
    Higher: they do not get better than this."""
    renewed: int = 3
    """Signals of the pool that are renewed with each batch."""
    excess: float = 2.0
    """Weight of what the residual of a piece has more energy than its signal. Lower: signals that the network does not
    know are forecast wrongly instead of not at all."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    seed: int = 1
    """Random seed of weights and signals."""

    @property
    def blocks(self) -> int:
        """Input blocks of a sequence."""
        return self.piece_blocks * self.pieces


@dataclass(frozen=True)
class UniversalProgress:
    """Progress of a universal training."""

    batch: int
    """Batches done."""
    fraction: float
    """Completed fraction of the training, 0 to 1."""
    loss: float
    """Mean loss since the last report."""
    gap_ratio: float
    """Mean gap ratio of the sequences since the last report."""
    blocks_per_s: float
    """Blocks trained on per second."""
    remaining_s: float
    """Estimated seconds until the end."""
    checked: dict[str, float] | None
    """Held-out gap ratios, if they were just measured."""


@dataclass(frozen=True)
class UniversalTrained:
    """The result of a universal training."""

    weights: list[Float32]
    """Arrays as in :attr:`Shape.weight_shapes`."""
    batches: int
    """Batches trained on; the same number, recipe and recordings give the same weights."""
    losses: list[float]
    """Mean loss between two reports."""
    gap_ratios: list[float]
    """Mean gap ratio of the training sequences between two reports."""
    seconds: float
    """Seconds of training, over all runs."""
    interrupted: bool
    """Whether a user stopped it before its end."""


def train_universal(
    recordings: list[list[Float32]],
    shape: Shape,
    recipe: UniversalRecipe,
    *,
    budget_s: float | None,
    batches: int | None,
    checkpoint: Path | None,
    report: Callable[[UniversalProgress], None],
    check: Callable[[list[Float32]], dict[str, float]] | None = None,
    start: list[Float32] | None = None,
) -> UniversalTrained:
    """Train a network on random machines, and on recordings if there are any.

    Args:
        recordings: contiguous records of healthy recordings, (n,) float32 each; may be empty.
        shape: dimensions of the network.
        recipe: settings of the training.
        budget_s: seconds that the training may take; its length follows from the measured speed.
        batches: length of the training in batches; takes precedence over the budget.
        checkpoint: file to resume from, and to write to regularly; None: none.
        report: called with the progress, about a hundred times.
        check: measures held-out gap ratios of weights, by name; called about twenty times.
        start: weights to begin with; None: fresh ones.

    Returns:
        The weights at the end, or at Ctrl-C.

    Raises:
        RecordingError: a recording is unusable.
        ArtefactError: the checkpoint belongs to another training, is further than ``batches``, or is damaged.
        MonitorError: the training diverged.
        ValueError: neither a budget nor a number of batches is given.
    """
    if not batches and not budget_s:
        raise ValueError("a universal training needs a budget or a number of batches")
    run = _Run(recordings, shape, recipe, start)
    if checkpoint is not None and checkpoint.exists():
        run.resume(checkpoint, batches)
    position = run.position
    position.batches = batches or position.batches
    began_s = time.monotonic()
    spent_before_s = position.spent_s
    reported, checked, saved_s = position.spent_s, position.spent_s, began_s
    interrupted = False
    with ThreadPoolExecutor(1, thread_name_prefix="signals") as maker:
        upcoming = maker.submit(run.batches, position.batch)
        try:
            while not position.batches or position.batch < position.batches:
                batches_of_round = upcoming.result()
                upcoming = maker.submit(run.batches, position.batch + recipe.together)
                if position.batches:
                    batches_of_round = batches_of_round[: position.batches - position.batch]
                run.train_on(batches_of_round, _rate(recipe, position, budget_s))
                position.spent_s = spent_before_s + time.monotonic() - began_s
                if not position.batches and budget_s and position.spent_s >= (1 - recipe.falling) * budget_s:
                    position.batches = max(position.batch + 1, round(position.batch / (1 - recipe.falling)))
                fraction = _fraction(position, budget_s)
                length_s = position.spent_s / max(fraction, 1e-9)
                if position.spent_s - reported >= length_s / 100 or position.batch >= position.batches > 0:
                    is_due = position.spent_s - checked >= length_s / 20
                    reported = position.spent_s
                    checked = reported if is_due else checked
                    report(run.progress(fraction, check(run.weights()) if check and is_due else None))
                if checkpoint is not None and time.monotonic() - saved_s >= CHECKPOINT_EVERY_S:
                    run.save(checkpoint)
                    saved_s = time.monotonic()
        except KeyboardInterrupt:
            interrupted = True
        upcoming.cancel()
    if checkpoint is not None:
        run.save(checkpoint)
    return UniversalTrained(
        run.weights(),
        position.batch,
        position.losses,
        position.gap_ratios,
        position.spent_s,
        interrupted,
    )


def _fraction(position: Position, budget_s: float | None) -> float:
    """The completed fraction of a training."""
    if position.batches:
        return min(1.0, position.batch / position.batches)
    return min(1.0, position.spent_s / (budget_s or math.inf))


def _rate(recipe: UniversalRecipe, position: Position, budget_s: float | None) -> float:
    """The learning rate of the next batch."""
    steps = position.batch * recipe.pieces
    rising = min(1.0, (steps + recipe.pieces) / WARMUP_STEPS)
    falling = min(1.0, (1.0 - _fraction(position, budget_s)) / recipe.falling) if position.batches else 1.0
    return recipe.learning_rate * rising * falling


class _Run:
    """Network, optimiser and material of one training."""

    def __init__(
        self, recordings: list[list[Float32]], shape: Shape, recipe: UniversalRecipe, start: list[Float32] | None
    ) -> None:
        quiet_tensorflow()
        import keras

        keras.utils.set_random_seed(recipe.seed)
        self.recipe, self.shape = recipe, shape
        self.pool = SignalPool(
            recipe.seed, recordings, recipe.blocks, shape.block_samples, recipe.renewed, POOL_SIGNALS
        )
        self.network = build_carrying_network(shape, recipe.piece_blocks)
        if start is not None:
            self.network.set_weights(start)
        self.optimizer = keras.optimizers.Muon(
            recipe.learning_rate, weight_decay=recipe.weight_decay, adam_weight_decay=None, adam_beta_2=0.99
        )
        self.optimizer.build(self.network.trainable_variables)
        self.step = _compiled(self.network, self.optimizer, recipe)
        self.position = Position()
        self._settings = f"{sorted(asdict(recipe).items())!r}, recordings and start {_digest(recordings, start)}"
        self._since: list[tuple[float, float]] = []
        self._since_s = time.monotonic()

    def weights(self) -> list[Float32]:
        """The present weights."""
        return [np.asarray(each, np.float32) for each in self.network.get_weights()]

    def batches(self, first: int) -> list[tuple[Float32, Float32]]:
        """Inputs and targets of the batches of one round."""
        numbers = range(first, first + self.recipe.together)
        return [self.pool.batch(number, self.recipe.sequences) for number in numbers]

    def train_on(self, batches: list[tuple[Float32, Float32]], rate: float) -> None:
        """Train on the batches of one round: the pieces of each in their order, those of different ones in turn.

        Raises:
            MonitorError: the loss is not finite.
        """
        recipe = self.recipe
        self.optimizer.learning_rate.assign(rate)
        energy = [np.maximum(np.einsum("nkj,nkj->n", each, each) / each[0].size, 1e-3) for _, each in batches]
        zero = [np.zeros((recipe.sequences, units), np.float32) for units in np.repeat(self.shape.units, 2)]
        states: list[Any] = [zero] * len(batches)
        done = [0] * len(batches)
        order = np.repeat(np.arange(len(batches)), recipe.pieces)
        np.random.default_rng([recipe.seed, 4, self.position.batch]).shuffle(order)
        for number in order.tolist():
            first = done[number] * recipe.piece_blocks
            part = slice(first, first + recipe.piece_blocks)
            inputs, targets = (each[:, part] for each in batches[number])
            counted = np.ones(inputs.shape[:2], np.float32)
            counted[:, : max(0, recipe.uncounted_blocks - first)] = 0.0
            loss, ratio, *states[number] = self.step(
                inputs, targets, counted, energy[number].astype(np.float32), *states[number]
            )
            done[number] += 1
            if not math.isfinite(float(loss)):
                raise MonitorError(
                    f"universal training: the loss was no finite number after {self.position.batch} batches; give a "
                    f"--learning-rate below {recipe.learning_rate:g}, and delete the checkpoint if there is one"
                )
            self._since.append((float(loss), float(ratio)))
        self.position.batch += len(batches)

    def progress(self, fraction: float, checked: dict[str, float] | None) -> UniversalProgress:
        """The progress since the last call."""
        loss, ratio = (float(each) for each in np.mean(self._since, axis=0))
        now_s = time.monotonic()
        blocks = len(self._since) * self.recipe.sequences * self.recipe.piece_blocks
        self.position.losses.append(loss)
        self.position.gap_ratios.append(ratio)
        told = UniversalProgress(
            self.position.batch,
            fraction,
            loss,
            ratio,
            blocks / max(now_s - self._since_s, 1e-9),
            self.position.spent_s * (1 / max(fraction, 1e-9) - 1),
            checked,
        )
        self._since, self._since_s = [], now_s
        return told

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        variables = [np.asarray(each) for each in self.optimizer.variables]
        write_checkpoint(path, Checkpoint(self._settings, self.position, self.weights(), variables))

    def resume(self, path: Path, wanted: int | None) -> None:
        """Continue where a checkpoint was written, with a length of ``wanted`` batches; None: any.

        Raises:
            ArtefactError: it cannot be read, belongs to a training with another recipe, shape or material, or is
                further than ``wanted``.
        """
        found = read_checkpoint(path, len(self.shape.weight_shapes), len(self.optimizer.variables))
        shapes = [tuple(each.shape) for each in found.weights]
        if found.settings != self._settings or shapes != list(self.shape.weight_shapes):
            raise ArtefactError(
                f"checkpoint {path}: belongs to a training with other settings or recordings ({found.settings}); give "
                "the same ones to resume it, or delete it to start again"
            )
        if wanted and found.position.batch > wanted:
            raise ArtefactError(
                f"checkpoint {path}: has {found.position.batch} batches already, {wanted} are asked for; give more "
                "--batches, or delete it to start again"
            )
        self.network.set_weights(found.weights)
        for variable, value in zip(self.optimizer.variables, found.variables, strict=True):
            variable.assign(value)
        self.position = found.position


def _digest(recordings: list[list[Float32]], start: list[Float32] | None) -> str:
    """A short hash of what a training starts from besides its recipe."""
    found = hashlib.sha256()
    for arrays in (*recordings, start or []):
        found.update(f"{len(arrays)} ".encode())
        for array in arrays:
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def _compiled(network: Any, optimizer: Any, recipe: UniversalRecipe) -> Any:
    """Compile a training step: (inputs, targets, counted, energy, state) to (loss, mean gap ratio, state)."""
    import tensorflow as tf

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(inputs: Any, targets: Any, counted: Any, energy: Any, *state: Any) -> Any:
        with tf.GradientTape() as tape:
            forecasts, *after = network([inputs, *state], training=True)
            error = tf.reduce_mean(tf.square(forecasts - targets), axis=2)
            ratio = tf.reduce_sum(error * counted, axis=1) / (tf.reduce_sum(counted, axis=1) * energy)
            loss = tf.reduce_mean(tf.math.log(ratio + recipe.floor))
            signal = tf.reduce_sum(tf.reduce_mean(tf.square(targets), axis=2) * counted, axis=1)
            excess = tf.reduce_sum(error * counted, axis=1) / (signal + 1e-3) - 1.0
            loss += recipe.excess * tf.reduce_mean(tf.nn.relu(excess))
        gradients = tape.gradient(loss, network.trainable_variables)
        gradients, _ = tf.clip_by_global_norm(gradients, recipe.clip_norm)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return (loss, tf.reduce_mean(ratio), *after)

    return step
