import numpy as np
import pytest
from scipy.signal import welch

from monitor.core.learning.block_sums import context_sums, cut
from monitor.core.learning.fit import accumulate, calibrate, rolling
from monitor.core.scoring.calibration.conditions import MOST_PROTOTYPES
from monitor.core.scoring.evidence.combine import combine, tamed, unsettled
from monitor.core.scoring.evidence.kinds import KINDS, Kind, features, make_plan, statistics
from monitor.core.scoring.interval.bands import layout
from monitor.core.scoring.scorer import Scores
from monitor.errors import RecordingError
from tests.support.channels.healthy import (
    BLOCK,
    INTERVAL,
    RATE,
    SCALE_FREE,
    Channels,
    at_load,
    blind,
    calibrated,
    healthy_calibration,
    signal,
    stretch,
)


def scores(found: list[Scores], row: int = 0) -> list[float]:
    return [float(one.score[row]) for one in found]


def test_new_healthy_data_score_far_below_one() -> None:
    found = Channels(4, healthy_calibration()).run([stretch(signal(3000, seed)) for seed in range(10, 14)])
    every = np.array([one.score for one in found])
    assert np.median(every) < 0.25
    assert every.max() < 1.0


def test_the_weights_say_where_the_machine_is_among_its_conditions() -> None:
    """Learned at three loads: the weights add up to the load, also where a calibration with less stands beside it."""
    loads = (0.0, 0.5, 1.0)
    quantities = [{"load": np.full(900, load)} for load in loads]
    several = calibrated([blind(at_load(load, 900, 3 + n)) for n, load in enumerate(loads)], quantities=quantities)
    count = len(several.prototypes)
    channels = Channels(4, several)
    channels.scorer.assign(np.array([3]), healthy_calibration(), 1.0)
    present = (0.0, 0.4, 1.0, 0.5)
    found = channels.run([blind(at_load(load, 600, 20 + n)) for n, load in enumerate(present)])
    weights = np.stack([one.weights for one in found])
    assert weights.shape[2] == MOST_PROTOTYPES
    assert np.isnan(weights[:, :3, count:]).all()
    assert (weights[:, :3, :count] >= 0).all()
    np.testing.assert_allclose(weights[:, :3, :count].sum(axis=2), 1.0, atol=1e-4)
    told = (weights[:, :3, :count] @ several.values[:, 0]).mean(axis=0)
    np.testing.assert_allclose(told, present[:3], atol=0.15)
    assert (weights[:, 3, 0] == 1.0).all()
    assert np.isnan(weights[:, 3, 1:]).all()


def test_a_weak_persistent_change_is_seen_although_no_single_interval_shows_it() -> None:
    found = scores(Channels(1, healthy_calibration()).run([stretch(signal(1500, 10, fault=0.1))]))
    assert max(found[:3]) < 1.0
    assert min(found[-20:]) > 1.0


def test_a_single_outlier_is_not_seen() -> None:
    quiet = signal(600, 10)
    loud = quiet.copy()
    loud[300] *= 30.0
    found = scores(Channels(1, healthy_calibration()).run([stretch(loud)]))
    assert max(found) < 1.0


def test_knocks_are_not_seen_and_a_lasting_rise_as_large_is() -> None:
    knocking, risen = signal(900, 10), signal(900, 10)
    for first in range(300, 900, 8 * INTERVAL):
        knocking[first : first + INTERVAL] *= 2.0
    risen[300:] *= 2.0
    assert max(scores(Channels(1, healthy_calibration()).run([stretch(knocking)]))) < 1.0
    assert min(scores(Channels(1, healthy_calibration()).run([stretch(risen)]))[-20:]) > 2.0


def test_a_lone_outlier_enters_the_averages_with_a_third_of_the_bound() -> None:
    low, high = np.array([-6.0]), np.array([6.0])
    raw = np.array([[0.5], [9.0], [9.0], [1.0], [-9.0], [-3.0]])
    before = np.array([[0.0], [0.5], [9.0], [9.0], [1.0], [-9.0]])
    assert tamed(raw, before, low, high).ravel().tolist() == [0.5, 2.0, 6.0, 1.0, -2.0, -3.0]


def test_the_score_grows_with_the_fault_and_names_evidence_and_band() -> None:
    calibration = healthy_calibration()
    last = [Channels(1, calibration).run([stretch(signal(300, 10, fault=fault))])[-1] for fault in (0.0, 0.2, 0.5, 2.0)]
    values = [float(one.score[0]) for one in last]
    assert values == sorted(values)
    assert values[0] < 1.0 < values[1]
    assert KINDS[int(last[1].dominant[0])] is Kind.BANDS
    low, high = last[1].band[0]
    assert low < 0.74 < high  # where the ringing peaks, as a fraction of half the sampling rate
    assert np.exp(-values[1] * calibration.limit(1.0)) < 1e-6


def test_gain_moves_level_and_leaves_scale_free_evidence_alone() -> None:
    calibration = healthy_calibration()
    one = Channels(1, calibration).run([stretch(signal(300, 10))])[-1]
    three = Channels(1, calibration).run([stretch(signal(300, 10, gain=3.0))])[-1]
    free = [KINDS.index(kind) for kind in SCALE_FREE]
    assert three.evidence[0, free] == pytest.approx(one.evidence[0, free], abs=0.02)
    assert three.evidence[0, KINDS.index(Kind.LEVEL)] > 1.0


def test_a_quieter_machine_is_as_telling() -> None:
    found = Channels(1, healthy_calibration()).run([stretch(signal(300, 10, gain=0.5))])[-1]
    assert found.score[0] > 1.0
    assert KINDS[int(found.dominant[0])] is Kind.LEVEL


