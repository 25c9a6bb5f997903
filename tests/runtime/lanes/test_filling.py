"""A worker that has much to do lets batches fill; nothing waits for long, and a small load waits for nothing.

Time is the test's: each batch takes 2 ms and 10 µs a block, and blocks arrive while the worker waits or works.
"""

import heapq
from typing import Any

import numpy as np
import pytest

from monitor.core.arrays import Float32, Rows
from monitor.core.forecasting.forecaster import CarriedState
from monitor.runtime.lanes.lane import Lane, LaneShape
from monitor.runtime.lanes.orders import Batches, Clear, Configure, Order, Stop
from monitor.runtime.lanes.worker import YOUNG_S, Worker
from tests.support.page.page_plant import EchoEngine

DELAY_S = 0.005


class Plant(EchoEngine):
    """The clock, the engine that takes time, and the daemon's end of the connection."""

    def __init__(self, period_s: float, blocks: int, channels: int = 100, delay_s: float = DELAY_S) -> None:
        self.now_s = 1000.0
        self.end_s = self.now_s + 5.0
        self.sizes: list[int] = []
        self.lane = Lane(LaneShape("default", channels, 100, 25, 400))
        self.worker = Worker(self.lane, self, lambda: self.now_s, batches=Batches(max_delay_s=delay_s))
        rng = np.random.default_rng(4)
        self._due = [(self.now_s + first_s, row) for row, first_s in enumerate(rng.uniform(0, period_s, channels))]
        heapq.heapify(self._due)
        self._period_s = period_s
        self._message = rng.normal(size=100 * blocks).astype(np.float32)
        for row in range(channels):
            self.worker.obey(Clear(row, 0))
            self.worker.obey(Configure(row, 10, 25))

    def step(self, blocks: Float32, state: CarriedState, rows: Rows) -> Float32:
        self.sizes.append(rows.size)
        self.now_s += 0.002 + 1e-5 * rows.size
        return super().step(blocks, state, rows)

    def poll(self, timeout: float = 0.0) -> bool:
        self.now_s += timeout
        while self._due[0][0] <= self.now_s:
            at_s, row = self._due[0]
            assert self.lane.rings.append(row, self._message, 1.0, at_s) == 0
            heapq.heapreplace(self._due, (at_s + self._period_s, row))
        return self.now_s >= self.end_s

    def recv(self) -> Order:
        return Stop()

    def run(self) -> float:
        """Blocks a batch, on average."""
        connection: Any = self
        self.worker.run(connection)
        return float(np.mean(self.sizes))

    def longest_s(self) -> float:
        """Longest time from the arrival of a block to its score: the upper bound of a bucket."""
        return self.lane.latencies.quantile(1.0)


@pytest.mark.parametrize(("period_s", "blocks"), [(0.02, 1), (0.1, 5)])
def test_a_busy_worker_makes_fewer_and_fuller_batches(period_s: float, blocks: int) -> None:
    at_once, filling = (Plant(period_s, blocks, delay_s=delay_s) for delay_s in (0.0, DELAY_S))
    before, after = at_once.run(), filling.run()
    assert after > 2.5 * before
    scored = [int(plant.lane.board.blocks_scored.sum()) for plant in (at_once, filling)]
    assert scored[1] == pytest.approx(scored[0], rel=0.02)
    assert at_once.longest_s() <= filling.longest_s() <= 0.1


def test_nothing_waits_for_more_once_it_is_old() -> None:
    # 30 blocks at once: to make a batch of each only every 8 ms would take 0.24 s, twice the time between them.
    plant = Plant(0.125, 30)
    plant.run()
    assert int(plant.lane.rings.backlog().max()) <= 2 * 30
    assert sum(int(counts.sum()) for counts in plant.lane.board.skipped.values()) == 100 * 25
    assert plant.longest_s() < 10 * YOUNG_S


def test_a_small_load_waits_for_nothing() -> None:
    waits: list[bool] = []
    plant = Plant(0.1, 1, channels=5)
    lets_fill = plant.worker.lets_fill
    plant.worker.lets_fill = lambda: waits.append(lets_fill()) or waits[-1]  # type: ignore[method-assign,func-returns-value]
    plant.run()
    assert len(waits) > 100
    assert not any(waits)
    assert plant.longest_s() <= 0.01
