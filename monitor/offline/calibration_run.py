"""Makes calibrations from healthy recordings: collects what the daemon's pipeline compares and learns from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from monitor.core.arrays import Float32, Int64
from monitor.core.forecasting.forecaster import CarriedForecaster, Engine
from monitor.core.forecasting.gap import ComparedBlocks
from monitor.core.learning import bursts
from monitor.core.learning.block_sums import Context
from monitor.core.learning.fit import calibrate
from monitor.core.learning.head_fit import CANDIDATES, Stretch
from monitor.core.pipeline import Pipeline
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.offline.block_conditions import BlockConditions
from monitor.offline.drive import due_blocks
from monitor.recording.conditions import Conditions
from monitor.recording.source import Recording


@dataclass(frozen=True)
class Cut:
    """How a channel's stream is divided into intervals."""

    interval_blocks: int
    """Scored blocks in an interval."""
    warmup_blocks: int
    """Blocks at the start of a context that are not scored."""
    interval_s: float | None
    """Seconds from one interval to the next; None if there is no pause between them."""


def cut(recordings: list[Recording], interval_s: float, window_blocks: int, block_samples: int) -> Cut:
    """Choose interval and warm-up: a burst is one interval, a long record is divided into intervals.

    Args:
        recordings: recordings of one channel.
        interval_s: the requested interval.
        window_blocks: warm-up of the model in blocks.
        block_samples: samples of a block.

    Returns:
        If records have at most two windows of blocks, they are bursts: one interval a record, with a short warm-up.
    """
    rate_hz = recordings[0].sampling_rate_hz
    shortest = min((recording.record_samples or 0) // block_samples for recording in recordings)
    if all(recording.records > 1 for recording in recordings) and 0 < shortest <= 2 * window_blocks:
        first = recordings[0]
        pause_s = first.record_start_s(1) - first.record_start_s(0)
        return Cut(*bursts.cut(shortest, window_blocks), pause_s if pause_s > 0 else None)
    return Cut(max(1, round(interval_s * rate_hz / block_samples)), window_blocks, None)


@dataclass
class _Blocks:
    """The blocks of one stretch, while it grows."""

    before: Float32
    signal: list[Float32] = field(default_factory=list)
    forecast: list[Float32] = field(default_factory=list)


@dataclass
class _Context:
    """The stretches of one context, and the measured quantities of all their blocks, while it grows."""

    recording: int
    stretches: list[_Blocks] = field(default_factory=list)
    quantities: dict[str, list[np.float32]] = field(default_factory=dict)


class _Contexts:
    """Collects the compared blocks of every context of some channels."""

    def __init__(self, channels: int) -> None:
        self._contexts: list[list[_Context]] = [[] for _ in range(channels)]

    def take(self, known: BlockConditions, batch: ComparedBlocks) -> None:
        """Add a batch of compared blocks, with what is known of their conditions."""
        values = known.at(batch.rows, batch.start_sample)
        for n, (row, follows) in enumerate(zip(batch.rows.tolist(), batch.follows.tolist(), strict=True)):
            context = self._contexts[row][-1]
            for name, value in values.items():
                context.quantities.setdefault(name, []).append(value[n])
            stretches = context.stretches
            if not follows:
                assert batch.before is not None  # noqa: S101 - it is there if a block does not follow
                stretches.append(_Blocks(batch.before[n]))
            stretches[-1].signal.append(batch.signal[n])
            stretches[-1].forecast.append(batch.forecast[n])

    def begin(self, row: int, recording: int) -> None:
        """Start a new context of a channel, in this of its recordings."""
        self._contexts[row].append(_Context(recording))

    def healthy(self, row: int) -> list[Context]:
        """The collected contexts of a channel."""
        return [
            [Stretch(one.before, np.stack(one.signal), np.stack(one.forecast)) for one in context.stretches]
            for context in self._contexts[row]
            if context.stretches
        ]

    def recordings(self, row: int) -> list[int]:
        """The number of the recording of each of these contexts."""
        return [context.recording for context in self._contexts[row] if context.stretches]

    def conditions(self, row: int) -> list[dict[str, Float32]]:
        """The measured quantities of the contexts of :meth:`healthy`: (blocks,) by name, NaN where not known."""
        return [
            {name: np.array(values, np.float32) for name, values in context.quantities.items()}
            for context in self._contexts[row]
            if context.stretches
        ]


def calibrate_channels(
    engine: Engine,
    level_blocks: int,
    channels: list[list[Recording]],
    how: Cut,
    warn: Callable[[str], None] = lambda _: None,
    conditions: Sequence[Sequence[Conditions]] = (),
) -> list[Calibration]:
    """Calibrate several channels in one run, each on its healthy recordings.

    If the network's forecasts of a channel are not all usable, that channel is calibrated without the network.

    Args:
        engine: runs the model.
        level_blocks: time constant of the level, from the model.
        channels: the recordings of each channel, with the same rate, and the same number for each.
        how: interval and warm-up.
        warn: called with a message for each channel that is calibrated without the network, and for each measured
            quantity that is not known of all its healthy blocks.
        conditions: the measured quantities of each recording of each channel; none: there are none.

    Raises:
        RecordingError: there are too few healthy data (the message states how many are needed), or they are unusable.
    """
    foreseen, unforeseen = _collect(engine, level_blocks, channels, how, conditions, network=True)
    plain = foreseen
    if unforeseen.any():
        plain, _ = _collect(engine, level_blocks, channels, how, conditions, network=False)
    for recordings, blocks in zip(channels, unforeseen.tolist(), strict=True):
        if blocks:
            warn(
                f"{recordings[0].name}: the network has no forecast after {blocks} blocks (not finite, or far louder "
                "than any signal); the channel is calibrated without the network"
            )
    for row, recordings in enumerate(channels):
        _warn_of_unknown(recordings[0].name, foreseen.conditions(row), warn)
    return [
        calibrate(
            (plain if blocks else foreseen).healthy(row),
            interval_blocks=how.interval_blocks,
            warmup_blocks=how.warmup_blocks,
            sampling_rate_hz=recordings[0].sampling_rate_hz,
            interval_s=how.interval_s,
            block_samples=engine.block_samples,
            candidates=CANDIDATES[:1] if blocks else CANDIDATES,
            recordings=(plain if blocks else foreseen).recordings(row),
            quantities=(plain if blocks else foreseen).conditions(row),
        )
        for row, (recordings, blocks) in enumerate(zip(channels, unforeseen.tolist(), strict=True))
    ]


def _warn_of_unknown(channel: str, contexts: list[dict[str, Float32]], warn: Callable[[str], None]) -> None:
    for name in contexts[0] if contexts else ():
        values = np.concatenate([context[name] for context in contexts])
        if unknown := int(np.isnan(values).sum()):
            warn(f"{channel}: {name} is not known of {unknown:,} of {values.size:,} healthy blocks")


def _collect(
    engine: Engine,
    level_blocks: int,
    channels: list[list[Recording]],
    how: Cut,
    conditions: Sequence[Sequence[Conditions]],
    *,
    network: bool,
) -> tuple[_Contexts, Int64]:
    """What the pipeline compares, and after how many blocks of each channel there was no usable forecast."""
    collected, unforeseen = _Contexts(len(channels)), np.zeros(len(channels), np.int64)
    for number in range(max(len(recordings) for recordings in channels)):
        present = [recordings[number] for recordings in channels]
        rows = np.arange(len(present))
        pipeline = Pipeline(CarriedForecaster(engine, len(present)), len(present), engine.block_samples, level_blocks)
        pipeline.configure(rows, how.interval_blocks, how.warmup_blocks)
        pipeline.without_network(rows, not network)
        known = BlockConditions([each[number] for each in conditions], engine.block_samples)
        pipeline.listener = partial(collected.take, known)
        for due in due_blocks(present, engine.block_samples):
            known.enter(due)
            for row in due.rows[due.first].tolist():
                collected.begin(row, number)
            pipeline.process(due)
        unforeseen += pipeline.unforeseen
    return collected, unforeseen
