"""Workers in processes of their own: the same figures as in one, orders in time, and an end in every case."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from monitor.bench.alone import bench_calibration
from monitor.core.scoring.alarm import Changes, State
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.plausibility import Skip
from monitor.errors import ArtefactError
from monitor.model.artefact.artefact import Artefact, load_artefact
from monitor.model.engines.engines import load_engine
from monitor.runtime.lanes.lane import Lane, LaneShape
from monitor.runtime.lanes.orders import Answer, Batches, Clear, Configure, Keep, Restore
from monitor.runtime.lanes.shared import SharedMemory
from monitor.runtime.lanes.worker import Worker
from monitor.runtime.lanes.workers import Inference, WorkerError
from monitor.shipped import shipped
from tests.support.servers import wait_for

CHANNELS, BLOCKS = 6, 200
LIMIT = 8.0


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    return load_artefact(shipped("models/demo"))


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return bench_calibration(100)


def shape(parts: int) -> LaneShape:
    return LaneShape("default", CHANNELS, 100, 25, 2 * BLOCKS, parts=parts)


@contextmanager
def running(artefact: Artefact, parts: int = 2, **callbacks: Callable[..., None]) -> Iterator[Inference]:
    inference = Inference(shape(parts), artefact, "onnxruntime", Batches(), **callbacks)
    try:
        yield inference
    finally:
        inference.stop()


def append_noise(lane: Lane, row: int, blocks: int = BLOCKS, seed: int = 0) -> None:
    samples = np.random.default_rng([seed, row]).normal(size=blocks * 100).astype(np.float32)
    assert lane.rings.append(row, samples * (1 + row), 1.0, time.monotonic()) == 0


def processed(lane: Lane) -> int:
    return int(lane.board.blocks_scored.sum() + sum(counts.sum() for counts in lane.board.skipped.values()))


def test_several_processes_say_what_one_pipeline_says(artefact: Artefact, calibration: Calibration) -> None:
    changed: list[Changes] = []
    with running(artefact, 2, on_changes=lambda _, changes: changed.append(changes)) as inference:
        assert inference.wait_until_ready().engine == "onnxruntime"
        for row in range(CHANNELS):
            inference.configure(Configure(row, 10, 25, limit=LIMIT), calibration)
            append_noise(inference.lane, row)
        wait_for(lambda: processed(inference.lane) == CHANNELS * BLOCKS, "all blocks")
        answers = [inference.collect(0, [1]), inference.collect(1, [4])]
        known = [{name: a[0] for name, a in answer.result(5).items()} for answer in answers]
    lane, told = Lane(shape(1)), list[Answer]()
    worker = Worker(lane, load_engine(artefact, "onnxruntime"), tell=told.append)
    worker.obey(Keep(0, calibration))
    for row in range(CHANNELS):
        worker.obey(Configure(row, 10, 25, 0, LIMIT))
        append_noise(lane, row)
    while worker.round():
        pass
    assert lane.board.calibrated.all()
    assert np.isfinite(lane.board.score).all()
    for name in ("blocks_scored", "score", "gap_ratio", "rms", "evidence", "alarm_state"):
        expected, found = getattr(lane.board, name), getattr(inference.lane.board, name)
        assert np.allclose(found, expected, rtol=1e-4), name
    assert known[1]["scorer.count"] == worker.pipeline.judge.scorer.export(np.array([4]))["count"]
    # Noise is no machine of this model's: every row has alarmed, and is named by its place in the whole lane.
    assert sorted({row for changes in changed for row in changes.rows.tolist()}) == list(range(CHANNELS))
    assert lane.board.alarm_state.tolist() == [State.ALARM] * CHANNELS
    assert inference.lane.latencies.counts.sum() == lane.latencies.counts.sum() == CHANNELS * (BLOCKS - 25)


@pytest.mark.parametrize("message_blocks", [12, 80, 120, 200])
def test_coverage_is_whole_whatever_the_length_of_a_message(artefact: Artefact, message_blocks: int) -> None:
    lane = Lane(shape(1))
    worker = Worker(lane, load_engine(artefact, "onnxruntime"))
    worker.obey(Configure(0, 120, 25))
    seen: list[float] = []
    for seed in range(2000 // message_blocks):
        append_noise(lane, 0, message_blocks, seed)
        while worker.round():
            seen.append(float(lane.board.coverage[0]))
    warm = 25 + 2 * 120  # the first interval counts the warm-up
    assert set(seen[warm:]) == {1.0}


def test_an_order_comes_before_the_blocks_after_it_and_after_those_before(artefact: Artefact) -> None:
    with running(artefact) as inference:
        inference.wait_until_ready()
        lane = inference.lane
        for number in range(20):
            row = number % CHANNELS
            append_noise(lane, row, seed=number)  # of a channel before
            inference.clear(row, int(lane.rings.blocks_received()[row]))
            inference.configure(Configure(row, 10, 5), None)
            lane.rings.start_context(row, 0)
            append_noise(lane, row, 30, seed=number)
            wait_for(lambda: not lane.rings.backlog().any(), "the blocks")
            wait_for(partial(lambda row: lane.board.blocks_scored[row] >= 25, row), "the board")
            assert lane.board.blocks_scored[row] == 25


def test_alarms_go_on_in_the_row_that_they_are_given_to(artefact: Artefact, calibration: Calibration) -> None:
    with running(artefact) as inference:
        inference.wait_until_ready()
        for row in (1, 5):
            inference.configure(Configure(row, 10, 25, limit=LIMIT), calibration)
        known, before = inference.collect(1, [5]).result(5), inference.collect(0, [1]).result(5)
        arrays = {name: a[0] for name, a in known.items()} | {"alarm": np.array([State.ALARM, 1, 2, 3])}
        inference.restore(Restore(5, arrays, counters=True))
        after, other = inference.collect(1, [5]).result(5), inference.collect(0, [1]).result(5)
        assert after["alarm"].tolist() == [[State.ALARM, 2, 3]]
        assert other["alarm"].tolist() == before["alarm"].tolist()
        assert inference.lane.board.alarm_state[5] == State.ALARM


def test_a_calibration_holds_no_lane_and_goes_when_nobody_has_it(artefact: Artefact) -> None:
    calibration = bench_calibration(100)
    with running(artefact) as inference:
        inference.configure(Configure(0, 10, 25, limit=LIMIT), calibration)
        inference.configure(Configure(1, 10, 25, limit=LIMIT), calibration)
        ordered = inference.lane.ordered.copy()
        wait_for(inference._workers[0]._outbox.empty, "the orders")
        for answer in [inference.collect(part, []) for part in (0, 1)]:
            answer.result(5)
        gone = weakref.ref(calibration)
        del calibration
        wait_for(lambda: gc.collect() >= 0 and gone() is None, "the calibration's end")
        # To each worker: do not remember it; the one was asked a question as well.
        assert (inference.lane.ordered - ordered).tolist() == [2, 2]

    def lane_of_a_run() -> "weakref.ref[Lane]":
        with running(artefact) as inference:
            inference.configure(Configure(0, 10, 25, limit=LIMIT), kept)
            return weakref.ref(inference.lane)

    kept = bench_calibration(100)
    lane = lane_of_a_run()
    wait_for(lambda: gc.collect() >= 0 and lane() is None, "the lane's end")


def test_a_killed_worker_is_told(artefact: Artefact) -> None:
    failures: list[WorkerError] = []
    with running(artefact, on_failure=failures.append) as inference:
        inference.wait_until_ready()
        os.kill(inference.pids[1], signal.SIGKILL)
        wait_for(lambda: failures, "the failure")
        assert str(failures[0]) == "the inference process ended: status -9"


def test_an_error_in_a_worker_is_told_with_its_place(artefact: Artefact) -> None:
    failures: list[WorkerError] = []
    with running(artefact, on_failure=failures.append) as inference:
        inference.wait_until_ready()
        inference._order_all(Clear(99, 0))
        wait_for(lambda: failures, "the failure")
        assert "IndexError" in str(failures[0])
        assert "rings.py" in str(failures[0])


def test_an_answer_that_cannot_be_handled_is_told(
    artefact: Artefact, calibration: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[WorkerError] = []
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with running(artefact, 1, on_failure=failures.append, on_changes=broken) as inference:
        inference.wait_until_ready()
        inference.configure(Configure(0, 10, 25, limit=LIMIT), calibration)
        known = {name: values[0] for name, values in inference.collect(0, [0]).result(5).items()}
        inference.restore(Restore(0, {**known, "alarm": np.array([State.ALARM, 2, 3])}, counters=False))
        inference.configure(Configure(0, 10, 25, limit=LIMIT), None)  # ends the alarm
        wait_for(lambda: failures, "the failure")
        assert "could not be handled" in str(failures[0])


def test_an_unusable_model_is_refused(artefact: Artefact) -> None:
    broken = replace(artefact, contents={**artefact.contents, "model.onnx": b"nothing"})
    with running(broken) as inference, pytest.raises(ArtefactError, match="it is not an ONNX file"):
        inference.wait_until_ready()


def test_a_hung_worker_does_not_hold_up_the_end(artefact: Artefact) -> None:
    with running(artefact) as inference:
        inference.wait_until_ready()
        os.kill(inference.pids[0], signal.SIGSTOP)
        assert not inference.stop(0.5)
        assert not any(Path(f"/proc/{pid}").exists() for pid in inference.pids)


def test_workers_end_with_the_daemon_however_it_ends(artefact: Artefact) -> None:
    script = """
