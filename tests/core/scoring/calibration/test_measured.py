"""Measured conditions: values decide which prototypes explain an interval, and which intervals nothing is said of."""

from dataclasses import replace

import numpy as np
import pytest

from monitor.core.arrays import Float32, Float64
from monitor.core.learning.condition_fit import learn
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.calibration.conditions import Combination, neighbours
from monitor.core.scoring.calibration.measured import Measured, interval_means, learnable
from monitor.core.scoring.judge import Judge, Judgements
from monitor.core.scoring.plausibility import REFUSALS, Refusal
from monitor.errors import RecordingError
from tests.support.channels.healthy import BLOCK, INTERVAL, at_load, blind, calibrated, healthy_calibration, make_batch

NAN = float("nan")


def learned_from(loads: dict[float, float | Float32], blocks: int = 1500) -> Calibration:
    """A calibration from one recording at each load, with the value that was measured of it."""
    return calibrated(
        [blind(at_load(load, blocks, seed)) for seed, load in enumerate(loads)],
        quantities=[{"load": np.broadcast_to(np.asarray(value, np.float64), blocks)} for value in loads.values()],
    )


def judged(calibration: Calibration, part: Float32, values: list[float] | None) -> list[Judgements]:
    """The judgements of one channel with the same measured value at each block of an interval; None: none at all."""
    judge, row = Judge(1, BLOCK), np.arange(1)
    judge.assign(row, calibration, calibration.limit(1.0))
    judge.measured.tell(("pressure", "load"))
    one, found = blind(part), []
    for block in range(len(part) // INTERVAL * INTERVAL):
        before = one.before[None] if block == 0 else None
        value = None if values is None else np.array([[7.0, values[block // INTERVAL]]], np.float32)
        judge.add(make_batch(row, one.signal[block, None], one.forecast[block, None], before), value)
        if block % INTERVAL == INTERVAL - 1:
            found.append(judge.close(row, np.array([INTERVAL * BLOCK]))[1])
    return found


def scores(calibration: Calibration, part: Float32, value: float | None) -> Float64:
    values = None if value is None else [value] * (len(part) // INTERVAL)
    return np.array([float(one.score[0]) for one in judged(calibration, part, values)])


@pytest.fixture(scope="module")
def three() -> Calibration:
    return learned_from({0.0: 0.0, 0.5: 50.0, 1.0: 100.0})


def test_a_calibration_knows_the_values_of_its_prototypes_and_their_range(three: Calibration) -> None:
    assert three.quantities == ("load",)
    assert three.values.shape == (len(three.prototypes), 1)
    assert set(three.values.ravel().tolist()) == {0.0, 50.0, 100.0}
    assert three.ranges.tolist() == [[0.0, 100.0]]
    assert three.margins.tolist() == [10.0]


def test_healthy_at_its_own_load_is_healthy_and_at_a_wrong_one_is_not(three: Calibration) -> None:
    for load in (0.0, 0.5, 0.75, 1.0):
        assert scores(three, at_load(load, 800, 50), 100.0 * load).max() < 1.0
    heavy = at_load(1.0, 800, 50)
    assert scores(three, heavy, None).max() < 1.0  # it could be any load
    assert np.median(scores(three, heavy, 0.0)) > 1.0  # this is not what the machine sounds like without load


def test_a_value_far_outside_is_an_unknown_condition_and_leaves_the_alarm_as_it_is(three: Calibration) -> None:
    values = [0.0] * 40 + [111.0] * 20 + [109.0] * 20
    found = judged(three, at_load(1.0, 800, 50), values)
    refusals = [None if not one.refusal[0] else REFUSALS[one.refusal[0] - 1] for one in found]
    assert refusals == [None] * 40 + [Refusal.UNKNOWN_CONDITION] * 20 + [None] * 20
    assert [round(float(one.condition_distance[0]), 3) for one in found] == [0.0] * 40 + [1.1] * 20 + [0.9] * 20
    assert {int(one.alarm_state[0]) for one in found[39:60]} == {2}
    assert all(np.isnan(one.score[0]) and not one.changes.rows.size for one in found[40:60])
    assert np.isfinite([one.score[0] for one in found[60:]]).all()


def test_without_a_value_nothing_is_withheld(three: Calibration) -> None:
    part = at_load(0.75, 400, 51)
    for found in (judged(three, part, None), judged(three, part, [NAN] * 40)):
        assert [float(one.score[0]) for one in found] == scores(three, part, None).tolist()
        assert np.isnan([one.condition_distance[0] for one in found]).all()
        assert not any(one.refusal[0] for one in found)
    plain = judged(healthy_calibration(400), part, [50.0] * 40)
    assert np.isnan([one.condition_distance[0] for one in plain]).all()


def test_a_quantity_of_some_recordings_only_is_learned_from_those() -> None:
    part = learned_from({0.0: 0.0, 0.5: NAN, 1.0: 100.0})
    assert part.ranges.tolist() == [[0.0, 100.0]]
    assert np.isfinite(part.values).all()
    assert scores(part, at_load(0.5, 800, 50), 50.0).max() < 1.0
    assert scores(part, at_load(0.5, 800, 50), None).max() < 1.0
    assert learned_from({0.0: NAN, 1.0: NAN}).quantities == ()


def test_a_constant_quantity_keeps_its_range_and_changes_no_score() -> None:
    constant, none = learned_from({0.0: 40.0, 1.0: 40.0}), learned_from({0.0: NAN, 1.0: NAN})
    assert constant.ranges.tolist() == [[40.0, 40.0]]
    assert constant.margins.tolist() == [2.0]
    part = at_load(0.6, 400, 52)
    assert scores(constant, part, 41.0).tolist() == scores(none, part, None).tolist()
    assert np.isnan(scores(constant, part, 43.0)).all()


def test_a_quantity_that_was_always_zero_knows_only_zero() -> None:
    zero = learned_from({0.0: 0.0, 1.0: 0.0})
    part = at_load(0.6, 100, 52)
    assert np.isfinite(scores(zero, part, 0.0)).all()
    assert [float(one.condition_distance[0]) for one in judged(zero, part, [0.1] * 10)] == [1000.0] * 10


def test_blocks_with_an_unknown_value_do_not_count() -> None:
    values = np.full(1500, 100.0)
    values[::100] = NAN
    found = learned_from({0.0: 0.0, 1.0: values.astype(np.float32)})
    assert found.ranges.tolist() == [[0.0, 100.0]]


def test_too_many_quantities_are_refused() -> None:
    names = {f"q{number}": np.ones(3) for number in range(7)}
    with pytest.raises(RecordingError, match=r"7 measured quantities are given .*q6.*, at most 6 can be learned"):
        learnable([names])
    assert learnable([{"a": np.array([NAN, 1.0]), "b": np.array([NAN])}, {"a": np.zeros(1), "b": np.full(1, NAN)}]) == (
        "a",
    )


def test_the_spans_with_the_extreme_values_are_prototypes() -> None:
    """Although the features do not differ, and one prototype would do."""
    rng = np.random.default_rng(4)
    load = np.linspace(5.0, 25.0, 400)[:, None]
    found = learn([rng.standard_normal((400, 28))], [load])
    spans = load.reshape(-1, 8).mean(axis=1)
    assert {spans.min(), spans.max()} <= set(found.values.ravel().tolist())
    assert found.ranges.tolist() == [[5.0, 25.0]]
    assert learn([rng.standard_normal((400, 28))], [np.full((400, 1), 5.0)]).prototypes.shape == (1, 28)


def test_only_neighbours_in_value_may_explain() -> None:
    speeds = np.array([[0.0], [0.01], [0.5], [1.0], [NAN]])  # the last is no prototype

    def at(value: float, values: Float64 = speeds) -> list[bool]:
        found: list[bool] = neighbours(values[None], np.array([[value]]))[0, :4].tolist()
        return found

    assert at(0.0) == [True, True, False, False]
    assert at(0.5) == at(0.52) == [False, False, True, False]
    assert at(0.7) == [False, False, True, True]
    assert at(0.2) == [True, True, True, False]
    assert at(NAN) == [True] * 4
    # Two quantities whose values no neighbours enclose together: 0.9 with a load of 0 was never met.
    both = np.array([[0.0, 0.0], [0.5, 1.0], [1.0, 1.0]])
    assert neighbours(both[None], np.array([[0.9, 0.0]]))[0].tolist() == [True, True, True]
    assert neighbours(both[None], np.array([[0.9, 1.0]]))[0].tolist() == [False, True, True]


def test_weights_use_neighbours_only() -> None:
    rng = np.random.default_rng(5)
    prototypes = rng.standard_normal((3, 12))
    combination = Combination.of(prototypes, np.ones(12), values=np.array([[800.0], [1000.0], [1200.0]]))
    logs = prototypes[[2, 2, 2]]
    weights = combination.weights(logs, np.array([[NAN], [1000.0], [850.0]]))
    assert weights[0] == pytest.approx([0.0, 0.0, 1.0], abs=0.01)
    assert weights[1].tolist() == [0.0, 1.0, 0.0]
    assert weights[2, 2] == 0.0


def test_columns_are_found_by_name_and_a_mean_needs_every_block(three: Calibration) -> None:
    measured, rows = Measured(2), np.arange(2)
    measured.assign(rows[:1], three)
    assert measured.needed
    measured.tell(("load", "speed"))
    measured.add(rows, np.array([[20.0, 1.0], [20.0, 1.0]], np.float32))
    measured.tell(("speed", "load"))
    measured.add(rows, np.array([[1.0, 40.0], [1.0, 40.0]], np.float32))
    mean, distance = measured.close(rows)
    assert mean is not None
    assert mean[0, 0] == 30.0
    assert np.isnan(mean[1]).all()
    assert distance[0] == 0.0
    assert np.isnan(distance[1])
    measured.add(rows, np.array([[1.0, 40.0], [1.0, 40.0]], np.float32))
    measured.add(rows, None)
    assert np.isnan(measured.close(rows)[1]).all()
    measured.tell(("speed",))
    measured.add(rows, np.ones((2, 1), np.float32))
    assert np.isnan(measured.close(rows)[1]).all()
    bare = Measured(2)
    assert not bare.needed
    assert bare.close(rows)[0] is None


def test_interval_means_are_cut_as_the_features_are() -> None:
    values = np.arange(10.0)[:, None]
    values[9] = NAN
    np.testing.assert_array_equal(interval_means(values, 1, 3), [[2.0], [5.0], [NAN]])
    assert interval_means(values, 8, 3).shape == (0, 1)


def test_rows_with_different_quantities_are_scored_together(three: Calibration) -> None:
    renamed = replace(three, quantities=("pressure",))
    judge, rows = Judge(2, BLOCK), np.arange(2)
    for row, calibration in enumerate((three, renamed)):
        judge.assign(rows[row : row + 1], calibration, calibration.limit(1.0))
    judge.measured.tell(("load", "pressure"))
    one = blind(at_load(1.0, 200, 50))
    both = []
    for block in range(200):
        before = np.stack([one.before] * 2) if block == 0 else None
        batch = make_batch(rows, np.stack([one.signal[block]] * 2), np.stack([one.forecast[block]] * 2), before)
        judge.add(batch, np.array([[0.0, 100.0]] * 2, np.float32))
        if block % INTERVAL == INTERVAL - 1:
            both.append(judge.close(rows, np.full(2, INTERVAL * BLOCK))[1].score)
    for row, value in ((0, 0.0), (1, 100.0)):
        alone = scores(three, at_load(1.0, 200, 50), value)
        assert [float(each[row]) for each in both] == pytest.approx(alone.tolist(), rel=1e-3, abs=1e-4)
