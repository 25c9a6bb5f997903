"""A channel that another process takes over is scored as if the same one had gone on."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from monitor.core.arrays import Arrays, Float32
from monitor.core.forecasting.forecaster import make_forecaster
from monitor.core.forecasting.resume import NOWHERE
from monitor.core.pipeline import Pipeline
from monitor.core.samples.rings import Rings
from monitor.core.scoring.calibration.calibration import Calibration
from tests.support.channels.healthy import BLOCK, INTERVAL, network_calibration, signal
from tests.support.networks.numpy_engine import NumpyEngine

WARMUP = 5
BLOCKS = 400
REPLAYED = 30


@dataclass
class Process:
    """A process that scores one channel, in any of its rows."""

    calibration: Calibration | None
    row: int = 0
    mode: str = "carried"
    engine: NumpyEngine = field(default_factory=lambda: NumpyEngine(BLOCK))
    scores: dict[int, tuple[float, ...]] = field(default_factory=dict)
    """Score, gap ratio and gap of each interval, by its last sample."""

    def __post_init__(self) -> None:
        rows = self.rows = np.array([self.row])
        self.pipeline = Pipeline(make_forecaster(self.engine, self.mode, 3), 3, BLOCK, level_blocks=20)
        self.rings = Rings(3, BLOCKS + 1, BLOCK)
        self.pipeline.configure(rows, INTERVAL, WARMUP)
        if self.calibration is not None:
            self.pipeline.assign(rows, self.calibration, self.calibration.limit(1.0))
        self.pipeline.keep_points()

    def take(self, samples: Float32, start: int) -> None:
        """Process samples that begin at a stream index."""
        self.rings.start_context(self.row, start)
        self.rings.append(self.row, samples, 1.0, 0.0)
        while (due := self.rings.take()) is not None:
            found = self.pipeline.process(due).intervals
            if found is not None:
                figures = found.judgements.score[0], found.gaps.gap_ratio[0], found.gaps.gap_mps2[0]
                assert int(found.end_sample[0]) not in self.scores
                self.scores[int(found.end_sample[0])] = tuple(float(each) for each in figures)

    def handed_over(self) -> Arrays:
        """What another process needs, of one channel."""
        points, judge = self.pipeline.keep_points().export(self.rows), self.pipeline.judge
        arrays = points | {f"scorer.{name}": values for name, values in judge.scorer.export(self.rows).items()}
        return {name: values[0] for name, values in arrays.items()} | {"alarm": judge.alarm.export(self.rows)[0]}

    def take_over(self, arrays: Arrays) -> int:
        """Go on with a channel; returns the stream index from which on it is scored."""
        judge, at = self.pipeline.judge, int(arrays["resume.at"])
        evidence = {name[7:]: values[None] for name, values in arrays.items() if name.startswith("scorer.")}
        assert judge.scorer.restore(self.rows, evidence)
        judge.alarm.restore(self.rows, arrays["alarm"][None].astype(np.int64))
        self.pipeline.resume(self.row, at, arrays)
        return at


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return network_calibration(NumpyEngine(BLOCK), 20, WARMUP)


def stream() -> Float32:
    """Healthy, then with a fault, around a mean, with a spike."""
    blocks = np.concatenate([signal(BLOCKS // 2, 2), signal(BLOCKS // 2, 3, fault=2.0)]) + np.float32(3.0)
    blocks[150, 7] = 5000.0
    return blocks.reshape(-1)


@pytest.mark.parametrize("mode", ["carried", "windowed"])
@pytest.mark.parametrize("cut", [47, 158, 203, 260])
def test_scores_and_alarm_go_on_as_if_nothing_had_happened(calibration: Calibration, mode: str, cut: int) -> None:
    samples = stream()
    alone = Process(calibration, mode=mode)
    alone.take(samples, 0)
    first = Process(calibration, mode=mode)
    first.take(samples[: cut * BLOCK], 0)
    second = Process(calibration, row=2, mode=mode)
    at = second.take_over(first.handed_over())
    assert at == max(first.scores)
    start = max(0, at - REPLAYED * BLOCK)
    second.take(samples[start:], start)
    assert min(second.scores) == at + INTERVAL * BLOCK
    assert first.scores.keys() | second.scores.keys() == alone.scores.keys()
    for end, figures in second.scores.items():
        assert figures == pytest.approx(alone.scores[end], rel=1e-5)
    last = [each.pipeline.judge.alarm.export(each.rows).tolist() for each in (alone, second)]
    assert last[0] == last[1]


def test_without_its_point_the_warm_up_has_to_do(calibration: Calibration) -> None:
    samples = signal(BLOCKS, 2).reshape(-1)
    alone, first = Process(calibration), Process(calibration)
    alone.take(samples, 0)
    first.take(samples[: 200 * BLOCK], 0)
    arrays = first.handed_over()
    arrays["resume.network"] = arrays["resume.network"][:-1]  # of another network
    second = Process(calibration)
    at = second.take_over(arrays)
    start = at - 100 * BLOCK
    second.take(samples[start:], start)
    assert min(second.scores) == at + INTERVAL * BLOCK
    far = [abs(figures[0] - alone.scores[end][0]) for end, figures in second.scores.items()]
    assert 0.0 < max(far) < 0.02


def test_missing_samples_before_the_point_score_nothing_twice(calibration: Calibration) -> None:
    samples = signal(BLOCKS, 2).reshape(-1)
    first = Process(calibration)
    first.take(samples[: 200 * BLOCK], 0)
    second = Process(calibration)
    at = second.take_over(first.handed_over())
    start, gap = at - 60 * BLOCK, at - 15 * BLOCK
    second.take(samples[start : gap - 5], start)
    second.take(samples[gap:], gap)
    assert min(second.scores) == at + INTERVAL * BLOCK
    # Missing samples that reach over it: the channel warms up behind them.
    third = Process(calibration)
    assert third.take_over(first.handed_over()) == at
    third.take(samples[start:gap], start)
    third.take(samples[at + 3 * BLOCK :], at + 3 * BLOCK)
    assert min(third.scores) == at + (3 + WARMUP + INTERVAL) * BLOCK


def test_a_channel_has_no_point_before_its_first_interval_and_none_of_the_channel_before_it() -> None:
    process = Process(None)
    process.take(signal(WARMUP + INTERVAL - 1, 2).reshape(-1), 0)
    assert process.handed_over()["resume.at"] == NOWHERE
    process.take(signal(BLOCKS, 2).reshape(-1), 0)
    assert process.handed_over()["resume.at"] != NOWHERE
    process.pipeline.resume(process.row, 10**9, {})
    process.pipeline.renew(process.row)
    assert process.handed_over()["resume.at"] == NOWHERE
    scored = len(process.scores)
    process.scores.clear()
    process.take(signal(BLOCKS, 2).reshape(-1), 0)
    assert len(process.scores) >= scored - 1