import os, sys
from pathlib import Path
from monitor.model.artefact.artefact import load_artefact
from monitor.runtime.lanes.workers import Inference
from monitor.core.scoring.plausibility import Skip
from monitor.runtime.lanes.lane import LaneShape
from monitor.runtime.lanes.orders import Batches
shape = LaneShape("default", 4, 100, 25, 50, parts=2)
inference = Inference(shape, load_artefact(Path(sys.argv[1])), "onnxruntime", Batches())
inference.wait_until_ready()
print(*inference.pids, flush=True)
os.kill(os.getpid(), 9)
"""
    command = [sys.executable, "-c", script, str(artefact.path)]
    from_it = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    assert from_it.returncode == -signal.SIGKILL
    pids = from_it.stdout.split()
    assert len(pids) == 2
    # A process that ended and that nobody has waited for yet has no command line any more.
    files = [Path(f"/proc/{pid}/cmdline") for pid in pids]
    wait_for(lambda: not any(file.exists() and file.read_bytes() for file in files), "the workers' end")


def test_who_joins_a_lane_leaves_what_stands_there() -> None:
    memory = SharedMemory.create()
    made = Lane(shape(2), memory)
    made.board.part(0, 0, 3).alarm_state[1] = State.ALARM
    made.board.score[1] = 2.0
    joined = Lane(shape(2), SharedMemory(memory.descriptor, owner=False), joining=True)
    memory.close()
    assert (joined.board.alarm_state[1], joined.board.score[1]) == (State.ALARM, 2.0)
    assert joined.board.alarm_state[0] == -1
    joined.rings.append(4, np.ones(100), 2.0, 0.0)
    due = made.rings.part(1).take()
    assert due is not None
    assert (due.rows.tolist(), due.samples[0, 0]) == ([1], 2.0)
    joined.conditions.write(joined.conditions.rename(["load"])["load"], np.array([4]), 0.5, 10.0)
    values = made.part(1).conditions
    assert (list(values.names), values.of(due.rows, due.arrived_s).tolist()) == (["load"], [[0.5]])


def test_a_reader_never_sees_half_a_batch() -> None:
    board = Lane(shape(2)).board
    part = board.part(1, 3, 6)
    looks = iter(range(10))

    def look() -> list[float]:
        if next(looks) == 0:
            with part.writing():
                part.rms[:2] = 2.0
            return [1.0, 2.0]
        copied: list[float] = board.rms[3:5].tolist()
        return copied

    assert board.consistent(1, look) == [2.0, 2.0]


def test_a_worker_that_died_while_it_wrote_stops_no_reader() -> None:
    board = Lane(shape(2)).board
    part = board.part(1, 3, 6)
    with part.writing():
        part.rms[0] = 1.0
        assert board.read(["rms"])["rms"][3] == 1.0


def test_a_reader_waits_for_the_parts_only_that_it_reads() -> None:
    board = Lane(shape(2)).board
    looks = []
    with board.part(1, 3, 6).writing():
        assert board.consistent(0, lambda: looks.append(1)) is None
        board.rms[:3] = (1.0, 2.0, 3.0)
        assert board.read(["rms", "evidence", Skip.OVERLOAD], np.array([0, 2]))["rms"].tolist() == [1.0, 3.0]
        assert board.row(["rms", "band"], 1)[0] == 2.0
    assert len(looks) == 1


def test_columns_are_read_whole_or_by_rows() -> None:
    board = Lane(shape(2)).board
    board.rms[:] = np.arange(6)
    board.skipped[Skip.OVERLOAD][:] = np.arange(6) * 10
    assert board.read(["rms"])["rms"].tolist() == [0, 1, 2, 3, 4, 5]
    some = board.read(["rms", Skip.OVERLOAD, "band"], np.array([1, 2, 5]))
    assert (some["rms"].tolist(), some[Skip.OVERLOAD].tolist()) == ([1, 2, 5], [10, 20, 50])
    assert some["band"].shape == (3, 2)
    assert board.read(["rms"], np.zeros(0, np.intp))["rms"].shape == (0,)
