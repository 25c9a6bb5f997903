"""Records without a break, in turn: whole, contiguous, bounded in memory and pace."""

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.core.samples.records import LEAST_BLOCKS, PERIOD_S, STALLED_S, Record, Records
from monitor.core.samples.rings import DueBlocks

RATE = 1000.0
BLOCK = 100
BLOCK_S = BLOCK / RATE
RECORD_BLOCKS = 20


def due(number: int, rows: list[int], first: list[int] | None = None) -> DueBlocks:
    """Block ``number`` of each row: samples count on, from 100,000 times the row."""
    samples: Float32 = np.array([1e5 * row + number * BLOCK + np.arange(BLOCK) for row in rows], np.float32)
    index = np.array(rows)
    return DueBlocks(
        index, samples, np.full(len(rows), number * BLOCK), np.isin(index, first or []), np.zeros(len(rows))
    )


def collected(
    records: Records, blocks: int, rows: list[int], firsts: dict[int, list[int]] | None = None, start: int = 0
) -> list[Record]:
    found = []
    for number in range(start, start + blocks):
        records.add(due(number, rows, (firsts or {}).get(number, [])), number * BLOCK_S)
        while (record := records.take()) is not None:
            found.append(record)
    return found


def configured(rows: int) -> Records:
    records = Records(rows, BLOCK)
    for row in range(rows):
        records.configure(row, RATE)
    return records


def test_every_channel_has_whole_records_at_the_pace() -> None:
    rows = list(range(40))
    found = collected(configured(40), round(4 * PERIOD_S / BLOCK_S), rows)
    for record in found:
        assert record.samples.size == RECORD_BLOCKS * BLOCK
        assert np.all(np.diff(record.samples) == 1), "no block is missing or twice"
        assert int(record.samples[0] // 1e5) == record.row
        assert record.sampling_rate_hz == RATE
    counts = np.bincount([record.row for record in found], minlength=40)
    assert counts.min() >= 3, "in four periods"
    assert counts.max() <= 4


def test_memory_is_that_of_a_few_channels() -> None:
    records = configured(1000)
    assert len(records._samples) <= 0.35 * 1000
    assert records._samples.shape[1:] == (RECORD_BLOCKS, BLOCK)


def test_a_break_never_lies_within_a_record() -> None:
    records = configured(1)
    # Contexts of 15 blocks: too short for a whole record.
    found = collected(records, 100, [0], {number: [0] for number in range(0, 100, 15)})
    assert {record.samples.size for record in found} == {15 * BLOCK}
    assert all(record.samples[0] % (15 * BLOCK) == 0 for record in found), "from the beginning of a context"
    # A break in the midst of a record that did not begin with its context: the next context gets the place.
    records = configured(1)
    found = collected(records, 60, [0], {10: [0]})
    assert [record.samples[0] for record in found] == [10 * BLOCK]
    assert [record.samples.size for record in found] == [RECORD_BLOCKS * BLOCK]


def test_what_is_too_short_is_no_record() -> None:
    size = LEAST_BLOCKS - 1
    assert not collected(configured(1), 50, [0], {number: [0] for number in range(0, 50, size)})


def test_a_channel_that_stops_sending_leaves_its_place() -> None:
    records = configured(2)
    for number in range(15):
        records.add(due(number, [0]), number * BLOCK_S)
    assert records.take() is None
    records.add(due(0, [1]), 15 * BLOCK_S + STALLED_S)
    record = records.take()
    assert record is not None
    assert (record.row, record.samples.size) == (0, 15 * BLOCK)


def test_a_pause_and_another_rate_drop_what_is_open() -> None:
    records = configured(1)
    assert not collected(records, 15, [0])
    records.pause(0, paused=True)
    assert not collected(records, 100, [0], start=15)
    records.pause(0, paused=False)
    assert collected(records, 30, [0], start=115)
    records.configure(0, 2 * RATE)
    assert {record.samples.size for record in collected(records, 100, [0], start=145)} == {2 * RECORD_BLOCKS * BLOCK}
    records.configure(0, 0.0)
    assert not collected(records, 100, [0], start=245)


@pytest.mark.parametrize("rates", [(1000.0, 51200.0), (51200.0, 1000.0)])
def test_channels_of_different_rates_have_records_of_the_same_duration(rates: tuple[float, float]) -> None:
    records = Records(2, BLOCK)
    for row, rate in enumerate(rates):
        records.configure(row, rate)
    for number in range(1100):
        records.add(due(number, [0, 1]), 0.1 * (number > 0))
    found = {}
    while (record := records.take()) is not None:
        found[record.row] = record.samples.size / rates[record.row]
    assert found == pytest.approx({0: 2.0, 1: 2.0}, rel=0.01)


def test_the_places_follow_from_the_rates_that_rows_have_now() -> None:
    rows, fast = 400, 4 * RATE
    records = configured(rows)
    for rate_hz in (fast, 0.0, fast):
        for row in range(rows):
            records.configure(row, rate_hz)
    fresh = Records(rows, BLOCK)
    for row in range(rows):
        fresh.configure(row, fast)
    assert records._needed == pytest.approx(fresh._needed)
    assert 0 < fresh._needed <= len(records._samples)
    for row in range(rows):
        records.configure(row, 0.0)
    assert records._needed == pytest.approx(0.0, abs=1e-9)
