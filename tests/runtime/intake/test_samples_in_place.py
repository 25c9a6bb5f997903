"""Where samples are missing, repeated, late or silent: what is counted, and what begins a context."""

import json

import pytest

from monitor.core.messages.decode import Reason
from monitor.core.samples.rings import Rings
from monitor.runtime.intake import ingest
from tests.support.ingest_bench import Bench, Clock, config, message


def firsts(rings: Rings) -> list[bool]:
    """Of each block of row 0, whether it begins a context."""
    found = []
    while (due := rings.take()) is not None:
        found.append(bool(due.first[0]))
    return found


def test_missing_repeated_and_late_samples_are_counted() -> None:
    bench = Bench(config())
    for seq in (1, 2, 2, 8, 1, 9):
        bench.ingest.deliver("plant/fan/x", message(25, seq=seq))
    channel = bench.channel("fan", "x")
    assert channel.samples_received == 4 * 25
    assert channel.samples_missing == 5 * 25
    assert (channel.samples_repeated, channel.samples_late) == (25, 25)
    assert bench.ingest.rejected == {Reason.REPEATED: 1, Reason.LATE: 1}
    starts, firsts = [], []
    while (due := bench.rings.take()) is not None:
        starts.append(int(due.start_sample[0]))
        firsts.append(bool(due.first[0]))
    assert starts == [0, 10, 20, 30, 40, 175, 185, 195, 205, 215]
    assert firsts == [True, False, False, False, False, True, False, False, False, False]


def test_a_silence_is_a_hole_of_its_length() -> None:
    bench = Bench(config())
    for pause_s in (0.0, 0.9, 1.1, 61.0):
        bench.clock.now_s += pause_s
        bench.ingest.deliver("plant/fan/x", message(10))
    assert firsts(bench.rings) == [True, False, True, True], "longer ones are holes at once"
    assert bench.channel("fan", "x").samples_missing == round((0.9 + 1.1 - 0.02) * 1000) + round((61 - 0.01) * 1000)


def test_a_silence_between_numbered_messages_is_none_until_the_gauges_are_gone() -> None:
    bench = Bench(config())
    for seq, pause_s in enumerate((0.0, 59.0, 61.0)):
        bench.clock.now_s += pause_s
        bench.ingest.deliver("plant/fan/x", message(10, seq=seq))
    assert firsts(bench.rings) == [True, False, True]


def test_messages_in_batches_and_after_a_stall_have_no_hole() -> None:
    bench = Bench(config())
    for _ in range(5):
        for _ in range(50):
            bench.ingest.deliver("plant/fan/x", message(100))
            bench.rings._taken[:] = bench.rings._complete
        bench.clock.now_s += 5.0
    channel = bench.channel("fan", "x")
    assert (channel.samples_missing, channel.samples_received) == (0, 25_000)


def test_the_length_of_a_message_decides_what_is_a_silence() -> None:
    bench = Bench(config(sampling_rate_hz=10.0))
    for _ in range(3):
        bench.ingest.deliver("plant/fan/x", message(20))
        bench.clock.now_s += 4.0
    assert firsts(bench.rings) == [True, *[False] * 5]
    bench.clock.now_s += 10.0
    bench.ingest.deliver("plant/fan/x", message(20))
    assert firsts(bench.rings) == []
    bench.clock.now_s += 1.0
    bench.ingest.release_overdue()
    assert firsts(bench.rings) == [True, False]


def test_what_a_stalled_connection_delivers_late_has_no_hole() -> None:
    bench = Bench(config())
    for number in range(1000):
        stalled = number % 100 < 30  # three seconds of messages come with the next one, a little ahead of the others
        bench.clock.now_s += 0.001 if stalled and number % 100 else 3.0 if stalled else 0.1
        bench.ingest.deliver("plant/fan/x", message(100))
        bench.rings._taken[:] = bench.rings._complete
    channel = bench.channel("fan", "x")
    assert (channel.samples_missing, channel.samples_received) == (0, 100_000)
    assert bench.rings.recent(channel.row, 640)[0] == 100_000 - 640, "one context, in order"


def test_after_a_silence_messages_are_kept_until_it_is_clear_that_they_come_at_their_own_pace() -> None:
    bench = Bench(config())
    for number, seconds in enumerate([0.05, 0.05, 5.0, *[0.05] * 12]):
        bench.clock.now_s += seconds
        bench.ingest.deliver("plant/fan/x", message(50))
        bench.rings._taken[:] = bench.rings._complete
        if number == 10:
            assert bench.channel("fan", "x").samples_received == 2 * 50
            assert bench.ingest._kept_bytes > 0
    channel = bench.channel("fan", "x")
    assert (channel.samples_received, channel.samples_missing) == (15 * 50, 4950)
    assert bench.ingest._kept_bytes == 0


def test_a_rejected_message_is_a_hole_of_its_length() -> None:
    bench = Bench(config())
    for payload in (message(20), b"[NaN]", b"{", message(20), b"", message(20)):
        bench.ingest.deliver("plant/fan/x", payload)
    channel = bench.channel("fan", "x")
    assert channel.samples_missing == 40
    assert firsts(bench.rings) == [True, False, True, False, False, False]


def test_given_up_and_unfitting_samples_are_counted() -> None:
    bench = Bench(config())
    bench.ingest.deliver("plant/fan/x", message(27))
    bench.ingest.deliver("plant/fan/x", b"[NaN]")
    bench.ingest.deliver("plant/fan/x", message(700))
    channel = bench.channel("fan", "x")
    assert (channel.samples_incomplete, channel.blocks_incomplete) == (7, 1)
    assert channel.samples_unfitting == 700 - (640 - 20)
    assert channel.samples_received == 27 + 620