def test_asking_does_not_change_the_answer() -> None:
    calibration = healthy_calibration()
    first = Channels(1, calibration).run([stretch(signal(900, 10, fault=0.3))])
    again = Channels(1, calibration).run([stretch(signal(900, 10, fault=0.3))])
    assert scores(first) == scores(again)


def test_accumulated_evidence_survives_a_restart() -> None:
    calibration = healthy_calibration()
    contexts = [stretch(signal(1200, 10, fault=0.1))]
    whole = scores(Channels(1, calibration).run(contexts))
    before, after = Channels(1, calibration), Channels(1, calibration)
    found = []
    for number in range(120):
        channels = before if number < 60 else after
        if number == 60:
            assert after.scorer.restore(after.rows, before.scorer.export(before.rows))
            assert not after.scorer.restore(after.rows, {})
        for block in range(number * INTERVAL, (number + 1) * INTERVAL):
            channels.add(contexts, block)
        found.append(float(channels.close().score[0]))
    assert found[:60] == whole[:60]
    assert found[61:] == pytest.approx(whole[61:], rel=0.02)  # interval 60 lacks the block before it


def test_rows_without_a_calibration_have_no_score() -> None:
    channels = Channels(2, healthy_calibration())
    channels.scorer.assign(channels.rows[:1], None)
    found = channels.run([stretch(signal(INTERVAL, seed)) for seed in (1, 2)])[0]
    assert np.isnan(found.score).tolist() == [True, False]
    assert found.dominant[0] == -1


def test_a_laxer_budget_lowers_the_limit_and_short_data_raise_it() -> None:
    calibration = healthy_calibration()
    assert calibration.limit(30.0) < calibration.limit(1.0) < calibration.limit(0.1)
    short = healthy_calibration(blocks=200)
    assert short.limit(1.0) > calibration.limit(1.0)
    assert calibration.healthy_s == pytest.approx(4000 * BLOCK / RATE)


def test_too_little_data_are_refused_with_the_number_needed() -> None:
    with pytest.raises(RecordingError, match=r"there are 4 healthy intervals .* at least 5 are needed"):
        calibrate(
            [[stretch(signal(40, 1))]],
            interval_blocks=INTERVAL,
            warmup_blocks=5,
            sampling_rate_hz=RATE,
            block_samples=BLOCK,
        )
    # 55 blocks of 0.1 s: without a scored block the size comes from the argument.
    with pytest.raises(RecordingError, match=r"there are 0 healthy intervals of 1 s .* bring 5\.50 s of healthy"):
        calibrate([], interval_blocks=INTERVAL, warmup_blocks=5, sampling_rate_hz=RATE, block_samples=200)


def test_a_flat_or_broken_part_is_refused() -> None:
    flat, broken = stretch(signal(200, 1)), stretch(signal(200, 1))
    flat.signal[50] = 0.0
    broken.forecast[50, 3] = np.nan
    for one, text in ((flat, "flat line"), (broken, "NaN")):
        with pytest.raises(RecordingError, match=text):
            calibrate([[one]], interval_blocks=INTERVAL, warmup_blocks=5, sampling_rate_hz=RATE)


def test_bursts_are_calibrated_one_interval_each() -> None:
    bursts = [[stretch(signal(INTERVAL, seed))] for seed in range(60)]
    calibration = calibrate(bursts, interval_blocks=INTERVAL, warmup_blocks=5, sampling_rate_hz=RATE, interval_s=10.0)
    assert calibration.intervals == 60
    assert calibration.interval_s == 10.0


def test_scoring_interval_by_interval_equals_one_pass_over_all_of_them() -> None:
    calibration = healthy_calibration()
    one = stretch(signal(1500, 11, fault=0.05))
    found = Channels(1, calibration).run([one])
    raw = cut(context_sums([one], calibration.head), 0, INTERVAL, BLOCK)
    plan = make_plan(layout(BLOCK))
    left = calibration.combination.left(raw, layout(BLOCK).bands)
    values = features(accumulate(left, calibration.low, calibration.high), layout(BLOCK).windows)
    statistic, _ = statistics(values, calibration.centre, calibration.spread, plan)
    surprises = statistic / calibration.kind_scale
    surprises[unsettled(np.arange(1, len(raw) + 1))] = 0.0
    expected = calibration.tail.surprise(rolling(combine(surprises))) / calibration.limit(1.0)
    assert scores(found) == pytest.approx(expected.tolist(), rel=1e-2, abs=1e-2)


def test_how_many_times_healthy_the_level_and_the_band_are() -> None:
    calibration = healthy_calibration()
    louder = Channels(1, calibration).run([stretch(signal(100, 10, gain=3.0))])[-1]
    assert louder.times_healthy[0] == pytest.approx([3.0, 3.0], rel=0.15)
    sound, broken = signal(300, 10), signal(300, 10, fault=2.0)
    last = Channels(1, calibration).run([stretch(broken)])[-1]
    level, band = last.times_healthy[0].tolist()
    assert level == pytest.approx(broken[-INTERVAL:].std() / sound.std(), rel=0.1)
    # The spectra say the same, without head and forecast.
    (frequency, healthy), (_, faulty) = (welch(part.ravel(), 2.0, nperseg=128) for part in (sound, broken))
    inside = (frequency >= last.band[0, 0]) & (frequency <= last.band[0, 1])
    # Each frequency counts alike, since the residual is white when healthy.
    assert band == pytest.approx(np.sqrt((faulty[inside] / healthy[inside]).mean()), rel=0.25)
    assert band > 3 * level
    without = Channels(1, calibration)
    without.scorer.assign(without.rows, None)
    assert np.isnan(without.run([stretch(sound[:INTERVAL])])[0].times_healthy).all()
