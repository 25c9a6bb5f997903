import json

import numpy as np
import pytest

from monitor.config.configuration import Config
from monitor.core.messages.decode import Reason, Rejected
from monitor.runtime.intake.channel import Channel
from monitor.runtime.log.internal_errors import Where
from tests.support.ingest_bench import Bench, config, message


def test_samples_arrive_in_metres_per_second_squared() -> None:
    bench = Bench(config(payload={"format": "int16"}, unit="g", scale=0.5))
    bench.ingest.deliver("plant/fan/x", np.arange(10, dtype="<i2").tobytes())
    due = bench.rings.take()
    assert due is not None
    assert due.samples[0] == pytest.approx(np.arange(10) * 0.5 * 9.80665)
    assert [channel.labels for channel in bench.told] == [("fan", "x")]
    assert bench.channel("fan", "x").last_sample_s == 100.0


def test_several_axes_in_one_message() -> None:
    bench = Bench(config(topic="plant/{machine}", axes=("x", "y"), payload={"format": "float32"}))
    bench.ingest.deliver("plant/fan", np.arange(40, dtype="<f4").tobytes())
    due = bench.rings.take()
    assert due is not None
    assert due.samples[bench.channel("fan", "x").row].tolist() == list(range(0, 20, 2))
    assert due.samples[bench.channel("fan", "y").row].tolist() == list(range(1, 21, 2))


def test_a_document_names_its_axes() -> None:
    bench = Bench(config(topic="plant/{machine}"))
    bench.ingest.deliver("plant/fan", json.dumps({"samples": {"x": [1, 2], "y": [3, 4]}}).encode())
    assert set(bench.ingest.channels) == {("fan", "x"), ("fan", "y")}


def test_a_retained_message_is_old() -> None:
    bench = Bench(config())
    bench.ingest.deliver("plant/fan/x", message(), retained=True)
    assert bench.ingest.rejected == {Reason.RETAINED: 1}
    assert not bench.ingest.channels


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("plant/fan/x", b"", Reason.EMPTY),
        ("plant/fan/x", b"{", Reason.UNDECODABLE),
        ("plant/fan/x", b"[NaN]", Reason.NON_FINITE),
        ("other/fan", message(), Reason.UNKNOWN_TOPIC),
        ("plant/fan/x", b" " * (4 * 2**20 + 1), Reason.TOO_LARGE),
        ("plant/fan/x", message(fs=7), Reason.WRONG_RATE),
        ("plant/fan/x", json.dumps({"samples": {"y": [1]}}).encode(), Reason.WRONG_AXES),
    ],
)
def test_a_bad_message_is_counted_and_disturbs_nothing(topic: str, payload: bytes, reason: Reason) -> None:
    bench = Bench(config())
    bench.ingest.deliver("plant/fan/x", message(7, seq=1))
    bench.ingest.deliver(topic, payload)
    bench.ingest.deliver("plant/fan/x", message(3, seq=2))
    assert bench.ingest.rejected == {reason: 1}
    due = bench.rings.take()
    assert due is not None
    assert due.samples[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2]
    assert due.first.tolist() == [True]


def test_channels_above_the_limit_are_rejected() -> None:
    bench = Bench(config(channels=2))
    for machine in ("a", "b", "c", "a"):
        bench.ingest.deliver(f"plant/{machine}/x", message())
    assert bench.ingest.rejected == {Reason.CHANNEL_LIMIT: 1}
    assert len(bench.ingest.channels) == 2
    assert bench.channel("a", "x").samples_received == 40


def test_a_flood_of_unknown_topics_is_not_remembered() -> None:
    bench = Bench(config(channels=2))
    for i in range(1000):
        bench.ingest.deliver(f"junk/{i}", message())
    assert bench.ingest.rejected == {Reason.UNKNOWN_TOPIC: 1000}
    assert len(bench.ingest._routes) <= 4


def test_two_topics_with_the_same_labels() -> None:
    bench = Bench(config(topic="plant/+/{machine}/{axis}"))
    bench.ingest.deliver("plant/hall-1/fan/x", message())
    bench.ingest.deliver("plant/hall-2/fan/x", message())
    assert bench.ingest.rejected == {Reason.LABEL_CONFLICT: 1}


def test_topics_that_send_nothing_usable_lock_nobody_out() -> None:
    bench = Bench(config(channels=50))
    for number in range(110):
        bench.ingest.deliver(f"plant/bad-{number}/x", b"{")
    for number in range(50):
        for _ in range(2):
            bench.ingest.deliver(f"plant/good-{number}/x", message(10))
    assert bench.ingest.rejected == {Reason.UNDECODABLE: 110}
    assert len(bench.ingest.channels) == len(bench.ingest._routes) == 50


def test_a_message_whose_axes_find_no_room_takes_none() -> None:
    bench = Bench(config(channels=1, topic="plant/{machine}"))
    bench.ingest.deliver("plant/fan", json.dumps({"samples": {"x": [1], "y": [2]}}).encode())
    bench.ingest.deliver("plant/pump", message(10))
    assert bench.ingest.rejected == {Reason.CHANNEL_LIMIT: 1}
    assert list(bench.ingest.channels) == [("pump", "")]


