"""Training of the universal reference: a network that forecasts machines that it has never seen.

It is trained on random machines, each seen for a short time only. What it can learn is therefore how to identify a
machine while it runs: the state that it carries from block to block describes the machine. The loss is the logarithm of
each sequence's residual energy relative to its signal energy, so that a machine that can be forecast to 99 % counts as
much as one that is mostly noise. Sequences are long, and cut into pieces; the state is carried from piece to piece, the
gradient is not. Pieces of many batches alternate, so that consecutive steps see different machines.

The optimiser is Muon for matrices, Adam for offsets (K. Jordan, "Muon: an optimizer for hidden layers", 2024; J. Liu,
"Muon is scalable for LLM training", 2025). A training has two parts. In the beginning pieces are short, which makes
many steps, the learning rate is high, and the machines become less simple. Then pieces are long, and the rate falls to
zero: difficult machines are learned at low rates only. The number of batches is fixed at the start; a budget of time
becomes one by a trial.
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

from monitor.core.arrays import AnyArray, Float32
from monitor.errors import ArtefactError, MonitorError
from monitor.model.network import Shape, build_carrying_networks, quiet_tensorflow
from monitor.model.training.checkpoint import Checkpoint, Position, read_checkpoint, write_checkpoint
from monitor.model.training.fresh_weights import fresh_weights
from monitor.model.training.signal_pool import POOL_SIGNALS, SignalPool
from monitor.model.training.universal_recipe import UniversalRecipe

WARMUP_BATCHES = 12
"""Batches in which the learning rate rises to its full value."""

TRIAL_SIGNALS = 100
"""Signals of the trial that finds out how many batches fit in a budget."""

TRIAL_BATCHES = 8
"""Batches of the trial. Fewer: the length is uncertain. More: the trial takes longer."""

LEAST_BUDGET_S = 30.0
"""Shortest budget. Less: hardly a batch is left after the trial."""

CHECKPOINT_EVERY_S = 300.0
"""Seconds between two checkpoints: what an interruption costs."""


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
    """Seconds until the end at the present speed."""
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
        budget_s: seconds that the training may take; its length follows from the speed of a trial.
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
    began_s = time.monotonic()
    position = run.position
    position.batches = batches or position.batches or run.affordable(budget_s or 0.0)
    spent_before_s = position.spent_s
    reported, checked, saved_s = position.spent_s, position.spent_s, began_s
    interrupted = False
    with ThreadPoolExecutor(1, thread_name_prefix="signals") as maker:
        pool = run.pool(recipe.beginning * position.batches)
        upcoming = maker.submit(run.batches, pool, position.batch)
        try:
            upcoming.result()  # the pool is filled: the speed is that of the training from here on
            run.start_clock()
            while position.batch < position.batches:
                batches_of_round = upcoming.result()[: position.batches - position.batch]
                upcoming = maker.submit(run.batches, pool, position.batch + recipe.together)
                run.train_on(batches_of_round)
                position.spent_s = spent_before_s + time.monotonic() - began_s
                length_s = position.spent_s / position.fraction
                if position.spent_s - reported >= length_s / 100 or position.batch == position.batches:
                    is_due = position.spent_s - checked >= length_s / 20
                    reported = position.spent_s
                    checked = reported if is_due else checked
                    report(run.progress(check(run.weights()) if check and is_due else None))
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


class _Run:
    """Network, optimiser and material of one training."""

    def __init__(
        self, recordings: list[list[Float32]], shape: Shape, recipe: UniversalRecipe, start: list[Float32] | None
    ) -> None:
        quiet_tensorflow()
        import keras

        keras.utils.set_random_seed(recipe.seed)
        self.recipe, self.shape, self.recordings = recipe, shape, recordings
        networks = build_carrying_networks(shape, recipe.piece_blocks)
        self.network = networks[0]
        self.network.set_weights(fresh_weights(shape, recipe.seed) if start is None else start)
        self.optimizer = keras.optimizers.Muon(
            recipe.learning_rate, weight_decay=recipe.weight_decay, adam_weight_decay=None, adam_beta_2=0.99
        )
        self.optimizer.build(self.network.trainable_variables)
        self.steps = [_compiled(network, self.optimizer, recipe) for network in networks]
        self.position = Position()
        self._settings = f"{sorted(asdict(recipe).items())!r}, recordings and start {_digest(recordings, start)}"
        self._since: list[tuple[float, float]] = []
        self._batch_before = 0
        self._since_s = time.monotonic()

    def pool(self, beginning: float, size: int | None = None) -> SignalPool:
        """The material of a training whose beginning has so many batches.

        Raises:
            RecordingError: a recording is unusable.
        """
        recipe = self.recipe
        return SignalPool(
            recipe.seed,
            self.recordings,
            recipe.blocks,
            self.shape.block_samples,
            recipe.renewed,
            size or POOL_SIGNALS,
            beginning,
        )

    def affordable(self, budget_s: float) -> int:
        """The batches that fit in a budget, from the time that a few of them take; the trial is undone."""
        began_s = time.monotonic()
        weights, variables = self.weights(), [np.asarray(each) for each in self.optimizer.variables]
        pool = self.pool(0.0, TRIAL_SIGNALS)
        self.batches(pool, 0)
        making_s = time.monotonic()
        batches = self.batches(pool, self.recipe.together)
        making_s = (time.monotonic() - making_s) / len(batches)
        batches = batches[:TRIAL_BATCHES]
        took_s = []
        for later in (False, True):
            self._train_on(batches[:1], later=later, rate=self.recipe.learning_rate)  # compiles the step
            start_s = time.monotonic()
            self._train_on(batches, later=later, rate=self.recipe.learning_rate)
            took_s.append((time.monotonic() - start_s) / len(batches))
        self._assign(weights, variables)
        self._since = []
        share = self.recipe.beginning
        # The next batches are made beside the training, on one of its cores.
        each_s = share * took_s[0] + (1.0 - share) * took_s[1] + 0.5 * making_s
        return max(1, round((budget_s - (time.monotonic() - began_s)) / each_s))

    def weights(self) -> list[Float32]:
        """The present weights."""
        return [np.asarray(each, np.float32) for each in self.network.get_weights()]

    def batches(self, pool: SignalPool, first: int) -> list[tuple[Float32, Float32]]:
        """Inputs and targets of the batches of one round."""
        numbers = range(first, first + self.recipe.together)
        return [pool.batch(number, self.recipe.sequences) for number in numbers]

    def train_on(self, batches: list[tuple[Float32, Float32]]) -> None:
        """Train on the batches of one round.

        Raises:
            MonitorError: the loss is not finite.
        """
        done = self.position.batch / self.position.batches
        share = self.recipe.beginning
        rising = min(1.0, (self.position.batch + 1) / WARMUP_BATCHES)
        falling = min(1.0, (1.0 - done) / (1.0 - share)) ** 2
        self._train_on(batches, later=done >= share, rate=self.recipe.learning_rate * rising * falling)
        self.position.batch += len(batches)

    def _train_on(self, batches: list[tuple[Float32, Float32]], *, later: bool, rate: float) -> None:
        """Train on the pieces of each batch in their order, on those of different ones in turn."""
        recipe = self.recipe
        length, step = recipe.piece_blocks[later], self.steps[later]
        self.optimizer.learning_rate.assign(rate)
        energy = [np.maximum(np.einsum("nkj,nkj->n", each, each) / each[0].size, 1e-3) for _, each in batches]
        zero = [np.zeros((recipe.sequences, units), np.float32) for units in np.repeat(self.shape.units, 2)]
        states: list[Any] = [zero] * len(batches)
        done = [0] * len(batches)
        order = np.repeat(np.arange(len(batches)), recipe.blocks // length)
        np.random.default_rng([recipe.seed, 4, self.position.batch]).shuffle(order)
        for number in order.tolist():
            first = done[number] * length
            part = slice(first, first + length)
            inputs, targets = (each[:, part] for each in batches[number])
            counted = np.ones(inputs.shape[:2], np.float32)
            counted[:, : max(0, recipe.uncounted_blocks - first)] = 0.0
            loss, ratio, *states[number] = step(
                inputs, targets, counted, energy[number].astype(np.float32), *states[number]
            )
            done[number] += 1
            if not math.isfinite(float(loss)):
                raise MonitorError(
                    f"universal training: the loss was no finite number after {self.position.batch} batches; give a "
                    f"--learning-rate below {recipe.learning_rate:g}, and delete the checkpoint if there is one"
                )
            self._since.append((float(loss), float(ratio)))

    def start_clock(self) -> None:
        """Measure the speed from now on."""
        self._since_s = time.monotonic()

    def progress(self, checked: dict[str, float] | None) -> UniversalProgress:
        """The progress since the last call."""
        loss, ratio = (float(each) for each in np.mean(self._since, axis=0))
        position, now_s = self.position, time.monotonic()
        position.losses.append(loss)
        position.gap_ratios.append(ratio)
        batch_s = max(now_s - self._since_s, 1e-9) / (position.batch - self._batch_before)
        self._since, self._batch_before, self._since_s = [], position.batch, now_s
        return UniversalProgress(
            position.batch,
            position.fraction,
            loss,
            ratio,
            self.recipe.sequences * self.recipe.blocks / batch_s,
            (position.batches - position.batch) * batch_s,
            checked,
        )

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
        self._assign(found.weights, found.variables)
        self.position, self._batch_before = found.position, found.position.batch

    def _assign(self, weights: list[Float32], variables: list[AnyArray]) -> None:
        self.network.set_weights(weights)
        for variable, value in zip(self.optimizer.variables, variables, strict=True):
            variable.assign(value)


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
