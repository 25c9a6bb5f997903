import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.samples.rings import Rings

BLOCK = 4


class SlowRing:
    """A simple reference for one row: a list of blocks of contiguous samples."""

    def __init__(self) -> None:
        self.blocks: list[tuple[int, bool, list[float]]] = []
        self.partial: list[float] = []
        self.next_sample = 0
        self.first = True

    def append(self, samples: list[float]) -> None:
        for sample in samples:
            self.partial.append(sample)
            self.next_sample += 1
            if len(self.partial) == BLOCK:
                self.blocks.append((self.next_sample - BLOCK, self.first, self.partial))
                self.partial, self.first = [], False

    def miss(self, samples: int) -> None:
        self.partial, self.first = [], True
        self.next_sample += samples


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2), st.integers(0, 11)),
        st.tuples(st.just("miss"), st.integers(0, 2), st.integers(0, 9)),
        st.tuples(st.just("take"), st.integers(0, 2), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(ACTIONS)
def test_the_ring_equals_a_slow_obvious_twin(actions: list[tuple[str, int, int]]) -> None:
    rings = Rings(3, 32, BLOCK)
    twins = [SlowRing() for _ in range(3)]
    taken: list[list[tuple[int, bool, list[float]]]] = [[], [], []]
    value = 0.0

    def take_all() -> None:
        while (due := rings.take()) is not None:
            for i, row in enumerate(due.rows.tolist()):
                taken[row].append((int(due.start_sample[i]), bool(due.first[i]), due.samples[i].tolist()))

    for action, row, count in actions:
        if action == "append":
            samples = [value + i for i in range(count)]
            value += count
            rings.append(row, np.array(samples, np.float32), 1.0, 0.0)
            twins[row].append(samples)
        elif action == "miss":
            rings.start_context(row, rings.next_sample(row) + count)
            twins[row].miss(count)
        else:
            take_all()
        if int(rings.backlog().max()) > 20:
            take_all()
    take_all()
    assert taken == [twin.blocks for twin in twins]


def test_samples_beyond_the_readers_distance_are_refused_and_the_context_ends() -> None:
    rings = Rings(1, 3, BLOCK)
    assert rings.append(0, np.arange(15, dtype=np.float32), 1.0, 0.0) == 3
    due = rings.take()
    assert due is not None
    assert due.samples.tolist() == [[0, 1, 2, 3]]
    assert rings.append(0, np.arange(100, 104, dtype=np.float32), 1.0, 0.0) == 0
    starts = []
    while (due := rings.take()) is not None:
        starts.append((int(due.start_sample[0]), bool(due.first[0])))
    assert starts == [(4, False), (8, False), (15, True)]


def test_a_given_up_backlog_is_counted_and_starts_a_new_context() -> None:
    rings = Rings(2, 16, BLOCK)
    rings.append(0, np.zeros(10 * BLOCK, np.float32), 1.0, 0.0)
    rings.append(1, np.zeros(2 * BLOCK, np.float32), 1.0, 0.0)
    rows, lost = rings.skip_backlog(5)
    assert (rows.tolist(), lost.tolist()) == ([0], [10])
    rings.append(0, np.ones(BLOCK, np.float32), 1.0, 0.0)
    due = rings.take()
    assert due is not None
    assert due.rows.tolist() == [0, 1]
    assert due.start_sample.tolist() == [10 * BLOCK, 0]
    assert due.first.tolist() == [True, True]


def test_a_given_up_backlog_with_a_loss_inside_keeps_the_sample_index() -> None:
    rings = Rings(1, 16, BLOCK)
    rings.append(0, np.zeros(3 * BLOCK, np.float32), 1.0, 0.0)
    rings.start_context(0, rings.next_sample(0) + 100)
    rings.append(0, np.zeros(3 * BLOCK, np.float32), 1.0, 0.0)
    rings.skip_backlog(1)
    rings.append(0, np.zeros(BLOCK, np.float32), 1.0, 0.0)
    due = rings.take()
    assert due is not None
    assert due.start_sample.tolist() == [6 * BLOCK + 100]


def test_with_a_limit_the_longest_backlog_comes_first() -> None:
    rings = Rings(3, 16, BLOCK)
    for row, blocks in enumerate((1, 5, 3)):
        rings.append(row, np.zeros(blocks * BLOCK, np.float32), 1.0, 0.0)
    due = rings.take(2)
    assert due is not None
    assert due.rows.tolist() == [1, 2]


def test_traffic_never_reallocates() -> None:
    rings = Rings(2, 4, BLOCK)
    before = rings._slots.__array_interface__["data"]
    for _ in range(50):
        rings.append(0, np.zeros(7, np.float32), 1.0, 0.0)
        while rings.take() is not None:
            pass
    assert rings._slots.__array_interface__["data"] == before


def test_recent_gives_the_present_context_only() -> None:
    rings = Rings(1, 4, BLOCK)
    rings.append(0, np.arange(6, dtype=np.float32), 2.0, 0.0)
    rings.start_context(0, 50)
    rings.append(0, np.arange(10, 13, dtype=np.float32), 1.0, 0.0)
    start, samples = rings.recent(0, 100)
    assert (start, samples.tolist()) == (50, [10, 11, 12])


def test_the_oldest_waiting_block_tells_its_arrival() -> None:
    rings = Rings(2, 4, BLOCK)
    assert rings.oldest_arrival_s() is None
    rings.append(0, np.zeros(BLOCK, np.float32), 1.0, 3.0)
    rings.append(1, np.zeros(BLOCK, np.float32), 1.0, 5.0)
    assert rings.oldest_arrival_s() == pytest.approx(3.0)


def test_parts_share_the_samples_and_fill_evenly() -> None:
    rings = Rings(5, 4, BLOCK, parts=2)
    assert rings.borders == [0, 2, 5]
    assert rings.rows() == [0, 2, 1, 3, 4]
    assert [rings.part_of(row) for row in range(5)] == [0, 0, 1, 1, 1]
    first, second = rings.part(0), rings.part(1)
    for row in (1, 3):
        rings.append(row, np.arange(BLOCK) + row, 1.0, 0.0)
    due = second.take()
    assert due is not None
    assert due.rows.tolist() == [1]
    assert due.samples.tolist() == [[3, 4, 5, 6]]
    assert rings.backlog().tolist() == [0, 1, 0, 0, 0]
    assert first.take() is not None
    assert second.take() is None
    assert not rings.backlog().any()


def test_what_came_after_a_look_waits_for_the_next_take() -> None:
    rings = Rings(2, 4, BLOCK)
    rings.append(0, np.zeros(BLOCK), 1.0, 0.0)
    before = rings.blocks_received()
    rings.append(1, np.zeros(BLOCK), 1.0, 0.0)
    assert [due.rows.tolist() for due in (rings.take(None, before), rings.take()) if due] == [[0], [1]]
    assert rings.take(None, before) is None


def test_what_waited_for_another_channel_is_given_up() -> None:
    rings = Rings(1, 8, BLOCK)
    rings.append(0, np.zeros(3 * BLOCK), 1.0, 0.0)
    received = int(rings.blocks_received()[0])
    rings.start_context(0, 0)
    rings.append(0, np.arange(2 * BLOCK), 1.0, 0.0)
    rings.skip_until(0, received)
    rings.skip_until(0, received)
    taken = [due for _ in range(2) if (due := rings.take()) is not None]
    assert [(int(due.start_sample[0]), bool(due.first[0])) for due in taken] == [(0, True), (BLOCK, False)]
    assert taken[0].samples.tolist() == [[0, 1, 2, 3]]
    # A reused slot does not start a context if the old context in it was abandoned.
    rings.append(0, np.zeros(8 * BLOCK), 1.0, 0.0)
    later = [due for _ in range(8) if (due := rings.take()) is not None]
    assert [bool(due.first[0]) for due in later] == [False] * 8
