"""Which record begins with which sample: of streams with missing, late and rejected records, and of several axes."""

import pytest

from monitor.runtime.intake.kafka.places import Place
from monitor.runtime.intake.kafka.positions import MOST_MARKS, SPACING_SAMPLES, Position, Positions
from monitor.runtime.intake.source import Reached

PLACE = ("v", 3)


class Stream:
    """One topic of a sensor, whose records have every second offset."""

    def __init__(self, *axes: str, samples: int = 1000) -> None:
        self.positions = Positions()
        self.samples = samples
        self.offset = 0
        self.next = dict.fromkeys(axes or ("x",), 0)

    def record(self, *, used: bool = True, missing: int = 0, waits: bool = False, place: Place = PLACE) -> None:
        if used:
            self.next = {axis: reached + missing + self.samples for axis, reached in self.next.items()}
        self.positions.note("fan", place, self.offset, Reached(self.samples, dict(self.next), waits))
        self.offset += 2

    def at(self, sample: int, warmup: int = 0, axis: str = "x") -> tuple[int, int] | None:
        """Offset and first sample of where to begin for a channel that goes on at ``sample``."""
        found = self.positions.of("fan", axis, sample, warmup, 7.0)
        return None if found is None else (found.offset, found.sample)


def test_a_channel_begins_with_the_record_of_its_warm_up() -> None:
    stream = Stream()
    for _ in range(20):
        stream.record()
    assert SPACING_SAMPLES == 2500
    assert stream.at(20_000) == (36, 18_000)
    assert stream.at(20_000, 2_500) == (30, 15_000)
    assert stream.at(17_999, 12_500) == (6, 3_000)
    assert stream.at(20_000, 30_000) == (0, 0)  # as far back as it is known
    assert stream.positions.of("fan", "x", 20_000, 0, 7.0) == Position("v", 3, 36, 18_000, 38, 20_000, "fan", 7.0)
    stream.positions.forget_before("fan", 30)
    assert stream.at(20_000, 30_000) == (30, 15_000)
    assert stream.at(14_999) is None
    stream.positions.forget(["fan"])
    assert stream.at(20_000) is None


def test_a_record_that_was_not_used_has_no_mark() -> None:
    stream = Stream(samples=3000)
    stream.record()
    stream.record(used=False)
    stream.record()
    assert stream.at(5999, 0) == (4, 3000)
    assert stream.at(2999, 0) == (0, 0)


@pytest.mark.parametrize("why", ["missing", "waits"])
def test_a_record_after_missing_samples_or_out_of_order_has_no_mark(why: str) -> None:
    stream = Stream(samples=3000)
    stream.record()
    if why == "missing":
        stream.record(missing=500)
    else:
        stream.record(used=False, waits=True)
        assert stream.at(2999) is None  # how far it is read is not known now
        stream.next["x"] += stream.samples  # the one that waited is used with the next one
        stream.record()
    reached = stream.next["x"]
    assert stream.at(reached) == (0, 0)
    stream.record()
    assert stream.at(reached) == (stream.offset - 2, reached)


def test_axes_of_one_record_have_one_mark() -> None:
    stream = Stream("x", "y", samples=3000)
    stream.next["y"] = 40  # it came first, so much later
    stream.record()
    stream.record()
    assert stream.at(6000, 0, "x") == (2, 3000)
    assert stream.at(6000, 0, "y") == (2, 3040)
    assert stream.at(6000, 0, "z") is None


def test_a_topic_whose_records_come_from_another_partition_begins_anew() -> None:
    stream = Stream(samples=3000)
    stream.record()
    stream.record(place=("v", 4))
    assert stream.at(6000) == (2, 3000)
    assert stream.at(2999) is None


def test_marks_are_bounded() -> None:
    stream = Stream(samples=SPACING_SAMPLES)
    for _ in range(MOST_MARKS + 10):
        stream.record()
    assert stream.at(0) is None
    assert stream.at(10**9, 10**9) == (20, 10 * SPACING_SAMPLES)
    stream.positions.note("other", PLACE, 0, None)
    assert stream.positions.of("other", "x", 0, 0, 7.0) is None
