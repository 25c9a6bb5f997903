"""The benchmark's own arithmetic; what it measures is no test's business."""

import numpy as np
import pytest
from scipy.signal import lfilter

from monitor.core.arrays import Float32
from monitor.core.learning.block_sums import context_sums
from monitor.core.learning.fit import calibrate
from monitor.core.learning.head_fit import Stretch
from tests.benchmarks.detection import reach
from tests.benchmarks.detection_alarm import Rig, Way, by_level, lowest, measure, show_ways, with_fault
from tests.benchmarks.detection_alarm_femto import life
from tests.benchmarks.detection_budget import (
    INTERVAL_BLOCKS,
    RUN_BLOCKS,
    STAY_INTERVALS,
    counted,
    episodes,
    surrogate,
    wandering,
)
from tests.benchmarks.detection_data import forecast_each, mixtures
from tests.benchmarks.detection_figures import Channel, auc
from tests.benchmarks.detection_forecast import impulses, reached
from tests.support.networks.numpy_engine import LastBlock


def test_auc_counts_pairs_and_halves_ties() -> None:
    assert auc(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 1.0
    assert auc(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == 0.5
    assert auc(np.array([1.0, 2.0]), np.array([0.0])) == 0.0


def test_reach_interpolates_and_knows_never() -> None:
    assert reach((-6, -10), [1.0, 0.9]) == pytest.approx(-8.0)
    assert reach((-6, -10), [0.9, 0.8]) is None
    assert reach((-6, -10), [1.0, 0.99]) == -10.0


def test_mixtures_have_the_level_that_is_asked_for() -> None:
    rng = np.random.default_rng(1)
    healthy = rng.normal(size=20000).astype(np.float32)
    fault = 5.0 + 3.0 * rng.normal(size=50000).astype(np.float32)
    mixed = mixtures(healthy, [fault], -10.0, 2)
    assert mixed.shape == (2, 20000)
    assert (mixed - healthy).std(axis=1) == pytest.approx(10**-0.5, rel=0.02)


def test_episodes_are_alarms_raised_not_intervals_over_the_limit() -> None:
    scores = np.full((2, 60), 0.1)
    scores[0, 10:20] = 1.5
    scores[0, 22] = 1.5
    scores[0, 45] = 1.5
    assert episodes(scores) == 2


def test_the_level_reached_is_interpolated_and_none_if_never() -> None:
    assert reached((0, -2, -4), [1.0, 0.75, 0.25], 0.5) == pytest.approx(-3.0)
    assert reached((0, -2), [0.4, 0.3], 0.5) is None
    assert reached((0, -2), [1.0, 0.9], 0.5) == -2.0


def test_impulses_ring_at_a_third_of_the_sampling_rate_and_repeat() -> None:
    ringing = impulses(5700)
    assert np.abs(np.fft.rfft(ringing)).argmax() == pytest.approx(1900, abs=60)
    np.testing.assert_allclose(ringing[570:627], ringing[627:684], rtol=1e-3, atol=1e-4)


def test_a_level_counts_only_if_all_louder_ones_alarm() -> None:
    assert lowest((0, -3, -6, -8), [True, True, False, True]) == -3
    assert lowest((0, -3), [True, True]) == -3
    assert lowest((0, -3), [False, True]) is None


def test_a_fault_alarms_if_every_stream_of_it_does_in_time() -> None:
    quiet, late, early = np.zeros(6), np.array([0, 0, 0, 0, 0, 2.0]), np.array([0, 0, 2.0, 2.0, 0, 0])
    # Two levels, two faults, two pieces; two phases each.
    streams = [early, early, early, early, early, early, early, late]
    found = by_level([[one, one] for one in streams], ["a", "b"], (0, -3), 2, most=4)
    assert found["alarm_db_by_fault"] == {"a": -3, "b": 0}
    assert found["alarm_db"] == 0
    assert found["over"] == {0: 0.5, -3: pytest.approx(3 / 8)}
    assert found["over_by_fault"]["b"] == {0: 0.5, -3: 0.25}
    one_phase = by_level([[early, quiet]], ["a"], (0,), 1, most=4)
    assert one_phase["alarm_db"] is None, "the phases are streams that a user might have had"


def coloured(seed: int, gain: float = 1.0) -> Float32:
    noise = np.random.default_rng(seed).normal(size=24000)
    made: Float32 = (gain * lfilter([1.0], [1.0, -1.2, 0.8], noise)).astype(np.float32)
    return made


def test_every_way_of_calibrating_says_what_a_user_gets(capsys: pytest.CaptureFixture[str]) -> None:
    whistle = np.sin(2.5 * np.arange(24000)).astype(np.float32)
    rig = Rig(
        quantity="rpm",
        rate_hz=2000.0,
        interval_blocks=10,
        ways={
            "both": Way(both := {1: coloured(1), 2: coloured(2, 3.0)}),
            "told": Way(both, told=True),
            "slow": Way({1: coloured(1)}),
        },
        healthy={1: coloured(3), 2: coloured(4, 3.0)},
        faults={"whistle": whistle},
        at={"whistle": 1},
        base=coloured(5),
    )
    ways = measure(LastBlock(20), rig, (6, 0, -60))
    assert {name: one["learned"] for name, one in ways.items()} == {"both": [1, 2], "told": [1, 2], "slow": [1]}
    assert set(ways["told"]["figures"]) == {"score"}, "the classical figures have no use for a speed"
    assert set(ways["both"]["figures"]) == {"score", "RMS", "kurtosis", "AR(100)", "AR(100)/energy", "forest"}
    untold, told, slow = (ways[name]["figures"]["score"] for name in ("both", "told", "slow"))
    for one in (untold, told):
        assert one["over"][6] > 0.9
        assert one["over"][-60] == 0.0
        assert one["unmixed_median"]["whistle"] > 1.0
        assert max(one["healthy_largest"].values()) < 1.0
    assert untold["alarm_db"] == told["alarm_db"] == slow["alarm_db"] == 0
    assert slow["healthy_largest"][1] < 1.0 < slow["healthy_largest"][2], "a condition that was never learned"
    show_ways(ways)
    table = capsys.readouterr().out
    assert "learned: both" in table
    assert "healthy 2 rpm, not learned: score at most" in table
    assert "healthy 2 rpm: score at most" in table


def test_a_condition_that_is_told_is_not_mistaken_for_another() -> None:
    engine = LastBlock(20)
    known = forecast_each(engine, [coloured(1), coloured(2, 3.0)])
    channel = Channel(known, 2000.0, 10, [1, 2])
    loud = forecast_each(engine, [coloured(4, 3.0)])
    right, wrong = (max(one.max() for one in channel.scores(loud, [value])["score"][0]) for value in (2, 1))
    assert right < 1.0 < wrong


def test_odd_healthy_data_hold_the_fault_in_the_middle_at_0_db() -> None:
    healthy = coloured(1)
    odd = with_fault(healthy, 7.0 * coloured(2)[:4000])
    added = odd - healthy
    assert not added[:10000].any()
    assert not added[14000:].any()
    assert added[10000:14000].std() == pytest.approx(healthy.std(), rel=1e-3)


def test_a_life_is_a_curve_and_an_alarm_that_lasts() -> None:
    scores = np.full(200, 0.1)
    scores[10], scores[60:63], scores[150:] = 1.5, 1.5, 2.0
    found = life(scores, 40)
    assert found["lasting_alarm_percent_of_life"] == 75.0
    assert found["healthy_episodes"] == 1
    assert found["curve"] == [0.1] * 15 + [2.0] * 5
    assert found["early_largest"] == 0.1
    assert life(scores[:140], 40)["lasting_alarm_percent_of_life"] is None


def test_a_wandering_surrogate_stays_a_while_and_changes_abruptly() -> None:
    pools = [np.full((50, 3), float(number)) for number in range(3)]
    drawn = wandering(pools, 60_000, np.random.default_rng(1))
    assert drawn.shape == (60_000 * INTERVAL_BLOCKS, 3)
    changes = np.flatnonzero(np.diff(drawn[:, 0]))
    assert 60_000 / (len(changes) + 1) == pytest.approx(STAY_INTERVALS, rel=0.2)
    assert np.bincount(drawn[:, 0].astype(int)) / len(drawn) == pytest.approx([1 / 3] * 3, abs=0.1)
    assert ((changes + 1) % RUN_BLOCKS == 0).all()


def test_healthy_surrogates_alarm_within_their_budget() -> None:
    healthy = [Stretch(np.zeros(20, np.float32), coloured(1).reshape(-1, 20), np.zeros((1200, 20), np.float32))]
    first = calibrate(
        [healthy], interval_blocks=INTERVAL_BLOCKS, warmup_blocks=25, sampling_rate_hz=2000.0, block_samples=20
    )
    pool = context_sums(healthy, first.head)
    (row,) = counted(lambda count, rng: surrogate(pool, count, rng), first, 10_000, (1000,))["budgets"]
    assert row["scored intervals"] == 10_000
    assert row["prototypes"] == 1
    assert row["1 a month (intervals of 10 s)"].startswith("0 of 0.0")