def test_an_overtaken_message_is_put_in_its_place() -> None:
    bench = Bench(config())
    for seq in (1, 2, 4, 3, 5):
        bench.ingest.deliver("plant/fan/x", json.dumps({"samples": [seq] * 10, "seq": seq}).encode())
    due = [bench.rings.take() for _ in range(5)]
    assert [block.samples[0, 0] for block in due if block is not None] == [1, 2, 3, 4, 5]
    channel = bench.channel("fan", "x")
    assert (channel.samples_missing, channel.samples_late, channel.samples_reordered) == (0, 0, 10)
    assert not bench.ingest.rejected


def test_a_message_is_not_kept_for_long() -> None:
    bench = Bench(config())
    for seq in (1, 3):
        bench.ingest.deliver("plant/fan/x", message(10, seq=seq))
    bench.ingest.release_overdue()
    assert bench.channel("fan", "x").samples_received == 10
    bench.clock.now_s += 3.0
    bench.ingest.release_overdue()
    channel = bench.channel("fan", "x")
    assert (channel.samples_received, channel.samples_missing, channel.last_sample_s) == (20, 10, 100.0)
    assert (bench.ingest._kept_bytes, bench.ingest._keeping) == (0, {})


def test_what_is_kept_of_all_channels_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "KEPT_BYTES", 1000)
    bench = Bench(config(channels=100))
    for number in range(100):
        for seq in (1, 3):
            bench.ingest.deliver(f"plant/{number}/x", message(10, seq=seq))
    assert 0 < bench.ingest._kept_bytes <= 1000
    bench.ingest.configure(config(channels=100, scale=2.0), {"default": bench.rings})
    assert bench.ingest._kept_bytes == 0


def test_messages_that_are_held_after_a_silence_need_room_too() -> None:
    bench = Bench(config())  # the ring holds 640 samples

    def deliver() -> bool:
        if not bench.ingest.has_room("plant/fan/x"):
            return False
        bench.ingest.deliver("plant/fan/x", message(100))
        return True

    def scored() -> None:
        row = bench.channel("fan", "x").row
        bench.rings.skip_until(row, int(bench.rings.blocks_received()[row]))

    for _ in range(30):
        assert deliver()
        bench.clock.now_s += 0.1
        scored()
    bench.clock.now_s += 5.0
    assert [deliver() for _ in range(10)] == [True] * 4 + [False] * 6
    assert bench.ingest.rejected == {}
    bench.clock.now_s += 0.6
    bench.ingest.release_overdue()
    assert not deliver()
    assert bench.channel("fan", "x").samples_received == 3400
    scored()
    assert deliver()
    assert bench.ingest.rejected == {}


def test_what_waits_of_a_channel_that_leaves_does_not_come_into_another_ones_row() -> None:
    bench = Bench(config(channels=1))
    for seq in (1, 3):  # the second one waits for the one between
        bench.ingest.deliver("plant/fan/x", message(10, seq=seq))
    bench.ingest.leave(["plant/fan/x"])
    bench.ingest.deliver("plant/pump/x", json.dumps({"samples": [7] * 10, "seq": 1}).encode())
    bench.clock.now_s += 3.0
    bench.ingest.release_overdue()
    bench.ingest.deliver("plant/pump/x", json.dumps({"samples": [7] * 10, "seq": 2}).encode())
    pump = bench.channel("pump", "x")
    assert bench.rings.recent(pump.row, 640)[1].tolist() == [7] * 20
    assert (bench.ingest._kept_bytes, bench.ingest._keeping) == (0, {})


def test_messages_that_are_read_long_after_they_arrived_are_put_in_their_places_too() -> None:
    bench = Bench(config(), Clock(10_000.0))
    for tick, seq in enumerate((1, 2, 4, 3, 5)):
        payload = json.dumps({"samples": [seq] * 10, "seq": seq}).encode()
        bench.ingest.deliver("plant/fan/x", payload, arrived_s=bench.clock.now_s - 3600.0 + tick / 100)
        bench.ingest.release_overdue()
    channel = bench.channel("fan", "x")
    assert bench.rings.recent(channel.row, 640)[1].tolist() == [seq for seq in range(1, 6) for _ in range(10)]
    assert (channel.samples_missing, channel.samples_late, channel.samples_reordered) == (0, 0, 10)
    # What does not come is not waited for longer than live.
    bench.ingest.deliver("plant/fan/x", message(10, seq=7), arrived_s=bench.clock.now_s - 3600.0 + 0.05)
    bench.clock.now_s += 3.0
    bench.ingest.release_overdue()
    assert (channel.samples_received, channel.samples_missing) == (60, 10)


def test_a_stall_of_an_hour_ago_has_no_hole() -> None:
    bench = Bench(config(sampling_rate_hz=100.0), Clock(10_000.0))
    for number in range(300):
        at_s = number * 0.1 if number < 100 else max(number * 0.1, 15.0 + number / 1000)
        bench.ingest.deliver("plant/fan/x", message(10), arrived_s=bench.clock.now_s - 3600.0 + at_s)
        bench.ingest.release_overdue()
        bench.rings._taken[:] = bench.rings._complete
    channel = bench.channel("fan", "x")
    assert (channel.samples_missing, channel.samples_received) == (0, 3000)
