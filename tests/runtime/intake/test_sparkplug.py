from typing import Any

import numpy as np
import pytest

from monitor.config.configuration import Config
from monitor.core.arrays import AnyArray
from monitor.core.messages.decode import Reason
from monitor.core.samples.rings import Rings
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.ingest import Ingest
from tests.support.sparkplug_node import BYTES, FLOAT, FLOAT_ARRAY, STRING, SparkplugNode, metric, payload

T = 1.764e9
RATE_HZ = 1000.0
SENSOR: dict[str, Any] = {
    "topic": "spBv1.0/{group}/DDATA/{node}/{device}/acceleration/{axis}",
    "payload": {"format": "sparkplug", "bytes": "int16"},
    "sampling_rate_hz": RATE_HZ,
    "unit": "g",
}
TYPES = {"acceleration/x": FLOAT_ARRAY, "acceleration/raw": BYTES, "acceleration/name": STRING, "temperature": FLOAT}
X = ("plant", "gateway", "fan", "x")


class Bench:
    """An ingest that wants the acceleration of devices, one lane, and a clock."""

    def __init__(self, channels: int = 8, *sensors: dict[str, Any], rebirth: bool = False) -> None:
        self.now_s = 100.0
        self.rings = Rings(channels, 4096, 10)
        document = {
            "sensors": [SENSOR, *sensors],
            "limits": {"channels": channels},
            "mqtt": {"sparkplug": {"rebirth": rebirth}},
        }
        self.config = Config.model_validate(document)
        self.ingest = Ingest(self.config, {"default": self.rings}, lambda _: None, lambda: self.now_s)
        self.node = SparkplugNode()

    def send(self, *messages: tuple[str, bytes]) -> None:
        for topic, data in messages:
            self.ingest.deliver(topic, data)
        assert not self.ingest._errors.counts

    def bear(self) -> None:
        self.send(self.node.birth(), self.node.device_birth("fan", TYPES))

    def second(self, at: int, device: str = "fan") -> None:
        """A second of ``x``, a tenth at a time."""
        for tenth in range(10):
            self.now_s += 0.1
            t = T + at + tenth / 10
            self.send(self.node.data(device, {"acceleration/x": block(), "temperature": 20.0}, t))

    def channel(self, *labels: str) -> Channel:
        return self.ingest.channels[labels or X]


def block(value: float = 1.0) -> AnyArray:
    return np.full(100, value, "<f4")


def test_metrics_become_channels_in_metres_per_second_squared() -> None:
    bench = Bench()
    bench.bear()
    raw = np.arange(10, dtype="<i2").tobytes()
    values: dict[str, Any] = {
        "acceleration/x": block()[:10],
        "acceleration/raw": raw,
        "acceleration/name": "de",
        "temperature": 20.0,
    }
    bench.send(bench.node.data("fan", values, T))
    assert set(bench.ingest.channels) == {X, ("plant", "gateway", "fan", "raw")}
    due = bench.rings.take()
    assert due is not None
    assert due.samples[bench.channel().row].tolist() == pytest.approx([9.80665] * 10)
    assert due.samples[bench.channel(*X[:3], "raw").row].tolist() == pytest.approx((9.80665 * np.arange(10)).tolist())
    assert not bench.ingest.rejected
    assert bench.channel().topic == "spBv1.0/plant/DDATA/gateway/fan/acceleration/x"


def test_a_stream_without_loss_has_no_missing_samples() -> None:
    bench = Bench()
    bench.bear()
    for second in range(30):
        bench.second(second)
    assert bench.channel().samples_received == 30_000
    assert bench.channel().samples_missing == 0
    assert bench.ingest.sparkplug.breaks == 0


def test_a_lost_message_is_missing_where_the_times_say_so_and_nowhere_else() -> None:
    bench = Bench()
    bench.send(bench.node.birth(), bench.node.device_birth("fan", TYPES), bench.node.device_birth("pump", TYPES))
    for second in range(3):
        bench.second(second)
    pump = ("plant", "gateway", "pump", "x")
    for tenth in range(10):
        bench.now_s += 0.1
        t = T + 3 + tenth / 10
        lost = bench.node.data("fan", {"acceleration/x": block()}, t)
        bench.send(*([lost] if tenth != 5 else []), bench.node.data("pump", {"acceleration/x": block()}, t))
    bench.now_s += 3.0
    bench.ingest.release_overdue()
    assert bench.ingest.sparkplug.breaks == 1
    assert bench.channel().samples_missing == 100
    assert bench.channel(*pump).samples_missing == 0


