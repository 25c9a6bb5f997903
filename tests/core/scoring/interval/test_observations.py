from dataclasses import replace

import numpy as np
import pytest

from monitor.core.learning.block_sums import context_sums, cut
from monitor.core.learning.head_fit import Stretch
from monitor.core.scoring.evidence.kinds import raw_features
from monitor.core.scoring.interval.bands import layout
from monitor.core.scoring.interval.observations import HELD_BLOCKS, ObservationSums
from tests.support.channels.healthy import BLOCK, INTERVAL, Channels, healthy_calibration, make_batch, signal, stretch


def test_bands_cover_every_component_once() -> None:
    for size in (8, 20, 100, 128):
        of = layout(size)
        assert (of.pool > 0).sum() == size
        assert of.pool.sum(axis=0) == pytest.approx(1.0)
        assert of.windows.sum(axis=0) == pytest.approx(1.0)
        assert of.window_prior.sum() == pytest.approx(1.0)


def test_batches_of_channels_give_what_one_long_pass_gives() -> None:
    calibration = healthy_calibration()
    blocks = 7 * INTERVAL
    assert blocks > HELD_BLOCKS
    streams = [stretch(signal(blocks, seed)) for seed in (5, 6, 7)]
    channels = Channels(3, calibration)
    for number in range(7):
        for block in range(number * INTERVAL, (number + 1) * INTERVAL):
            channels.add(streams, block)
        raw = raw_features(*channels.figures())
        for row, one in enumerate(streams):
            sums = context_sums([one], calibration.head)
            assert raw[row] == pytest.approx(cut(sums, 0, INTERVAL, BLOCK)[number], rel=1e-3, abs=1e-4)


def test_a_long_interval_is_whitened_in_parts_without_a_seam() -> None:
    calibration = healthy_calibration()
    one = stretch(signal(3 * HELD_BLOCKS + 5, 8))
    channels = Channels(1, calibration)
    for block in range(len(one.signal)):
        channels.add([one], block)
    seen, _ = channels.figures(len(one.signal))
    sums = context_sums([one], calibration.head)
    assert seen.bands[0] == pytest.approx(sums[:, : layout(BLOCK).bands].mean(axis=0), rel=1e-3)


def test_a_block_that_does_not_follow_is_forecast_from_the_one_before_it() -> None:
    calibration = healthy_calibration()
    whole = signal(INTERVAL + 1, 8)
    # Block 4 is missing between the two stretches, but it is known.
    parts = [stretch(whole[:4]), Stretch(whole[4], whole[5:], stretch(whole).forecast[5:])]
    channels = Channels(1, calibration)
    for number, part in enumerate(parts):
        for block in range(len(part.signal)):
            before = part.before[None] if block == 0 else None
            at = slice(block, block + 1)
            batch = make_batch(channels.rows, part.signal[at], part.forecast[at], before)
            channels.observations.add(batch)
            channels.gaps.add(batch, channels.with_head)
        assert number < 2
    expected = cut(context_sums(parts, calibration.head), 0, INTERVAL, BLOCK)[0]
    assert raw_features(*channels.figures())[0] == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_nan_stays_in_its_row_and_leaves_with_its_interval() -> None:
    calibration = healthy_calibration()
    clean = [stretch(signal(4 * INTERVAL, seed)) for seed in (5, 6)]
    dirty = [stretch(signal(4 * INTERVAL, seed)) for seed in (5, 6)]
    dirty[0].forecast[3, 7] = np.nan
    expected = Channels(2, calibration).run(clean)
    found = Channels(2, calibration).run(dirty)
    assert np.isnan(found[0].score[0])
    assert [one.score[1] for one in found] == [one.score[1] for one in expected]
    assert all(np.isfinite(one.score[0]) for one in found[1:])


def test_reset_forgets_the_open_interval_and_the_block_before() -> None:
    calibration = healthy_calibration()
    one, other = stretch(signal(INTERVAL, 5)), stretch(signal(INTERVAL, 6))
    fresh, used = Channels(1, calibration), Channels(1, calibration)
    for block in range(3):
        used.add([other], block)
    used.observations.reset(used.rows)
    used.gaps.reset(used.rows)
    for channels in (fresh, used):
        for block in range(INTERVAL):
            channels.add([one], block)
    assert used.close().score == fresh.close().score


def test_two_heads_do_not_mix() -> None:
    calibrations = healthy_calibration(seed=1), healthy_calibration(seed=2)
    both = Channels(2, calibrations[0])
    both.observations.assign(np.array([1]), calibrations[1].head)
    one = stretch(signal(INTERVAL, 5))
    for block in range(INTERVAL):
        both.add([one, one], block)
    seen, _ = both.figures()
    for row, calibration in enumerate(calibrations):
        alone = Channels(1, calibration)
        for block in range(INTERVAL):
            alone.add([one], block)
        assert seen.bands[row] == pytest.approx(alone.figures()[0].bands[0], rel=1e-4)


def test_a_head_is_forgotten_with_the_last_of_its_rows() -> None:
    sums = ObservationSums(6, BLOCK)
    one, two = (replace(healthy_calibration().head) for _ in range(2))
    sums.assign(np.array([0, 1, 2]), one)
    sums.assign(np.array([1, 3]), two)
    sums.assign(np.array([3]), two)
    assert sums._heads == {0: one, 1: two}
    sums.assign(np.array([0, 2, 4]), None)
    assert sums._heads == {1: two}
    sums.assign(np.array([1]), one)  # its own place is still taken
    assert sums._heads == {0: one, 1: two}
    sums.assign(np.array([3]), None)
    assert sums._heads == {0: one}
    assert sums._of_row.tolist() == [-1, 0, -1, -1, -1, -1]
    sums.assign(np.array([1]), None)
    assert sums._heads == {}
    assert sums._places == {}


def test_each_channel_gets_its_own_head_whatever_lies_beside_it() -> None:
    """Of its own or shared, with the network or without it, in the place of its row or another."""
    one, two, three = (healthy_calibration(seed=seed).head for seed in (1, 2, 3))
    summary = two.summary.copy()
    summary[BLOCK:] = 0.0
    bare = replace(two, summary=summary)
    short = replace(three, summary=three.summary[:, 7:], ahead=three.ahead[7:], carried=three.carried[7:])
    heads = [one, bare, three, three, short, short, bare, one, bare]
    assert [head.uses_network for head in heads[:3]] == [True, False, True]
    blocks, rows = HELD_BLOCKS + 3, np.arange(len(heads))
    streams = [stretch(signal(blocks, 10 + row)) for row in range(len(heads))]
    before = np.stack([stream.before for stream in streams])
    sums = ObservationSums(len(heads), BLOCK)
    for order in (range(len(heads)), (6, 2, 8, 0, 4, 1, 7, 3, 5)):
        for row in order:
            sums.assign(np.array([row]), heads[row])
        for block in range(len(streams[0].signal)):
            signals = np.stack([stream.signal[block] for stream in streams])
            forecasts = np.stack([stream.forecast[block] for stream in streams])
            sums.add(make_batch(rows, signals, forecasts, None if block else before))
        seen = sums.close(rows, np.full(rows.size, len(streams[0].signal) * BLOCK))
        for row, (head, stream) in enumerate(zip(heads, streams, strict=True)):
            expected = context_sums([stream], head)
            assert seen.bands[row] == pytest.approx(expected[:, : layout(BLOCK).bands].mean(axis=0), rel=1e-3)
            assert seen.residual[row] == pytest.approx(expected[:, -3].sum(), rel=1e-3)
        sums.assign(rows, None)
