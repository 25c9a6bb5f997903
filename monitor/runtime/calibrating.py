"""From healthy recordings to a calibration: the pipeline runs over them, and its residuals are what is learned from.

Refuses to know: how limits are made, what the command line says.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.calibrate import HealthyContext, calibrate
from monitor.core.calibration import Calibration
from monitor.core.forecaster import CarriedForecaster, Engine
from monitor.core.gap import Float32, Residuals
from monitor.core.pipeline import Pipeline
from monitor.recording.source import Recording
from monitor.runtime.offline import drive

BURST_WARMUP_BLOCKS = 5
"""Warm-up inside a burst. Fewer: the first forecasts, from next to nothing, widen what is normal. More: less of a short
burst is scored."""


@dataclass(frozen=True)
class Cut:
    """How a channel's stream is cut into what is scored together."""

    interval_blocks: int
    """Scored blocks in an interval."""
    warmup_blocks: int
    """Blocks at the start of a context that are not scored."""
    interval_s: float | None
    """From one interval to the next; None: they follow without a pause."""


def cut(recordings: list[Recording], interval_s: float, window_blocks: int, block_samples: int) -> Cut:
    """How recordings are cut: bursts whole, long records into intervals.

    Args:
        recordings: of one channel.
        interval_s: the interval asked for.
        window_blocks: the model's warm-up.
        block_samples: the model's block.

    Returns:
        For records that hold at most two windows of blocks, one interval a record, all its blocks but a short warm-up.
    """
    rate_hz = recordings[0].sampling_rate_hz
    shortest = min((recording.record_samples or 0) // block_samples for recording in recordings)
    if all(recording.records > 1 for recording in recordings) and 0 < shortest <= 2 * window_blocks:
        warmup = min(BURST_WARMUP_BLOCKS, max(1, shortest // 4))
        first = recordings[0]
        pause_s = first.record_start_s(1) - first.record_start_s(0)
        return Cut(max(1, shortest - warmup), warmup, pause_s if pause_s > 0 else None)
    return Cut(max(1, round(interval_s * rate_hz / block_samples)), window_blocks, None)


class _Contexts:
    """Collects the scored blocks of each context of one channel."""

    def __init__(self) -> None:
        self.contexts: list[list[tuple[Float32, Float32, Float32]]] = [[]]

    def take(self, batch: Residuals) -> None:
        self.contexts[-1].append((batch.observed, batch.residual, batch.level_mps2))

    def close(self) -> None:
        if self.contexts[-1]:
            self.contexts.append([])

    def healthy(self) -> list[HealthyContext]:
        return [
            HealthyContext(*(np.concatenate([blocks[part] for blocks in context]) for part in range(3)))
            for context in self.contexts
            if context
        ]


def calibrate_channel(engine: Engine, level_blocks: int, recordings: list[Recording], how: Cut) -> Calibration:
    """Calibrate one channel on its healthy recordings.

    Raises:
        RecordingError: too little healthy data, with the amount needed, or data that cannot be healthy.
    """
    collected = _Contexts()
    for recording in recordings:
        pipeline = Pipeline(CarriedForecaster(engine, 1), 1, engine.block_samples, level_blocks)
        pipeline.configure(np.zeros(1, np.intp), how.interval_blocks, how.warmup_blocks)
        pipeline.listener = collected.take
        for due, _ in drive(pipeline, [recording]):
            if due.first[0]:
                collected.close()
        collected.close()
    return calibrate(
        collected.healthy(),
        interval_blocks=how.interval_blocks,
        warmup_blocks=how.warmup_blocks,
        sampling_rate_hz=recordings[0].sampling_rate_hz,
        interval_s=how.interval_s,
    )
