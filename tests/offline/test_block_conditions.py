"""Measured quantities arrive with the blocks that they belong to.

The quantity is the signal itself, so its value at a block is the mean of the block's samples.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.core.forecasting.forecaster import CarriedForecaster
from monitor.core.forecasting.gap import ComparedBlocks
from monitor.core.pipeline import Pipeline
from monitor.offline.backtest import backtest, csv_rows
from monitor.offline.block_conditions import BlockConditions
from monitor.offline.calibration_run import Cut, calibrate_channels
from monitor.offline.drive import due_blocks
from monitor.recording.conditions import Conditions, read_conditions
from monitor.recording.described import Described, open_described
from monitor.recording.options import RecordingOptions
from monitor.recording.part import between
from tests.support.channels.healthy import BLOCK, INTERVAL, RATE, signal
from tests.support.networks.numpy_engine import NumpyEngine

WARMUP = 5
HOW = Cut(INTERVAL, WARMUP, None)


def described(folder: Path) -> list[Described]:
    """A single record that is cut, and bursts with an odd length."""
    long, bursts = folder / "long.npz", folder / "bursts.npz"
    one, several = signal(300, 1).reshape(-1), signal(390, 2).reshape(-1)
    one[150 * BLOCK + 3] = 900.0  # a spike: two blocks are left out
    many = several[: 6 * (60 * BLOCK + 7)].reshape(6, -1)
    np.savez(long, acceleration=one, q=one, sampling_rate_hz=RATE, unit="m/s2")
    np.savez(bursts, acceleration=many, q=many, sampling_rate_hz=RATE, unit="m/s2", start_s=np.arange(6) * 10.0)
    found = open_described([f"{long}?q", f"{bursts}?q"], RecordingOptions())
    cuts = [(0.1234, 2.9), (10.0, 50.0)]
    return [replace(each, recording=between(each.recording, *cut)) for each, cut in zip(found, cuts, strict=True)]


def test_each_compared_block_has_its_own_value(tmp_path: Path) -> None:
    recordings = described(tmp_path)
    known = BlockConditions(read_conditions(recordings, BLOCK), BLOCK)
    rows = np.arange(2)
    pipeline = Pipeline(CarriedForecaster(NumpyEngine(BLOCK), 2), 2, BLOCK, 100)
    pipeline.configure(rows, INTERVAL, WARMUP)
    compared = [0, 0]

    def take(batch: ComparedBlocks) -> None:
        values = known.at(batch.rows, batch.start_sample)
        assert values.keys() == {"q"}
        np.testing.assert_allclose(values["q"], batch.samples.mean(axis=1), atol=1e-5)
        for row in batch.rows.tolist():
            compared[row] += 1

    pipeline.listener = take
    for due in due_blocks([each.recording for each in recordings], BLOCK):
        known.enter(due)
        pipeline.process(due)
    blocks = (round(2.9 * RATE) - round(0.1234 * RATE)) // BLOCK
    assert compared == [blocks - WARMUP - 2, 4 * (60 - WARMUP)]


def test_each_interval_has_the_mean_over_its_blocks(tmp_path: Path) -> None:
    recordings = described(tmp_path)
    opened = [each.recording for each in recordings]
    conditions = read_conditions(recordings, BLOCK)
    results = backtest(NumpyEngine(BLOCK), 100, opened, HOW, None, 1.0, conditions)
    [one], many = opened[0].load(), opened[1].load()
    for result, origins in zip(results, ({0.1235: one}, {10.0 * (k + 1): many[k] for k in range(4)}), strict=True):
        assert len(result.intervals) > 15
        for interval in result.intervals:
            start_s = max(origin for origin in origins if origin <= interval.start_s + 1e-9)
            first, end = (round((at_s - start_s) * RATE) for at_s in (interval.start_s, interval.end_s))
            assert (end - first) // BLOCK in (INTERVAL, INTERVAL + 2)
            assert interval.conditions == {"q": pytest.approx(origins[start_s][first:end].mean(), abs=1e-5)}
    header, *lines = csv_rows(results)
    assert header[-2:] == ("rms", "q")
    assert [line[-1] for line in lines] == [one.conditions["q"] for each in results for one in each.intervals]


def test_quantities_change_no_score_and_unknown_ones_are_empty(tmp_path: Path) -> None:
    recordings = described(tmp_path)
    opened = [each.recording for each in recordings]
    plain = csv_rows(backtest(NumpyEngine(BLOCK), 100, opened, HOW, None, 1.0))
    known = [Conditions({"load": 40.0}), Conditions({"load": np.nan})]
    told = csv_rows(backtest(NumpyEngine(BLOCK), 100, opened, HOW, None, 1.0, known))
    assert [line[:-1] for line in told] == plain
    assert {(line[0], line[-1]) for line in told[1:]} == {("long.npz", 40.0), ("bursts.npz", "")}


@pytest.mark.parametrize(("unknown", "blocks"), [([], 0), ([0, 4, 150, 151], 0), ([5], 1), ([149, 152, 299], 3)])
def test_unknown_values_of_healthy_blocks_are_told(tmp_path: Path, unknown: list[int], blocks: int) -> None:
    """Blocks of the warm-up, a spike and the block after it are not learned from."""
    samples = signal(300, 1)
    samples[150, 3] = 900.0
    load: Float32 = np.full(samples.shape, 40, np.float32)
    load[unknown, 7] = np.nan
    np.savez(tmp_path / "a.npz", acceleration=samples.reshape(-1), load=load.reshape(-1), sampling_rate_hz=RATE)
    recordings = open_described([f"{tmp_path / 'a.npz'}?load"] * 2, RecordingOptions())
    conditions = read_conditions(recordings, BLOCK)
    said: list[str] = []
    run = partial(calibrate_channels, NumpyEngine(BLOCK), 100, [[each.recording for each in recordings]], HOW)
    [told], [plain] = run(said.append, [conditions]), run()
    expected = f"a.npz: load is not known of {2 * blocks} of {2 * (300 - WARMUP - 2)} healthy blocks"
    assert said == ([expected] if blocks else [])
    assert (told.intervals, told.gap_ratio, told.limit(1.0)) == (plain.intervals, plain.gap_ratio, plain.limit(1.0))
