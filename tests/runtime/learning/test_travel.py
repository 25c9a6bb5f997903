"""What a channel has learned, from one worker's learner to another's: as if the same one had gone on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import pytest

from monitor.config.sensors import Sensor
from monitor.core.learning.bursts import Burst
from monitor.core.learning.gather import LEFT_OUT
from monitor.core.scoring.interval.head import Head
from monitor.errors import ArtefactError
from monitor.runtime.baselines.history import slug_of
from monitor.runtime.intake.channel import Channel
from monitor.runtime.learning.kept_file import KeptFile
from monitor.runtime.learning.messages import NOT_COME, Calibrate, Calibrated, Close, Feed, FitHead, HeadFitted, Opened
from monitor.runtime.learning.one_channel import ChannelLearning
from monitor.runtime.learning.progress import HowFar
from monitor.runtime.learning.travel import Travel
from tests.runtime.learning.test_learner import Here, blocks, gathered, opening

LABELS = {"machine": "fan", "axis": "x"}
SLUG = slug_of(LABELS)


class One:
    """A channel's learning, as far as it travels."""

    how_far: HowFar | None = None


class Worker:
    """One worker: its learner, and what travels of its only channel."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.one, self.here = folder, One(), Here(folder)
        self.travel = Travel(folder, lambda _: cast("ChannelLearning", self.one))
        sensor = {"topic": "{machine}/{axis}", "payload": {"format": "float32"}, "sampling_rate_hz": 2000, "unit": "g"}
        self.channel = Channel(("fan", "x"), "fan/x", Sensor.model_validate(sensor), "default", 0)
        self.head: Head | None = None

    def opens(self, *, extend: bool = False) -> Opened:
        """Take the channel up."""
        job = replace(opening(), name=SLUG, extend=extend, brought=self.travel.brought(SLUG))
        answer = self.here.ask(job, Opened)
        self.one.how_far = HowFar("key", answer.seen, answer.left_out, None, answer.known, answer.digest)
        self.head = answer.head
        return answer

    def fits(self) -> None:
        """Have a head fitted."""
        answer = self.here.ask(FitHead(1, blocks(), foreseen=True), HeadFitted)
        self.head, self.one.how_far = answer.head, HowFar("key", 0, head=answer.digest)

    def gathers(self, first: int, count: int) -> None:
        """Gather so many intervals."""
        self.here.learner.do(Feed(gathered(first, count), 0.0))
        assert self.one.how_far is not None
        self.one.how_far = msgspec.structs.replace(self.one.how_far, seen=first + count, left_out=(3,) * len(LEFT_OUT))

    def sends(self, other: "Worker", labels: Mapping[str, str] = LABELS) -> None:
        """What is kept, and later how far the channel is, go to another worker."""
        other.travel.keep(self.travel.packed(self.channel, labels))
        self.tells(other)

    def tells(self, other: "Worker") -> None:
        """How far the channel is goes to another worker."""
        other.travel.bring(LABELS, self.travel.progress(self.channel))

    @property
    def file(self) -> KeptFile:
        return KeptFile.open(self.folder / f"{SLUG}.learning")


@pytest.fixture
def workers(tmp_path: Path) -> tuple[Worker, Worker]:
    first, second = Worker(tmp_path / "one"), Worker(tmp_path / "two")
    for each in (first, second):
        each.folder.mkdir()
    first.opens()
    first.fits()
    return first, second


def test_another_worker_goes_on_with_the_same_intervals_and_makes_the_same_calibration(
    workers: tuple[Worker, Worker],
) -> None:
    first, second = workers
    first.gathers(0, 200)
    first.sends(second)
    answer = second.opens()
    assert (answer.seen, answer.left_out, answer.problem) == (200, (3,) * len(LEFT_OUT), "")
    assert first.head is not None
    assert second.head is not None
    np.testing.assert_array_equal(second.head.past, first.head.past)
    for each in (first, second):
        each.gathers(200, 200)
    made = [each.here.ask(Calibrate(1, 10, 5, 2000.0), Calibrated) for each in (first, second)]
    assert made[0].calibration.intervals == made[1].calibration.intervals == 400
    np.testing.assert_array_equal(made[0].calibration.centre, made[1].calibration.centre)
    assert list((second.folder / "arrived").iterdir()) == []


def test_what_came_after_the_file_was_sent_counts_as_time_and_is_missing_as_evidence(
    workers: tuple[Worker, Worker],
) -> None:
    first, second = workers
    first.gathers(0, 100)
    first.sends(second)
    first.gathers(100, 30)
    first.tells(second)
    assert second.opens().seen == 130
    second.gathers(130, 70)
    assert second.here.ask(Calibrate(1, 10, 5, 2000.0), Calibrated).calibration.intervals == 170


def test_a_channel_that_comes_back_goes_on_with_what_the_other_one_gathered(workers: tuple[Worker, Worker]) -> None:
    first, second = workers
    first.gathers(0, 100)
    first.sends(second)
    first.here.learner.do(Close(1, forget=False))
    second.opens()
    second.gathers(100, 60)
    second.sends(first)
    assert first.opens().seen == 160
    assert first.file.count == 160
    # What comes late of the other one, or again at a start, is older than what is here.
    first.gathers(160, 10)
    second.sends(first)
    assert first.opens().seen == 170


def test_learning_that_began_anew_elsewhere_does_not_go_on_with_what_was_before(
    workers: tuple[Worker, Worker],
) -> None:
    first, second = workers
    first.gathers(0, 100)
    first.sends(second)
    first.one.how_far = HowFar("key", 0)  # it settles again, and has no head
    first.tells(second)
    assert second.opens() == Opened(1, None, 0.0, 0, (), "")
    first.fits()
    first.one.how_far = HowFar("key", 0, head="of another head, whose file did not come")
    first.sends(second)
    first.tells(second)
    assert second.opens().problem == NOT_COME


def test_an_extension_goes_on_elsewhere(workers: tuple[Worker, Worker]) -> None:
    first, second = workers
    for start in range(0, 6400, 100):
        first.gathers(start, 100)
    kept = first.file.count
    first.sends(second)
    opened = first.opens(extend=True)
    assert (opened.known, opened.seen) == (kept, kept)
    first.gathers(kept, 20)
    first.tells(second)
    # Its file has not come since the intervals have other numbers: the extension begins again.
    answer = second.opens(extend=True)
    assert (answer.known, answer.seen) == (kept, kept)
    second.here.learner.do(Close(1, forget=False))
    first.sends(second)
    answer = second.opens(extend=True)
    assert (answer.known, answer.seen) == (kept, kept + 20)


def test_bursts_are_known_before_the_channel_is_configured(workers: tuple[Worker, Worker]) -> None:
    first, second = workers
    first.one.how_far = HowFar("key", 3, burst=Burst(25, 300.0))
    first.tells(second)
    assert second.travel.bursts == {SLUG: Burst(25, 300.0)}
    second.travel.bring(LABELS, b"{}")
    second.travel.bring(LABELS, b"\xff")
    found = second.travel.brought(SLUG)
    assert found is not None
    assert found.seen == 3
    assert second.travel.brought(SLUG) is None


@pytest.mark.parametrize("damage", ["empty", "labels", "line", "version", "large"])
def test_what_is_no_file_of_a_channel_is_refused(workers: tuple[Worker, Worker], damage: str) -> None:
    first, second = workers
    line, _, file = first.travel.packed(first.channel, LABELS).partition(b"\n")
    documents = {
        "empty": b"",
        "labels": b'{"how_far": null}\n' + file,
        "line": b'{"labels": {"' + b"x" * 70_000 + b'": ""}}\n' + file,
        "version": line + b"\nvibration-monitor learning 0 " + file,
        "large": line + b"\n" + file + bytes(1 << 20),
    }
    with pytest.raises(ArtefactError):
        second.travel.keep(documents[damage])
    assert not (second.folder / "arrived").exists()


def test_a_damaged_or_torn_file_costs_what_is_damaged(workers: tuple[Worker, Worker]) -> None:
    first, second = workers
    first.gathers(0, 50)
    document = first.travel.packed(first.channel, LABELS)
    second.travel.keep(document[:-7])
    first.tells(second)
    assert second.opens().seen == 50
    assert second.file.count == 49
    second.here.learner.do(Close(1, forget=True))
    at = document.index(b"\n") + 200
    second.travel.keep(document[:at] + bytes([document[at] ^ 1]) + document[at + 1 :])
    assert second.opens().head is None


def test_the_mark_changes_with_the_file(workers: tuple[Worker, Worker]) -> None:
    first, second = workers
    before = first.travel.mark(LABELS)
    assert before == first.travel.mark(LABELS) != ""
    first.gathers(0, 3)
    assert first.travel.mark(LABELS) != before
    assert second.travel.mark(LABELS) == ""
    with pytest.raises(ArtefactError):
        second.travel.packed(second.channel, LABELS)
    assert Travel(None, lambda _: None).progress(first.channel) == b""
    Travel(None, lambda _: None).keep(b"whatever it is")
