"""The learner as a process: what it keeps, what a kill costs, what it says of files that it cannot use."""

import random
import signal as signals
import time
from dataclasses import replace
from pathlib import Path
from queue import Queue
from typing import TypeVar

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.core.learning.bursts import Burst
from monitor.core.learning.gather import LEFT_OUT, Gathered
from monitor.core.learning.head_fit import Fitted, Stretch
from monitor.core.learning.thinning import PIECE_INTERVALS, every
from monitor.core.scoring.calibration.conditions import MOST_QUANTITIES
from monitor.core.scoring.interval.head import SUMMARY_NUMBERS, Head
from monitor.runtime.learning.kept_file import KeptFile
from monitor.runtime.learning.learner import Learner
from monitor.runtime.learning.messages import (
    CHANGED,
    Answer,
    Calibrate,
    Calibrated,
    Close,
    Feed,
    FitHead,
    HeadFitted,
    Open,
    Opened,
    Unable,
    Unsaved,
)
from monitor.runtime.learning.process import LearnerProcess
from monitor.runtime.learning.progress import PROGRESS, bursts_of, read_progress
from tests.support.channels.healthy import signal

BLOCK = 20
RAW = 10 + 5 + 3
FOUND = TypeVar("FOUND")


def opening(number: int = 1, key: str = "key", fitted: Fitted | None = None) -> Open:
    return Open(number, "fan_x-12345678", key, (), BLOCK, fitted)


def blocks() -> list[Stretch]:
    found = signal(600, 1)
    return [Stretch(found[0], found[1:], np.zeros_like(found[1:]))]


def gathered(first: int, count: int, number: int = 1, shift: float = 0.0) -> Gathered:
    rng = np.random.default_rng(first)
    raw: Float32 = rng.normal(0.0, 0.05, (count, RAW)).astype(np.float32)
    raw[:, :10] = np.exp(raw[:, :10])
    raw += np.float32(shift)
    return Gathered(
        np.full(count, number),
        np.arange(first, first + count),
        np.arange(first, first + count, dtype=np.float64),
        raw,
        np.full((count, MOST_QUANTITIES), np.nan, np.float32),
        np.array([number]),
        np.array([first + count]),
        np.array([True]),
        np.full((1, len(LEFT_OUT)), 3),
        np.array([False]),
        np.array([0]),
        np.array([0.0]),
    )


class Here:
    """A learner in this process, and its answers."""

    def __init__(self, folder: Path) -> None:
        self.answers: list[Answer] = []
        self.now_s = 0.0
        self.learner = Learner(folder, self.answers.append, lambda: self.now_s)

    def ask(self, job: Open | Close | Feed | FitHead | Calibrate, kind: type[FOUND]) -> FOUND:
        self.learner.do(job)
        found = self.answers.pop()
        assert isinstance(found, kind)
        return found


def test_a_head_then_intervals_then_a_calibration(tmp_path: Path) -> None:
    here = Here(tmp_path)
    assert here.ask(opening(), Opened) == Opened(1, None, 0.0, 0, (), "")
    fitted = here.ask(FitHead(1, blocks(), foreseen=True), HeadFitted)
    assert fitted.level_mps2 == pytest.approx(1.0, rel=0.1)
    here.learner.do(Feed(gathered(0, 3), 0.0))
    assert "there are 3 healthy intervals" in here.ask(Calibrate(1, 10, 5, 2000.0), Unable).reason
    here.learner.do(Feed(gathered(3, 397), 1e9))
    made = here.ask(Calibrate(1, 10, 5, 2000.0), Calibrated)
    assert (made.calibration.intervals, made.moving, made.aside) == (400, False, ())
    assert (made.from_s, made.to_s) == (0.0, 1e9 + 399)
    np.testing.assert_array_equal(made.calibration.head.past, fitted.head.past)


