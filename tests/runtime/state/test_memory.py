"""Alarm states and evidence across a restart, without a daemon: one lane, its worker's orders carried out at once."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from monitor.config.sensors import Sensor
from monitor.core.arrays import Arrays
from monitor.core.scoring.alarm import Changes, State
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.lane import Lane, LaneShape
from monitor.runtime.lanes.orders import Answer, Collect, Collected, Restore
from monitor.runtime.lanes.worker import Worker
from monitor.runtime.state.memory import Memory
from monitor.runtime.wall_clock import WallClock
from tests.support.channels.healthy import BLOCK, healthy_calibration
from tests.support.daemons import SENSOR
from tests.support.networks.numpy_engine import NumpyEngine

NOW_S = 1.79e9
NAMES = ("machine", "axis")


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return healthy_calibration()


class Workers:
    """One worker in this process, which obeys at once."""

    def __init__(self) -> None:
        engine = NumpyEngine(BLOCK)
        self.lane = Lane(LaneShape("default", 4, BLOCK, engine.window_blocks, 16, level_blocks=10))
        self.worker = Worker(self.lane, engine, lambda: 0.0, self._tell)
        self._answer: Future[Arrays] = Future()

    def _tell(self, answer: Answer) -> None:
        if not isinstance(answer, Changes):
            assert isinstance(answer, Collected)
            self._answer.set_result(answer.arrays)

    def restore(self, order: Restore) -> None:
        assert self.worker.obey(order)

    def collect(self, part: int, rows: Sequence[int], *, last: bool = False, points: bool = False) -> Future[Arrays]:
        self._answer = Future()
        assert self.worker.obey(Collect(part, tuple(rows), last, points)) is not last
        return self._answer


class Run:
    """One run of a daemon, as far as its memory is concerned."""

    def __init__(self, folder: Path, calibration: Calibration | None, row: int = 1, most: int = 8) -> None:
        self.workers = Workers()
        self.lane, self.pipeline = self.workers.lane, self.workers.worker.pipeline
        self.memory = Memory(folder, WallClock(lambda: NOW_S, lambda: 0.0), most)
        self.channels: list[Channel] = []
        self.row = row
        self.calibration = calibration
        self.rows = np.array([row])
        self.pipeline.assign(self.rows, calibration, 10.0)

    def add(self, machine: str = "fan", key: str = "same") -> Channel:
        """A channel appears."""
        sensor = Sensor.model_validate(SENSOR)
        channel = Channel(
            (machine, "x"), f"plant/{machine}/x", sensor, "default", self.row, key=key, calibration=self.calibration
        )
        self.channels.append(channel)
        self.memory.restore(channel, self.workers, NAMES)
        return channel

    def save(self, *, final: bool) -> None:
        channels = {channel.labels: channel for channel in self.channels}
        asyncio.run(self.memory.save(channels, {"default": self.workers}, lambda: NAMES, final=final))

    @property
    def state(self) -> State:
        return State(int(self.pipeline.judge.alarm.state(self.rows)[0]))


def first_run(folder: Path, calibration: Calibration | None, *, final: bool) -> dict[str, np.ndarray]:
    """A run with an alarm, evidence and counters; returns its evidence."""
    run = Run(folder, calibration)
    channel = run.add()
    channel.samples_received, channel.blocks_incomplete, channel.first_block = 900, 3, -45
    judge = run.pipeline.judge
    judge.alarm.restore(run.rows, np.array([[State.ALARM, 7, 12]]))
    evidence = {name: np.nan_to_num(values) + 1 for name, values in judge.scorer.export(run.rows).items()}
    assert judge.scorer.restore(run.rows, evidence)
    run.lane.board.restore(run.row, run.lane.board.counts(run.rows)[0] + 5)
    run.save(final=final)
    assert run.memory.write_failures == 0
    return evidence


@pytest.mark.parametrize("final", [True, False])
def test_alarm_and_evidence_always_go_on_counters_after_a_clean_end(
    tmp_path: Path, calibration: Calibration, final: bool
) -> None:
    evidence = first_run(tmp_path, calibration, final=final)
    run = Run(tmp_path, calibration, row=2)
    channel = run.add()
    judge = run.pipeline.judge
    assert run.state is State.ALARM
    assert run.lane.board.alarm_state[2] == State.ALARM
    assert judge.alarm.export(run.rows).tolist() == [[State.ALARM, 7, 12]]
    for name, values in judge.scorer.export(run.rows).items():
        assert np.array_equal(values, evidence[name])
    counted = (channel.samples_received, channel.blocks_incomplete, channel.first_block)
    assert counted == ((900, 3, -45) if final else (0, 0, 0))
    assert set(run.lane.board.counts(run.rows)[0].tolist()) == ({5} if final else {0})
    # A kill right after the start must not find counters to go on from.
    assert Run(tmp_path, calibration).add().samples_received == 0


def test_a_channel_that_changed_begins_anew(tmp_path: Path, calibration: Calibration) -> None:
    first_run(tmp_path, calibration, final=True)
    run = Run(tmp_path, calibration)
    assert run.add(key="other").samples_received == 0
    assert run.state is State.OK


def test_state_is_given_back_once(tmp_path: Path, calibration: Calibration) -> None:
    first_run(tmp_path, calibration, final=True)
    run = Run(tmp_path, calibration)
    assert run.add().samples_received == 900
    assert run.add().samples_received == 0


def test_without_its_calibration_a_channel_has_no_alarm_state(tmp_path: Path, calibration: Calibration) -> None:
    first_run(tmp_path, calibration, final=True)
    run = Run(tmp_path, None)
    assert run.add().samples_received == 900
    assert run.lane.board.alarm_state[1] == -1


def test_a_channel_that_stays_away_keeps_its_state_while_there_is_room(
    tmp_path: Path, calibration: Calibration
) -> None:
    first_run(tmp_path, calibration, final=True)
    other = Run(tmp_path, calibration, most=2)
    other.add("pump")
    other.save(final=True)
    back = Run(tmp_path, calibration, most=1)
    assert back.add().samples_received == 900
    crowded = Run(tmp_path, calibration, most=1)
    crowded.add("pump")
    crowded.save(final=True)
    assert Run(tmp_path, calibration).add().samples_received == 0


def test_a_save_that_fails_is_counted_and_logged_once(
    tmp_path: Path, calibration: Calibration, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        run = Run(tmp_path / "file", calibration)
        run.add()
        for _ in range(3):
            run.save(final=False)
    assert run.memory.write_failures == 3
    assert caplog.text.count("state not saved") == 1


def test_a_channel_comes_back_with_the_time_of_its_last_samples_and_its_last_event(
    tmp_path: Path, calibration: Calibration
) -> None:
    run = Run(tmp_path, calibration)
    channel = run.add()
    channel.last_sample_s, channel.event = -500.0, "{}"
    run.save(final=False)
    again = Run(tmp_path, calibration)
    [known] = again.memory.waiting()
    assert (known.topic, known.axis, known.last_sample_at_s) == ("plant/fan/x", "x", NOW_S - 500.0)
    back = again.add()
    assert (back.last_sample_s, back.event) == (-500.0, "{}")
    assert again.memory.waiting() == []


def test_a_clock_that_was_set_back_puts_no_sample_into_the_future(tmp_path: Path, calibration: Calibration) -> None:
    run = Run(tmp_path, calibration)
    run.add().last_sample_s = 86400.0
    run.save(final=False)
    assert Run(tmp_path, calibration).add().last_sample_s == 0.0


def test_what_was_only_expected_is_not_kept(tmp_path: Path, calibration: Calibration) -> None:
    run = Run(tmp_path, calibration)
    run.add().heard = False
    run.save(final=True)
    assert Run(tmp_path, calibration).memory.waiting() == []


def test_what_did_not_come_back_is_left_out_after_a_long_silence(tmp_path: Path, calibration: Calibration) -> None:
    run = Run(tmp_path, calibration)
    run.add().last_sample_s = -1000.0
    run.save(final=True)
    for forget_after_s, left in ((2000.0, 1), (500.0, 0)):
        other = Run(tmp_path, calibration)
        asyncio.run(other.memory.save({}, {}, lambda: NAMES, forget_after_s=forget_after_s))
        assert len(Run(tmp_path, calibration).memory.waiting()) == left


def test_a_channel_that_a_reload_took_away_waits_without_its_numbers(tmp_path: Path, calibration: Calibration) -> None:
    run = Run(tmp_path, calibration, most=1)
    channel = run.add()
    channel.last_sample_s, channel.event, channel.samples_received = -5.0, "{}", 7
    run.memory.put_back([channel], NAMES, 1)
    run.channels.clear()
    run.save(final=True)
    back = Run(tmp_path, calibration).add()
    assert (back.last_sample_s, back.event, back.samples_received) == (-5.0, "{}", 0)
