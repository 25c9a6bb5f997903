import numpy as np
import pytest

from monitor.core.gap import GapSums
from monitor.core.scoring.bands import layout
from monitor.core.scoring.fit import block_sums, cut, in_mps2
from monitor.core.scoring.kinds import raw_features
from monitor.core.scoring.observations import HELD_BLOCKS, ObservationSums
from monitor.core.scoring.whitening import autoregression, whitening_matrix, with_previous
from tests.support.healthy import BLOCK, INTERVAL, Channels, context, healthy_calibration, make_batch, signal


def test_bands_cover_every_component_once() -> None:
    for size in (8, 20, 100, 128):
        of = layout(size)
        assert (of.pool > 0).sum() == size
        assert of.pool.sum(axis=0) == pytest.approx(1.0)
        assert of.windows.sum(axis=0) == pytest.approx(1.0)
        assert of.window_prior.sum() == pytest.approx(1.0)


def test_autoregression_finds_the_model_that_made_the_data() -> None:
    flat = signal(3000, 3).astype(np.float64).ravel()
    assert autoregression([flat], 2) == pytest.approx([1.0, -1.2, 0.8], abs=0.03)


def test_whitened_healthy_data_have_unit_energy_at_every_frequency_even_if_new() -> None:
    old, new = context(signal(4000, 1)), context(signal(4000, 2))
    matrix = whitening_matrix([in_mps2(old.residual, old.level_mps2)])
    components = with_previous(in_mps2(new.residual, new.level_mps2)) @ matrix
    assert np.mean(components**2, axis=0) == pytest.approx(1.0, abs=0.15)
    correlation = np.corrcoef(components.T) - np.eye(BLOCK)
    assert np.abs(correlation).max() < 0.15


def test_batches_of_channels_give_what_one_long_pass_gives() -> None:
    calibration = healthy_calibration()
    blocks = 7 * INTERVAL
    assert blocks > HELD_BLOCKS
    contexts = [context(signal(blocks, seed)) for seed in (5, 6, 7)]
    channels = Channels(3, calibration)
    for number in range(7):
        for block in range(number * INTERVAL, (number + 1) * INTERVAL):
            channels.add(contexts, block)
        samples = np.full(3, INTERVAL * BLOCK, np.int64)
        seen = channels.observations.close(channels.rows, samples)
        raw = raw_features(seen, channels.gaps.close(channels.rows, samples))
        for row, one in enumerate(contexts):
            sums = block_sums(one, in_mps2(one.residual, one.level_mps2), calibration.whitening)
            assert raw[row] == pytest.approx(cut(sums, 0, INTERVAL, BLOCK)[number], rel=1e-3, abs=1e-4)


def test_a_long_interval_is_whitened_in_parts_without_a_seam() -> None:
    calibration = healthy_calibration()
    one = context(signal(3 * HELD_BLOCKS + 5, 8))
    channels = Channels(1, calibration)
    for block in range(len(one.observed)):
        channels.add([one], block)
    seen = channels.observations.close(channels.rows, np.array([one.observed.size]))
    sums = block_sums(one, in_mps2(one.residual, one.level_mps2), calibration.whitening)
    assert seen.bands[0] == pytest.approx(sums[:, : layout(BLOCK).bands].mean(axis=0), rel=1e-3)


def test_channels_without_calibration_still_have_a_kurtosis() -> None:
    channels = Channels(2, None)
    contexts = [context(signal(INTERVAL, seed)) for seed in (5, 6)]
    for block in range(INTERVAL):
        channels.add(contexts, block)
    seen = channels.observations.close(channels.rows, np.full(2, INTERVAL * BLOCK))
    assert np.isnan(seen.bands).all()
    assert np.isfinite(seen.kurtosis).all()


def test_nan_stays_in_its_row_and_leaves_with_its_interval() -> None:
    calibration = healthy_calibration()
    clean = [context(signal(4 * INTERVAL, seed)) for seed in (5, 6)]
    dirty = [context(signal(4 * INTERVAL, seed)) for seed in (5, 6)]
    dirty[0].residual[3, 7] = np.nan
    expected = Channels(2, calibration).run(clean)
    found = Channels(2, calibration).run(dirty)
    assert np.isnan(found[0].score[0])
    assert [one.score[1] for one in found] == [one.score[1] for one in expected]
    assert all(np.isfinite(one.score[0]) for one in found[1:])


def test_reset_forgets_the_open_interval_and_the_block_before() -> None:
    calibration = healthy_calibration()
    one, other = context(signal(INTERVAL, 5)), context(signal(INTERVAL, 6))
    fresh, used = Channels(1, calibration), Channels(1, calibration)
    for block in range(3):
        used.add([other], block)
    used.observations.reset(used.rows)
    used.gaps.reset(used.rows)
    for channels in (fresh, used):
        for block in range(INTERVAL):
            channels.add([one], block)
    assert used.close().score == fresh.close().score


def test_two_calibrations_do_not_mix() -> None:
    quiet, loud = healthy_calibration(seed=1), healthy_calibration(seed=2)
    observations, gaps = ObservationSums(2, BLOCK), GapSums(2)
    observations.assign(np.array([0]), quiet.whitening)
    observations.assign(np.array([1]), loud.whitening)
    one = context(signal(INTERVAL, 5))
    for block in range(INTERVAL):
        two = np.repeat(one.residual[block : block + 1], 2, axis=0)
        batch = make_batch(np.arange(2), two, two, np.repeat(one.level_mps2[block], 2))
        observations.add(batch)
        gaps.add(batch)
    seen = observations.close(np.arange(2), np.full(2, INTERVAL * BLOCK))
    for row, calibration in enumerate((quiet, loud)):
        alone = Channels(1, calibration)
        for block in range(INTERVAL):
            alone.add([one], block)
        assert seen.bands[row] == pytest.approx(
            alone.observations.close(alone.rows, np.array([200])).bands[0], rel=1e-4
        )