@pytest.mark.parametrize("level", ["m" * 129, "a\x1b[31mred", "two\nlines", "\ud800", "right\u202eleft"])
def test_a_topic_that_is_no_label_is_rejected(level: str, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(config())
    bench.ingest.deliver(f"plant/{level}/x", message())
    assert bench.ingest.rejected == {Reason.WRONG_LABEL: 1}
    assert not bench.ingest.channels
    assert caplog.messages[0].isprintable()
    with pytest.raises(Rejected):
        bench.ingest.explain(f"plant/{level}/x", message())


def test_samples_beyond_the_buffer_are_counted() -> None:
    bench = Bench(config())
    bench.ingest.deliver("plant/fan/x", message(700))
    assert bench.ingest.rejected == {Reason.RING_FULL: 1}
    assert bench.channel("fan", "x").samples_received == 640


def test_repeated_faults_are_logged_once_a_period(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(config())
    for _ in range(100):
        bench.ingest.deliver("plant/fan/x", b"{")
    bench.clock.now_s += 31
    bench.ingest.deliver("plant/fan/x", b"{")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "and 99 more of this kind" in caplog.text


def test_a_new_configuration_keeps_unchanged_channels() -> None:
    first = {"topic": "a/{machine}", "payload": {"format": "json"}, "sampling_rate_hz": 1000.0}
    second = {"topic": "b/{machine}", "payload": {"format": "json"}, "sampling_rate_hz": 1000.0}
    bench = Bench(Config.model_validate({"sensors": [first, second], "limits": {"channels": 4}}))
    bench.ingest.deliver("a/fan", message(7))
    bench.ingest.deliver("b/pump", message(7))
    changed = Config.model_validate(
        {"sensors": [first, {**second, "sampling_rate_hz": 2000.0}], "limits": {"channels": 4}}
    )
    gone = bench.ingest.configure(changed, {"default": bench.rings})
    assert [channel.labels for channel in gone] == [("pump", "")]
    bench.ingest.deliver("a/fan", message(3))
    due = bench.rings.take()
    assert due is not None
    assert due.samples[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2]
    bench.ingest.deliver("b/pump", message(7))
    assert bench.channel("pump", "").samples_received == 7


def test_a_new_label_of_another_sensor_leaves_channels_alone() -> None:
    first = {"topic": "a/{machine}/{axis}", "payload": {"format": "json"}, "sampling_rate_hz": 1000.0}
    second = {"topic": "b/{site}/{machine}/{axis}", "payload": {"format": "json"}, "sampling_rate_hz": 1000.0}
    bench = Bench(Config.model_validate({"sensors": [first]}))
    bench.ingest.deliver("a/fan/x", message(7))
    assert bench.ingest.configure(Config.model_validate({"sensors": [first, second]}), {"default": bench.rings}) == []
    bench.ingest.deliver("a/fan/x", message(3))
    assert bench.channel("fan", "", "x").samples_received == 10
    bench.ingest.configure(Config.model_validate({"sensors": [first]}), {"default": bench.rings})
    assert bench.channel("fan", "x").samples_received == 10


def test_a_corrected_payload_format_takes_effect() -> None:
    wrong = config(payload={"format": "int16"})
    bench = Bench(wrong)
    bench.ingest.deliver("plant/fan/x", b"abc")
    assert bench.ingest.rejected == {Reason.WRONG_LENGTH: 1}
    bench.ingest.configure(config(), {"default": bench.rings})
    bench.ingest.deliver("plant/fan/x", message(20))
    assert bench.channel("fan", "x").samples_received == 20


def test_an_error_that_nobody_foresaw_costs_its_message_only(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(config())
    bench.ingest.deliver("plant/fan/x", message(7))

    def fail(channel: Channel) -> None:
        raise ZeroDivisionError(channel.name)

    bench.ingest._on_channel = fail
    bench.ingest.deliver("plant/pump/x", message(7))
    bench.ingest.deliver("plant/fan/x", message(7))
    assert bench.ingest._errors.counts == {Where.MESSAGE: 1}
    assert "plant/pump/x" in caplog.text
    assert bench.channel("fan", "x").samples_received == 14


def test_a_channel_can_be_made_before_its_first_message() -> None:
    bench = Bench(config(channels=2))
    channel = bench.ingest.adopt("plant/fan/x", "x")
    assert channel is not None
    assert bench.told == [channel]
    assert bench.ingest.adopt("plant/fan/x", "y") is None, "the topic names the axis x"
    assert bench.ingest.adopt("elsewhere/fan", "x") is None
    assert bench.ingest.adopt("plant/pump/x", "x") is not None
    assert bench.ingest.adopt("plant/motor/x", "x") is None, "there is no room"
    bench.ingest.deliver("plant/fan/x", message(20))
    assert bench.channel("fan", "x") is channel
    assert channel.samples_received == 20
    due = bench.rings.take()
    assert due is not None
    assert due.first.tolist() == [True]


def test_the_channel_of_a_row_is_known_as_channels_come_and_go() -> None:
    bench = Bench(config(channels=3))

    def by_looking() -> dict[int, Channel]:
        return {channel.row: channel for channel in bench.ingest.channels.values()}

    for machine in ("fan", "pump", "mill", "lift"):  # there is no room for the last one
        bench.ingest.deliver(f"plant/{machine}/x", message())
    assert len(bench.ingest.of_rows("default")) == 3
    assert bench.ingest.of_rows("default") == by_looking()
    fan, pump = bench.channel("fan", "x"), bench.channel("pump", "x")
    bench.ingest.leave(["plant/fan/x"])
    assert bench.ingest.of_rows("default") == by_looking()
    assert (fan.gone, pump.gone) == (True, False)
    bench.ingest.deliver("plant/lift/x", message())
    assert set(bench.ingest.channels) == {("pump", "x"), ("mill", "x"), ("lift", "x")}
    assert bench.ingest.of_rows("default") == by_looking()
    bench.ingest.configure(config(channels=3, topic="plant/+/{machine}/{axis}"), {"default": bench.rings})
    assert bench.ingest.of_rows("default") == {}
    assert pump.gone
    assert bench.ingest.of_rows("other") == {}
