import numpy as np

from monitor.core.arrays import Float32
from monitor.core.scoring.alarm import Alarm, AlarmRule, State
from monitor.core.scoring.plausibility import ACCEPTED, Plausibility, Refusal, code
from tests.support.channels.healthy import make_batch

ROW = np.zeros(1, np.intp)


def states(alarm: Alarm, scores: list[float]) -> list[int]:
    out = []
    for score in scores:
        alarm.update(ROW, np.array([score], np.float32))
        out.append(int(alarm.state(ROW)[0]))
    return out


def test_states_follow_the_score_and_are_slow_to_leave() -> None:
    found = states(Alarm(1), [0.1, 0.75, 1.2, 0.9, *[0.1] * 7, 0.1, 0.1])
    assert found[:4] == [State.OK, State.WARNING, State.ALARM, State.ALARM]
    assert found[4:11] == [State.ALARM] * 7
    assert found[11] == State.OK


def test_hovering_at_the_limit_is_one_episode() -> None:
    assert set(states(Alarm(1), [1.01, 0.95] * 50)) == {State.ALARM}


def test_an_alarm_that_fades_becomes_a_warning_first() -> None:
    assert states(Alarm(1), [1.5, *[0.75] * 8])[-1] == State.WARNING


def test_no_score_changes_nothing() -> None:
    alarm = Alarm(1)
    assert states(alarm, [1.2, *[float("nan")] * 50]) == [State.ALARM] * 51


def test_minimum_duration() -> None:
    alarm = Alarm(1, AlarmRule(quiet_intervals=1, minimum_intervals=5))
    assert states(alarm, [1.2, 0.1, 0.1, 0.1, 0.1, 0.1]) == [2, 2, 2, 2, 2, 0]


def test_changes_are_told_once_and_channels_are_apart() -> None:
    alarm = Alarm(3)
    rows = np.arange(3)
    changes = alarm.update(rows, np.array([0.1, 1.5, 0.8], np.float32))
    assert changes.rows.tolist() == [1, 2]
    assert changes.before.tolist() == [0, 0]
    assert changes.after.tolist() == [2, 1]
    assert alarm.update(rows, np.array([0.1, 1.5, 0.8], np.float32)).rows.size == 0


def test_state_survives_a_restart() -> None:
    old, new = Alarm(1), Alarm(1)
    states(old, [1.2, 0.1, 0.1, 0.1])
    new.restore(ROW, old.export(ROW))
    assert states(new, [0.1] * 6) == states(old, [0.1] * 6)
    new.reset(ROW)
    assert new.state(ROW)[0] == State.OK


def refused(samples: Float32, level: float = 0.0, *, wrong_rate: bool = False) -> int:
    look = Plausibility(1)
    look.assign(ROW, level, wrong_rate=wrong_rate)
    for block in samples.reshape(-1, 100):
        look.add(make_batch(ROW, block[None], block[None]))
    with np.errstate(invalid="ignore"):
        rms = np.array([samples.std()], np.float32)
    return int(look.close(ROW, np.array([samples.size]), rms)[0])


def test_what_is_no_measurement_is_refused_with_its_reason() -> None:
    rng = np.random.default_rng(1)
    good = rng.normal(size=1000).astype(np.float32)
    broken = good.copy()
    broken[500] = np.nan
    infinite = good.copy()
    infinite[500] = np.inf
    assert refused(good) == ACCEPTED
    assert refused(good, 1.0) == ACCEPTED
    assert refused(np.sin(0.05 * np.arange(1000)).astype(np.float32)) == ACCEPTED
    assert refused(np.round(good * 50)) == ACCEPTED
    assert refused(broken) == refused(infinite) == code(Refusal.NOT_FINITE)
    assert refused(np.full(1000, 3.0, np.float32)) == code(Refusal.FLAT_LINE)
    assert refused((1e7 + np.zeros(1000)).astype(np.float32)) == code(Refusal.FLAT_LINE)
    assert refused(np.clip(good, -1.0, 9.0)) == code(Refusal.CLIPPED)
    assert refused(np.clip(good, -9.0, 1.0)) == code(Refusal.CLIPPED)
    assert refused(good, 20.0) == code(Refusal.STOPPED)
    assert refused(good, wrong_rate=True) == code(Refusal.WRONG_RATE)


def test_intervals_are_looked_at_one_by_one() -> None:
    look = Plausibility(2)
    rows = np.arange(2)
    good = np.random.default_rng(1).normal(size=(2, 100)).astype(np.float32)
    bad = good.copy()
    bad[0] = 0.0
    for samples, expected in ((bad, [code(Refusal.FLAT_LINE), ACCEPTED]), (good, [ACCEPTED, ACCEPTED])):
        look.add(make_batch(rows, samples, samples))
        assert look.close(rows, np.full(2, 100), samples.std(axis=1)).tolist() == expected
