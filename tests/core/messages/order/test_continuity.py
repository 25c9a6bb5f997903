"""The order of a stream: which messages are used at once, held for a moment, or dropped."""

import random
from dataclasses import dataclass, field

import pytest

from monitor.core.messages.order.continuity import (
    AGREEING,
    EARLY_MESSAGES,
    STANDING,
    VAIN_WAITS,
    Arrival,
    Continuity,
    Piece,
)

CONTIGUOUS, MISSING, RESTARTED = Arrival.CONTIGUOUS, Arrival.MISSING, Arrival.RESTARTED
CLOCK_STEP, REPEATED, LATE, FAR_AHEAD = Arrival.CLOCK_STEP, Arrival.REPEATED, Arrival.LATE, Arrival.FAR_AHEAD


@dataclass
class Stream:
    """A stream of messages of 100 samples at 1 kHz; records which messages were used, in order, and which were not."""

    live: bool = True
    """Whether a message arrives every 0.1 s; else all arrive at the same time."""
    now_s: float = 1000.0
    used: list[object] = field(default_factory=list)
    judged: list[Arrival] = field(default_factory=list)
    missing: int = 0

    def __post_init__(self) -> None:
        self.continuity: Continuity[object] = Continuity(1000.0)

    def put(self, *, seq: int | None = None, t: float | None = None, item: object = None, count: int = 100) -> None:
        self.now_s += 0.1 * self.live
        item = item if item is not None else seq if seq is not None else t
        if self.continuity.continues(count, seq, t, self.now_s):
            self.used.append(item)
            self.judged.append(CONTIGUOUS)
            return
        for verdict in self.continuity.take(Piece(item, count, seq, t, self.now_s, 8 * count)):
            self.judged.append(verdict.arrival)
            self.missing += verdict.missing_samples
            if verdict.arrival.used:
                self.used.append(verdict.piece.item)

    def numbers(self, *seqs: int) -> list[Arrival]:
        for seq in seqs:
            self.put(seq=seq)
        return self.judged

    def times(self, *ts: float) -> list[Arrival]:
        for t in ts:
            self.put(t=t)
        return self.judged


def test_without_seq_and_t_everything_is_contiguous() -> None:
    stream = Stream()
    for _ in range(3):
        stream.put()
    assert stream.judged == [CONTIGUOUS] * 3


def test_a_message_that_was_overtaken_is_put_in_its_place() -> None:
    stream = Stream()
    assert stream.numbers(1, 2, 4, 3, 5) == [CONTIGUOUS] * 5
    assert stream.used == [1, 2, 3, 4, 5]
    assert stream.continuity.kept_bytes == 0
    by_time = Stream()
    assert by_time.times(0.0, 0.2, 0.1001, 0.3) == [CONTIGUOUS] * 4
    assert by_time.used == [0.0, 0.1001, 0.2, 0.3]


def test_a_lost_message_is_waited_for_and_then_missing() -> None:
    stream = Stream()
    assert stream.numbers(1, 2, 4, 5, 6, 7) == [CONTIGUOUS] * 2
    assert stream.continuity.kept_bytes == 4 * 800
    assert stream.numbers(8)[2:] == [MISSING, *[CONTIGUOUS] * 4]
    assert (stream.used, stream.missing) == ([1, 2, 4, 5, 6, 7, 8], 100)
    assert stream.numbers(3)[-1] is LATE


def test_what_is_kept_is_used_when_nothing_more_comes() -> None:
    stream = Stream()
    stream.numbers(1, 3)
    assert not stream.continuity.overdue(stream.now_s + 1)
    (verdict,) = stream.continuity.overdue(stream.now_s + 3)
    assert (verdict.arrival, verdict.missing_samples) == (MISSING, 100)
    assert stream.numbers(4)[-1] is CONTIGUOUS


def test_a_stream_that_only_loses_is_not_made_to_wait_for_ever() -> None:
    stream = Stream()
    stream.numbers(*range(0, 2 * VAIN_WAITS * EARLY_MESSAGES, 2))
    assert stream.judged[-1] is MISSING
    assert not stream.continuity.keeps
    last = stream.used[-1]
    assert isinstance(last, int)
    stream.numbers(last - 1, last + 2)
    assert stream.continuity.keeps, "a message was late, so waiting may help again"


def test_without_memory_nothing_is_kept() -> None:
    stream = Stream()
    stream.numbers(1)
    (verdict,) = stream.continuity.take(Piece(3, 100, 3, None, stream.now_s, 800), may_keep=False)
    assert (verdict.arrival, verdict.missing_samples) == (MISSING, 100)


def test_repeated_and_late_numbers() -> None:
    assert Stream().numbers(5, 6, 6, 5, 5) == [CONTIGUOUS, CONTIGUOUS, REPEATED, LATE, LATE]
    stream = Stream()
    assert stream.numbers(1, 3, 3) == [CONTIGUOUS, REPEATED]


def test_numbers_that_jump() -> None:
    stream = Stream()
    assert stream.numbers(1, 2, 500) == [CONTIGUOUS, CONTIGUOUS, MISSING]
    assert stream.missing == 497 * 100
    assert stream.numbers(1)[-1] is RESTARTED
    assert stream.numbers(2**62)[-1] is RESTARTED, "one wrong number is no loss of 10^20 samples"
    assert stream.numbers(3)[-1] is RESTARTED
    assert stream.missing == 497 * 100


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_counter_that_begins_again_goes_on(bits: int) -> None:
    end = 2**bits
    assert Stream().numbers(end - 2, end - 1, 0, 1, 2) == [CONTIGUOUS] * 5
    swapped = Stream()
    assert swapped.numbers(end - 2, end - 1, 1, 0, 2) == [CONTIGUOUS] * 5
    assert swapped.used == [end - 2, end - 1, 0, 1, 2]
    assert Stream().numbers(end - 1, 0, 1, end - 1)[-1] is LATE
    lossy = Stream()
    assert lossy.numbers(end - 4, 5)[-1] is MISSING
    assert lossy.missing == 800