def test_a_metric_without_times_has_a_hole_after_a_break() -> None:
    bench = Bench()
    bench.bear()

    def send() -> None:
        bench.now_s += 0.1
        bench.node.seq += 1
        one = metric(alias=bench.node.aliases["fan/acceleration/x"], value=block())
        bench.send((bench.node.topic("DDATA", "fan"), payload([one], bench.node.seq)))

    for _ in range(5):
        send()
    assert bench.channel().samples_missing == 0
    bench.node.seq += 1
    send()
    assert bench.channel().samples_missing == 100


def test_a_death_makes_channels_silent_at_once_and_samples_end_that() -> None:
    bench = Bench()
    bench.bear()
    bench.second(0)
    assert not bench.channel().away
    bench.send(bench.node.device_death("fan"))
    assert bench.channel().away
    bench.send(bench.node.device_birth("fan", TYPES))
    assert bench.channel().away
    bench.second(1)
    assert not bench.channel().away
    bench.send(bench.node.death())
    assert bench.channel().away


def test_a_death_reaches_channels_of_an_earlier_run() -> None:
    bench = Bench()
    channel = bench.ingest.adopt("spBv1.0/plant/DDATA/gateway/fan/acceleration/x", "x")
    assert channel is not None
    bench.send(bench.node.device_death("fan"))
    assert channel.away


def test_the_values_of_a_birth_are_no_samples() -> None:
    bench = Bench()
    one = metric("acceleration/x", block(), alias=1, datatype=FLOAT_ARRAY, t=T)
    bench.send((bench.node.topic("DBIRTH", "fan"), payload([one], 1)))
    assert not bench.ingest.channels


def test_a_bad_metric_costs_itself_only() -> None:
    bench = Bench()
    bench.bear()
    values: dict[str, Any] = {"acceleration/x": block(np.nan), "acceleration/raw": b"1234"}
    bench.send(bench.node.data("fan", values, T))
    assert bench.ingest.rejected == {Reason.NON_FINITE: 1}
    assert set(bench.ingest.channels) == {("plant", "gateway", "fan", "raw")}


def test_labels_and_channels_are_bounded() -> None:
    bench = Bench(channels=2)
    device = "fan-" + "x" * 200
    named = metric("acceleration/x", block(), datatype=FLOAT_ARRAY, t=T)
    bench.send((bench.node.topic("DDATA", device), payload([named])))
    bench.send((bench.node.topic("DDATA", "fan\nforged"), payload([named])))
    for number in range(3):
        bench.send((bench.node.topic("DDATA", f"fan-{number}"), payload([named])))
    assert bench.ingest.rejected == {Reason.WRONG_LABEL: 2, Reason.CHANNEL_LIMIT: 1}
    assert len(bench.ingest.channels) == 2


def test_retained_messages_and_other_topics_are_not_used() -> None:
    bench = Bench()
    topic, data = bench.node.birth()
    bench.ingest.deliver(topic, data, retained=True)
    bench.ingest.deliver("spBv1.0/plant/NCMD/gateway", data)
    bench.ingest.deliver("spBv1.0/plant/DDATA/gateway/fan/acceleration/x", data)
    assert bench.ingest.rejected == {Reason.RETAINED: 1, Reason.UNKNOWN_TOPIC: 2}
    bench.bear()
    bench.second(0)
    bench.ingest.deliver("spBv1.0/plant/DDATA/gateway/fan/acceleration/x", data)
    assert bench.ingest.rejected[Reason.UNKNOWN_TOPIC] == 3


def test_births_are_requested_once_if_configured() -> None:
    for rebirth in (True, False):
        bench = Bench(rebirth=rebirth)
        bench.node.aliases["fan/acceleration/x"] = 1
        for tenth in range(5):
            bench.send(bench.node.data("fan", {"acceleration/x": block()}, T + tenth / 10))
        requests = bench.ingest.sparkplug.requests(T)
        assert [topic for topic, _ in requests] == ["spBv1.0/plant/NCMD/gateway"] * rebirth
        assert bench.ingest.sparkplug.requests(T) == []
        assert bench.ingest.sparkplug.rebirths == int(rebirth)
        assert bench.ingest.rejected == {Reason.NO_BIRTH: 5}


def test_channels_and_births_survive_a_reload_that_leaves_their_sensor_alone() -> None:
    bench = Bench()
    bench.bear()
    bench.second(0)
    gone = bench.ingest.configure(bench.config, {"default": bench.rings})
    assert gone == []
    bench.second(1)
    assert (bench.channel().samples_received, bench.channel().samples_missing) == (2000, 0)
    other = Config.model_validate({"sensors": [SENSOR | {"topic": "a/{axis}", "payload": {"format": "float32"}}]})
    assert len(bench.ingest.configure(other, {"default": bench.rings})) == 1
    bench.send(bench.node.data("fan", {"acceleration/x": block()}, T + 2))
    assert bench.ingest.rejected == {Reason.UNKNOWN_TOPIC: 1}