def test_what_is_seen_once_is_told_and_what_keeps_moving_too(tmp_path: Path) -> None:
    here = Here(tmp_path)
    here.ask(opening(), Opened)
    here.ask(FitHead(1, blocks(), foreseen=True), HeadFitted)
    for first in range(0, 400, 100):
        here.learner.do(Feed(gathered(first, 100), 0.0))
    here.learner.do(Feed(gathered(400, 24, shift=3.0), 0.0))
    here.learner.do(Feed(gathered(424, 200), 0.0))
    made = here.ask(Calibrate(1, 10, 5, 2000.0), Calibrated)
    [(first_s, last_s, intervals)] = made.aside
    assert first_s <= 400
    assert last_s >= 423
    assert 24 <= intervals <= 40
    assert not made.moving
    for step in range(8):
        here.learner.do(Feed(gathered(624 + 50 * step, 50, shift=0.2 * (step + 1)), 0.0))
    assert here.ask(Calibrate(1, 10, 5, 2000.0), Calibrated).moving


def test_an_earlier_run_goes_on_and_another_channel_does_not(tmp_path: Path) -> None:
    first = Here(tmp_path)
    first.ask(opening(), Opened)
    first.ask(FitHead(1, blocks(), foreseen=True), HeadFitted)
    first.learner.do(Feed(gathered(0, 100), 0.0))
    first.now_s = 100.0
    first.learner.save()
    first.learner.do(Feed(gathered(100, 10), 0.0))
    again = Here(tmp_path).ask(opening(7), Opened)
    assert again.head is not None
    assert (again.number, again.seen, again.left_out, again.problem) == (7, 110, (3,) * len(LEFT_OUT), "")
    # The sensor has another rate or unit now: nothing of it holds.
    other = Here(tmp_path).ask(opening(8, "another key"), Opened)
    assert (other.head, other.seen, other.problem) == (None, 0, CHANGED)
    assert Here(tmp_path).ask(opening(9), Opened).head is None


def test_an_extension_is_kept_as_densely_as_what_it_extends(tmp_path: Path) -> None:
    first = Here(tmp_path)
    first.ask(opening(), Opened)
    first.ask(FitHead(1, blocks(), foreseen=True), HeadFitted)
    for start in range(0, 6400, 100):
        first.learner.do(Feed(gathered(start, 100), 0.0))
    before = KeptFile.open(tmp_path / "fan_x-12345678.learning").read()
    assert int(every(6400)) == 8
    first.learner.save(now=True)
    # The machine has met something new, a person extends the baseline, and the daemon is killed on the way.
    for kill in range(3):
        here = Here(tmp_path)
        opened = here.ask(replace(opening(), extend=True), Opened)
        assert (opened.known, opened.seen) == (len(before.place), len(before.place) + 20 * kill)
        here.learner.do(Feed(gathered(opened.seen, 20, shift=3.0), 0.0))
    after = KeptFile.open(tmp_path / "fan_x-12345678.learning").read()
    assert after.place.tolist() == list(range(len(before.place) + 60))
    np.testing.assert_array_equal(after.raw[:-60], before.raw)
    made = here.ask(Calibrate(1, 10, 5, 2000.0), Calibrated)
    assert (made.calibration.intervals, made.aside, made.moving) == (len(after.place), (), False)
    assert len(made.calibration.prototypes) == 2
    # Nobody has named it: what was seen once is set aside.
    unnamed = Here(tmp_path)
    assert unnamed.ask(opening(), Opened).known == 0
    assert unnamed.ask(Calibrate(1, 10, 5, 2000.0), Calibrated).aside


def test_bursts_are_told_by_the_progress_of_an_earlier_run(tmp_path: Path) -> None:
    here = Here(tmp_path)
    here.ask(replace(opening(), burst=Burst(25, 300.0)), Opened)
    here.learner.save(now=True)
    assert bursts_of(tmp_path) == {"fan_x-12345678": Burst(25, 300.0)}
    (tmp_path / "progress.json").write_text('{"a": {"key": "", "seen": 1, "left_out": [], "burst": [1]}}')
    assert bursts_of(tmp_path) == bursts_of(None) == {}


def test_a_file_of_another_version_is_kept_aside(tmp_path: Path) -> None:
    (tmp_path / "fan_x-12345678.learning").write_bytes(b"vibration-monitor learning 0 1 2\n")
    (tmp_path / "progress.json").write_text('{"fan_x-12345678": [1]}')
    answer = Here(tmp_path).ask(opening(), Opened)
    assert (answer.head, answer.problem) == (None, "it is not a learning file of this version")
    assert (tmp_path / "fan_x-12345678.bad").exists()


