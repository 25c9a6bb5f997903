from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.arrays import Float32
from monitor.core.forecasting.forecaster import CarriedForecaster, WindowedForecaster
from monitor.core.forecasting.level import unit_blocks
from monitor.core.pipeline import Pipeline
from monitor.core.samples.rings import Rings
from tests.support.networks.numpy_engine import NumpyEngine

BLOCK = 8
WARMUP = 3
ENGINE = NumpyEngine(BLOCK)


@dataclass
class Drive:
    """A pipeline with its rings and what came out, by row."""

    channels: int
    interval_blocks: int = 2
    mode: str = "carried"
    out: dict[int, list[tuple[int, int, float, float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rings = Rings(self.channels, 128, BLOCK)
        kind = CarriedForecaster if self.mode == "carried" else WindowedForecaster
        self.pipeline = Pipeline(kind(ENGINE, self.channels), self.channels, BLOCK)
        self.pipeline.configure(np.arange(self.channels), self.interval_blocks, WARMUP)

    def push(self, row: int, samples: Float32) -> None:
        self.rings.append(row, samples, 1.0, 0.0)
        if int(self.rings.backlog().max()) > 40:
            self.drain()

    def drain(self) -> None:
        while (due := self.rings.take()) is not None:
            closed = self.pipeline.process(due).intervals
            if closed is None:
                continue
            for i, row in enumerate(closed.rows.tolist()):
                self.out.setdefault(row, []).append(
                    (
                        int(closed.start_sample[i]),
                        int(closed.end_sample[i]),
                        float(closed.gaps.gap_mps2[i]),
                        float(closed.gaps.gap_ratio[i]),
                    )
                )


def stream(samples: int, seed: int = 1) -> Float32:
    rng = np.random.default_rng(seed)
    t = np.arange(samples)
    signal: Float32 = (np.sin(0.3 * t) + 0.2 * rng.normal(size=samples) + 0.5).astype(np.float32)
    return signal


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 70), min_size=1, max_size=40), st.sampled_from(["carried", "windowed"]))
def test_any_split_into_messages_gives_identical_gaps(sizes: list[int], mode: str) -> None:
    samples = stream(sum(sizes))
    whole, split = Drive(1, mode=mode), Drive(1, mode=mode)
    for at in range(0, samples.size, 300):
        whole.push(0, samples[at : at + 300])
    whole.drain()
    at = 0
    for size in sizes:
        split.push(0, samples[at : at + size])
        split.drain()
        at += size
    assert split.out == whole.out


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 50)), min_size=1, max_size=40))
def test_channels_do_not_see_each_other(messages: list[tuple[int, int]]) -> None:
    streams = [stream(3000, seed) for seed in range(3)]
    at = [0, 0, 0]
    together = Drive(3)
    for row, size in messages:
        together.push(row, streams[row][at[row] : at[row] + size])
        at[row] += size
    together.drain()
    for row in range(3):
        alone = Drive(1)
        alone.push(0, streams[row][: at[row]][:500])
        alone.drain()
        alone.push(0, streams[row][: at[row]][500:])
        alone.drain()
        assert alone.out.get(0, []) == together.out.get(row, [])


def test_carried_state_equals_one_long_pass_of_the_network() -> None:
    samples = stream(40 * BLOCK)
    blocks = samples.reshape(-1, BLOCK)
    units, mean, rms, *_ = unit_blocks(blocks)
    state = ENGINE.new_state(1)
    forecasts = [ENGINE.step(units[k : k + 1], state, np.zeros(1, np.intp))[0] for k in range(len(blocks))]
    expected = []
    for k in range(WARMUP, len(blocks)):
        observed = (blocks[k] - mean[k - 1]) / rms[k - 1]
        expected.append(float(rms[k - 1]) * float(np.sqrt(np.mean((observed - forecasts[k - 1]) ** 2))))
    drive = Drive(1, interval_blocks=1)
    drive.push(0, samples)
    drive.drain()
    assert [gap for _, _, gap, _ in drive.out[0]] == pytest.approx(expected, rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 90), st.integers(0, 30)), min_size=1, max_size=20))
def test_nothing_that_is_scored_spans_missing_samples(pieces: list[tuple[int, int]]) -> None:
    drive = Drive(1, interval_blocks=1)
    contexts = []
    begin = 0
    for size, missing in pieces:
        drive.push(0, stream(size))
        end = drive.rings.next_sample(0)
        if missing:
            contexts.append((begin, end))
            begin = end + missing
            drive.rings.start_context(0, begin)
    contexts.append((begin, drive.rings.next_sample(0)))
    drive.drain()
    scored = [(start, end) for start, end, _, _ in drive.out.get(0, [])]
    # A block counts when its context holds it and the whole warm-up before it, and then it always counts.
    expected = [
        (at, at + BLOCK) for begin, end in contexts for at in range(begin + WARMUP * BLOCK, end - BLOCK + 1, BLOCK)
    ]
    assert scored == expected


def test_nan_stays_in_its_row() -> None:
    clean, dirty = Drive(2, interval_blocks=1), Drive(2, interval_blocks=1)
    bad = stream(20 * BLOCK, 5)
    bad[100] = np.nan
    for drive, first in ((clean, stream(20 * BLOCK, 5)), (dirty, bad)):
        drive.push(0, first)
        drive.push(1, stream(20 * BLOCK, 6))
        drive.drain()
    assert dirty.out[1] == clean.out[1]
    assert any(np.isnan(gap) for _, _, gap, _ in dirty.out[0])


def test_gain_moves_the_gap_and_not_the_ratio() -> None:
    one, three = Drive(1), Drive(1)
    one.push(0, stream(400))
    three.push(0, 3 * stream(400))
    one.drain()
    three.drain()
    assert [out[3] for out in three.out[0]] == pytest.approx([out[3] for out in one.out[0]], rel=1e-3)
    assert [out[2] for out in three.out[0]] == pytest.approx([3 * out[2] for out in one.out[0]], rel=1e-3)
