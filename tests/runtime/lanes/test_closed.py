"""Every interval of a channel with a calibration is handed over once, in order, if somebody wants them."""

import numpy as np
import pytest

from monitor.bench.alone import bench_calibration
from monitor.core.arrays import AnyArray
from monitor.runtime.lanes import closed
from monitor.runtime.lanes.closed import HAND_OVER_S, Closed
from monitor.runtime.lanes.lane import Lane, LaneShape
from monitor.runtime.lanes.orders import Answer, Clear, Collect, Collected, Configure, Keep, Report
from monitor.runtime.lanes.worker import Worker
from tests.support.page.page_plant import EchoEngine

CHANNELS, BLOCKS, INTERVAL, WARM_UP = 5, 60, 4, 25
JUDGED = (0, 1, 3, 4)
"""Rows with a calibration."""


class Working:
    """A worker of the second half of a lane of ten rows, with a clock that stands still."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.told: list[Answer] = []
        self.lane = Lane(LaneShape("default", 2 * CHANNELS, 100, 25, 2 * BLOCKS, parts=2)).part(1)
        self.worker = Worker(self.lane, EchoEngine(), lambda: self.now_s, self.told.append)
        self.worker.obey(Keep(0, bench_calibration(100)))
        for row in range(CHANNELS):
            self.worker.obey(Clear(row, 0))
            self.worker.obey(Configure(row, INTERVAL, WARM_UP, 0 if row in JUDGED else None, 8.0))

    def send(self, blocks: int) -> None:
        rng = np.random.default_rng(3)
        for row in range(CHANNELS):
            # The rings are the daemon's to write, so they are written as the whole lane's part here.
            self.lane.rings.append(row, rng.normal(size=100 * blocks).astype(np.float32), 1.0, 900.0 + row)
        while self.worker.round():
            pass

    def closed(self) -> AnyArray:
        return np.concatenate([each.intervals for each in self.told if isinstance(each, Closed)])


def test_nothing_is_handed_over_that_nobody_wants() -> None:
    working = Working()
    working.send(BLOCKS)
    working.worker.obey(Collect(1, (0,)))
    assert not any(isinstance(each, Closed) for each in working.told)


@pytest.mark.parametrize("room", [closed.ROOM, 7, 2])
def test_all_intervals_are_handed_over_in_order(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    monkeypatch.setattr(closed, "ROOM", room)
    working = Working()
    working.worker.obey(Report(wanted=True))
    working.send(BLOCKS)
    working.worker.obey(Collect(7, (0,)))
    assert isinstance(working.told[-1], Collected)  # whoever takes up the state has all that came before it
    found = working.closed()
    assert set(found["row"]) == {CHANNELS + row for row in JUDGED}
    for row in JUDGED:
        own = found[found["row"] == CHANNELS + row]
        assert own.size == (BLOCKS - WARM_UP) // INTERVAL
        assert own["first_sample"].tolist() == [100 * (WARM_UP + INTERVAL * at) for at in range(own.size)]
        assert (own["end_sample"] - own["first_sample"] == 100 * INTERVAL).all()
        assert (own["ended_s"] == 900.0 + row).all()
        assert (own["clears"] == 1).all()
        board = working.lane.board.read(closed.LATEST, np.array([row]))
        for name in closed.LATEST:
            assert np.array_equal(own[-1:][name], board[name], equal_nan=True), name
        assert np.isfinite(own["score"]).all()
        assert len(set(own["score"].tolist())) > 1


def test_they_wait_for_each_other_but_not_for_long() -> None:
    working = Working()
    working.worker.obey(Report(wanted=True))
    working.send(WARM_UP + 2 * INTERVAL)
    assert working.closed().size == len(JUDGED)
    working.send(INTERVAL)
    assert working.closed().size == len(JUDGED)
    working.now_s += HAND_OVER_S
    working.send(1)
    assert working.closed().size == 3 * len(JUDGED)
    working.worker.obey(Report(wanted=False))
    working.now_s += HAND_OVER_S
    working.send(2 * INTERVAL)
    assert working.closed().size == 3 * len(JUDGED)


def test_a_row_says_which_of_its_channels_an_interval_is_of() -> None:
    working = Working()
    working.worker.obey(Report(wanted=True))
    working.send(BLOCKS)
    working.worker.obey(Clear(3, BLOCKS))
    working.worker.obey(Configure(3, INTERVAL, WARM_UP, 0, 8.0))
    working.send(BLOCKS)
    working.worker.obey(Collect(7, (0,)))
    found = working.closed()
    of_row = found[found["row"] == CHANNELS + 3]["clears"].tolist()
    assert sorted(of_row) == of_row
    assert set(of_row) == {1, 2}