def test_a_long_counter_is_not_taken_for_a_short_one() -> None:
    stream = Stream()
    assert set(stream.numbers(*range(200, 70_000))) == {CONTIGUOUS}
    assert stream.numbers(3)[-1] is RESTARTED


def test_times_with_jitter_and_drift() -> None:
    stream = Stream()
    assert stream.times(0.0, 0.1001, 0.1998, 0.3) == [CONTIGUOUS] * 4
    assert Stream().times(*(0.1001 * i for i in range(10_000))) == [CONTIGUOUS] * 10_000
    pause = Stream()
    assert pause.times(0.0, 5.0, 5.0001) == [CONTIGUOUS, MISSING, REPEATED]
    assert pause.missing == 4900


def test_the_sequence_number_decides_over_the_time() -> None:
    stream = Stream()
    stream.put(seq=1, t=0.0)
    stream.put(seq=2, t=55.0)
    assert stream.judged == [CONTIGUOUS] * 2


def test_a_message_without_time_is_the_next_one() -> None:
    stream = Stream()
    stream.put(t=0.0)
    stream.put(item="clock not set")
    stream.put(t=0.2)
    assert stream.judged == [CONTIGUOUS] * 3


@pytest.mark.parametrize("wrong_s", [365 * 86400.0, 1e15, -3600.0, -1.7e9])
def test_one_wrong_time_costs_one_message(wrong_s: float) -> None:
    stream = Stream()
    times = [1.7e9 + 0.1 * i for i in range(40)]
    stream.times(*times[:10], times[10] + wrong_s, *times[11:])
    assert stream.used == times[:10] + times[11:]
    assert stream.missing == 100
    assert set(stream.judged) == {CONTIGUOUS, MISSING, FAR_AHEAD if wrong_s > 0 else LATE}


@pytest.mark.parametrize("step_s", [365 * 86400.0, 90.0, -1.0, -3600.0, -1.7e9])
def test_a_clock_that_was_set_is_a_new_base_and_loses_nothing(step_s: float) -> None:
    stream = Stream()
    times = [1.7e9 + 0.1 * i + step_s * (i >= 10) for i in range(20)]
    stream.times(*times)
    assert stream.used == times
    assert stream.judged == [*[CONTIGUOUS] * 10, CLOCK_STEP, *[CONTIGUOUS] * 9]
    assert stream.missing == 0


def test_messages_that_a_broker_sends_again_are_no_clock_step() -> None:
    stream = Stream()
    times = [1.7e9 + 0.1 * i for i in range(40)]
    stream.times(*times[:30])
    stream.live = False
    stream.times(*times[10:30])
    stream.live = True
    stream.times(*times[30:])
    assert stream.used == times
    assert stream.judged.count(LATE) + stream.judged.count(REPEATED) == 20


def test_an_hour_off_is_an_ordinary_pause_when_the_hour_passed_here_too() -> None:
    stream = Stream()
    stream.times(0.0, 0.1)
    stream.now_s += 3600
    stream.times(3600.0)
    assert stream.judged[-1] is MISSING
    assert stream.missing == 3599_800


@pytest.mark.parametrize("pause_s", [10.0, 600.0])
def test_a_recording_of_bursts_as_fast_as_it_goes(pause_s: float) -> None:
    stream = Stream(live=False)
    times = [1.7e9 + pause_s * i for i in range(30)]
    stream.times(*times)
    stream.times(times[-1] + 0.1)
    assert stream.used == [*times, times[-1] + 0.1]
    assert stream.judged[-1] is CONTIGUOUS
    assert not stream.continuity.keeps
    assert stream.judged.count(CLOCK_STEP) == (pause_s > 60)


def test_records_with_long_pauses_at_their_own_pace() -> None:
    stream = Stream()
    times = [1.7e9 + 600 * record + 0.1 * i for record in range(10) for i in range(10)]
    stream.times(*times)
    assert stream.used == times
    assert stream.judged.count(CLOCK_STEP) == 1, "the pause is known then"
    assert stream.judged.count(MISSING) == 8


@pytest.mark.parametrize("key", ["seq", "t"])
def test_a_number_or_time_that_stands_still_does_not_blind(key: str) -> None:
    stream = Stream()
    for i in range(50):
        stream.put(**{key: 7}, item=i)
    assert stream.used == [0, *range(STANDING, 50)]
    assert stream.judged[-1] is CONTIGUOUS
    for i in range(50, 60):
        stream.put(**{key: i}, item=i)
    assert stream.used[-10:] == list(range(50, 60))


def test_a_clock_that_jumps_and_then_stands_still_does_not_blind() -> None:
    stream = Stream()
    stream.times(1.7e9, 1.7e9 + 0.1, *[5.0] * 40)
    assert len(stream.used) >= 40 - STANDING - AGREEING


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_clock_shows_half_of_the_messages_are_used_in_the_end(seed: int) -> None:
    generator = random.Random(seed)
    stream = Stream()
    stream.times(*(generator.uniform(0, 4e9) for _ in range(200)))
    before = len(stream.used)
    times = [1.7e9 + 0.1 * i for i in range(100)]
    stream.times(*times)
    assert len(stream.used) - before >= 100 - AGREEING - EARLY_MESSAGES
    assert stream.continuity.kept_bytes <= 800 * (AGREEING + EARLY_MESSAGES)