def test_a_full_disk_costs_what_came_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Here(tmp_path)
    here.ask(opening(), Opened)
    here.ask(FitHead(1, blocks(), foreseen=True), HeadFitted)
    here.learner.do(Feed(gathered(0, 50), 0.0))
    with monkeypatch.context() as full:
        full.setattr(KeptFile, "append", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        lost = here.ask(Feed(gathered(50, 20), 0.0), Unsaved)
    assert (lost.intervals, "No space left on device" in lost.reason) == (20, True)
    here.learner.do(Feed(gathered(70, 30), 0.0))
    assert here.ask(Calibrate(1, 10, 5, 2000.0), Calibrated).calibration.intervals == 80


def test_forgetting_deletes_the_file(tmp_path: Path) -> None:
    here = Here(tmp_path)
    here.ask(opening(), Opened)
    here.ask(FitHead(1, blocks(), foreseen=True), HeadFitted)
    here.learner.do(Close(1, forget=True))
    assert not list(tmp_path.glob("*.learning"))
    assert here.ask(opening(2), Opened).head is None


def test_kills_at_twenty_random_moments_tear_nothing(tmp_path: Path) -> None:
    """The process is killed while it appends and thins; what it had is a beginning of what it was given."""
    moments = random.Random(17)
    here = Here(tmp_path)
    here.ask(opening(), Opened)
    here.ask(FitHead(1, blocks(), foreseen=True), HeadFitted)
    place, before = 0, 0
    for _ in range(20):
        answers: Queue[Answer | None] = Queue()
        process = LearnerProcess(tmp_path, answers.put)
        try:
            process.send(opening())
            opened = answers.get(timeout=60)
            assert isinstance(opened, Opened)
            assert opened.problem == ""
            # Thinning may have removed the last piece, so the place goes back by one.
            assert before - PIECE_INTERVALS * every(before) <= opened.seen <= place
            before = place = opened.seen
            end_s = time.monotonic() + moments.uniform(0.0, 0.15)
            while time.monotonic() < end_s:
                process.send(Feed(gathered(place, 40), 0.0))
                place += 40
                time.sleep(0.002)
            process.process.kill()
        finally:
            process.stop()
    end = KeptFile.open(tmp_path / "fan_x-12345678.learning")
    assert end.following > 500
    assert np.isfinite(end.read().raw).all()


def test_progress_that_could_not_be_written_is_written_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Here(tmp_path)
    here.ask(opening(), Opened)
    here.ask(FitHead(1, blocks(), foreseen=True), HeadFitted)
    here.learner.do(Feed(gathered(0, 50), 0.0))
    with monkeypatch.context() as full:
        full.setattr(
            "monitor.runtime.learning.learner.write_progress",
            lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")),
        )
        here.learner.save(now=True)
    assert not read_progress(tmp_path / PROGRESS)
    here.learner.save(now=True)  # nothing has come since
    assert [one.seen for one in read_progress(tmp_path / PROGRESS).values()] == [50]


def test_what_was_gathered_is_not_lost_because_many_channels_are_taken_up(tmp_path: Path) -> None:
    """As when a person has a hundred channels learn anew, each of which brings the head of its baseline."""
    heard: list[Answer | None] = []
    learner = LearnerProcess(tmp_path, heard.append)
    learner.process.send_signal(signals.SIGSTOP)
    try:
        head = np.zeros((2 * BLOCK, SUMMARY_NUMBERS), np.float32)
        ahead = np.zeros((SUMMARY_NUMBERS, BLOCK), np.float32)
        fitted = Fitted(Head(np.zeros(BLOCK), np.ones(BLOCK), np.ones(BLOCK), head, ahead, ahead), 0.5, 0.4)
        for number in range(100):
            learner.send(Open(number, f"fan_{number}-12345678", "key", (), BLOCK, fitted))
        assert learner.send(Feed(gathered(0, 50, 99), 0.0))
        assert sum(learner.send(Feed(gathered(50, 1, 99), 0.0)) for _ in range(200)) < 200, "it is bounded"
    finally:
        learner.process.send_signal(signals.SIGCONT)
        learner.stop(60.0)
    assert {one.number for one in heard if isinstance(one, Opened)} == set(range(100))
    assert KeptFile.open(tmp_path / "fan_99-12345678.learning").count >= 50
