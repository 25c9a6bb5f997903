import numpy as np
import pytest

from monitor.config.configuration import Config
from monitor.core.messages.decode import Reason
from monitor.core.samples.condition_values import ConditionValues
from monitor.core.samples.rings import Rings
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.conditions import SWEEP_S, Conditions
from monitor.runtime.intake.ingest import Ingest

SPEED = {"topic": "plant/{machine}/speed", "payload": {"format": "number"}, "max_age": "30s"}
LOAD = {"topic": "plant/{machine}/{sensor}/state", "payload": {"format": "json", "key": "load"}, "max_age": "10s"}
SAMPLES = np.zeros(10, "<f4").tobytes()


def config(conditions: dict[str, object], channels: int = 16, *others: dict[str, object]) -> Config:
    sensor = {
        "topic": "plant/{machine}/{sensor}/{axis}/acceleration",
        "payload": {"format": "float32"},
        "sampling_rate_hz": 1000.0,
        "conditions": conditions,
    }
    return Config.model_validate({"sensors": [sensor, *others], "limits": {"channels": channels}})


class Bench:
    """An ingest with measured quantities, one lane, and a clock."""

    def __init__(self, conditions: dict[str, object], channels: int = 16) -> None:
        self.now_s = 100.0
        self.values = ConditionValues(channels)
        self.conditions = Conditions(lambda: self.now_s)
        self.rings = {"default": Rings(channels, 8, 10)}
        first = config(conditions, channels)
        self.conditions.configure(first, {"default": self.values}, ())
        self.ingest = Ingest(first, self.rings, self.conditions.join, lambda: self.now_s, conditions=self.conditions)

    def reload(self, again: Config) -> None:
        self.ingest.configure(again, self.rings)
        self.conditions.configure(again, {"default": self.values}, self.ingest.channels.values())

    def send(self, topic: str, payload: str) -> None:
        self.ingest.deliver(f"plant/{topic}", payload.encode())

    def channel(self, name: str) -> Channel:
        """The channel of this name, ``machine/sensor/axis``, which sends now."""
        self.ingest.deliver(f"plant/{name}/acceleration", SAMPLES)
        return self.ingest.channels[tuple(name.split("/"))]

    def known(self, name: str) -> dict[str, float]:
        """The values that a channel has now."""
        row = self.channel(name).row
        found = self.values.of(np.array([row]), self.now_s)[0].tolist()
        return {key: value for key, value in zip(self.values.names, found, strict=True) if not np.isnan(value)}


def test_a_value_belongs_to_all_channels_that_share_its_labels() -> None:
    bench = Bench({"speed_rpm": SPEED, "load": LOAD})
    for name in ("fan/de/x", "fan/de/y", "fan/nde/x", "pump/de/x"):
        bench.channel(name)
    bench.send("fan/speed", "1480")
    bench.send("fan/de/state", '{"load": 0.5, "door": "open"}')
    assert bench.known("fan/de/x") == {"speed_rpm": 1480.0, "load": 0.5}
    assert bench.known("fan/de/y") == {"speed_rpm": 1480.0, "load": 0.5}
    assert bench.known("fan/nde/x") == {"speed_rpm": 1480.0}
    assert bench.known("pump/de/x") == {}
    assert not bench.ingest.rejected


def test_a_value_that_is_too_old_is_unknown_until_the_next() -> None:
    bench = Bench({"speed_rpm": SPEED})
    bench.channel("fan/de/x")
    bench.send("fan/speed", "1480")
    bench.now_s += 30.0
    assert bench.known("fan/de/x") == {"speed_rpm": 1480.0}
    bench.now_s += 0.1
    assert bench.known("fan/de/x") == {}
    bench.send("fan/speed", "1200")
    assert bench.known("fan/de/x") == {"speed_rpm": 1200.0}


def test_a_value_waits_for_its_channels_and_gets_no_younger() -> None:
    bench = Bench({"speed_rpm": SPEED})
    bench.ingest.deliver("plant/fan/speed", b"1480", retained=True)
    bench.now_s += 20.0
    assert bench.known("fan/de/x") == {"speed_rpm": 1480.0}
    bench.now_s += 20.0
    assert bench.known("fan/de/y") == {}
    assert not bench.ingest.rejected


def test_two_quantities_of_one_message_and_one_of_all_machines() -> None:
    state = {"topic": "plant/{machine}/state", "max_age": "1m"}
    bench = Bench(
        {
            "speed_rpm": state | {"payload": {"format": "json", "key": "rpm"}},
            "load": state | {"payload": {"format": "json", "key": "load"}},
            "air_c": {"topic": "hall/temperature", "payload": {"format": "number"}},
        }
    )
    bench.channel("fan/de/x")
    bench.send("fan/state", '{"rpm": 900, "load": 0.25}')
    bench.ingest.deliver("hall/temperature", b"21")
    assert bench.known("fan/de/x") == {"speed_rpm": 900.0, "load": 0.25, "air_c": 21.0}
    # What a message lacks is counted once, and what it has is used.
    bench.send("fan/state", '{"load": 0.75}')
    assert bench.known("fan/de/x") == {"speed_rpm": 900.0, "load": 0.75, "air_c": 21.0}
    assert bench.ingest.rejected == {Reason.UNDECODABLE: 1}


def test_a_bad_value_is_counted_and_leaves_value_and_samples_alone() -> None:
    bench = Bench({"speed_rpm": SPEED})
    channel = bench.channel("fan/de/x")
    bench.send("fan/speed", "1480")
    for payload in ("", "fast", "NaN", "1" * 100):
        bench.send("fan/speed", payload)
    bench.send(f"{'x' * 129}/speed", "1")
    assert bench.ingest.rejected == {
        Reason.EMPTY: 1,
        Reason.UNDECODABLE: 1,
        Reason.NON_FINITE: 1,
        Reason.TOO_LARGE: 1,
        Reason.WRONG_LABEL: 1,
    }
    assert bench.known("fan/de/x") == {"speed_rpm": 1480.0}
    assert channel.hole_samples == 0
    assert channel.samples_missing == 0


def test_samples_that_are_retained_stay_rejected() -> None:
    bench = Bench({"speed_rpm": SPEED})
    bench.channel("fan/de/x")
    for name in ("fan/de/x", "pump/de/x"):
        bench.ingest.deliver(f"plant/{name}/acceleration", SAMPLES, retained=True)
    assert bench.ingest.rejected == {Reason.RETAINED: 2}


def test_values_of_machines_without_channels_take_bounded_memory() -> None:
    bench = Bench({"speed_rpm": SPEED}, channels=4)
    bench.channel("fan/de/x")
    for number in range(10_000):
        bench.send(f"machine-{number}/speed", "1")
    assert bench.ingest.rejected == {Reason.CHANNEL_LIMIT: 10_000 - 4}
    bench.send("fan/speed", "1480")
    assert bench.known("fan/de/x") == {"speed_rpm": 1480.0}
    assert bench.known("machine-3/de/x") == {"speed_rpm": 1.0}
    # Those that are too old make room.
    bench.send("other/speed", "1")
    bench.send("pump/speed", "2")
    assert bench.ingest.rejected == {Reason.CHANNEL_LIMIT: 10_000 - 4 + 1}
    bench.now_s += 30.0 + SWEEP_S
    bench.send("pump/speed", "2")
    assert bench.known("pump/de/x") == {"speed_rpm": 2.0}
    (source,) = bench.conditions._sources.values()
    assert len(source.waiting) <= 4
    assert len(bench.conditions._topics) <= 4096


def test_a_channel_that_is_forgotten_leaves_no_value_in_its_row() -> None:
    bench = Bench({"speed_rpm": SPEED})
    fan = bench.channel("fan/de/x")
    bench.send("fan/speed", "1480")
    bench.ingest.forget(fan)
    bench.conditions.leave(fan)
    pump = bench.channel("pump/de/x")
    assert pump.row == fan.row
    assert bench.known("pump/de/x") == {}
    bench.send("fan/speed", "1490")
    assert bench.known("pump/de/x") == {}
    assert bench.known("fan/de/x") == {"speed_rpm": 1490.0}  # it has waited for the channel


def test_a_reload_keeps_channels_and_the_values_of_entries_that_stay() -> None:
    bench = Bench({"speed_rpm": SPEED, "load": LOAD})
    fan = bench.channel("fan/de/x")
    bench.send("fan/speed", "1480")
    bench.send("fan/de/state", '{"load": 0.5}')
    torque = {"topic": "plant/{machine}/torque", "payload": {"format": "number"}}
    bench.reload(config({"torque": torque, "speed_rpm": SPEED}))
    assert bench.ingest.channels["fan", "de", "x"] is fan
    assert bench.known("fan/de/x") == {"speed_rpm": 1480.0}
    bench.send("fan/torque", "7")
    bench.send("fan/de/state", '{"load": 0.75}')
    assert bench.known("fan/de/x") == {"speed_rpm": 1480.0, "torque": 7.0}
    assert bench.known("fan/de/y") == {"speed_rpm": 1480.0, "torque": 7.0}
    assert bench.ingest.rejected == {Reason.UNKNOWN_TOPIC: 1}
    bench.reload(config({}))
    assert bench.known("fan/de/x") == {}
    bench.reload(config({"speed_rpm": SPEED | {"max_age": "1h"}}))
    bench.send("fan/speed", "1200")
    assert bench.known("fan/de/x") == {"speed_rpm": 1200.0}


def test_a_reload_that_renames_labels_joins_anew() -> None:
    bench = Bench({"speed_rpm": SPEED})
    bench.channel("fan/de/x")
    bench.send("fan/speed", "1480")
    other = {
        "topic": "gateway/{gateway}/raw",
        "payload": {"format": "float32"},
        "sampling_rate_hz": 1000.0,
        "labels": {"machine": "fan"},
        "conditions": {"speed_rpm": SPEED},
    }
    bench.reload(config({"speed_rpm": SPEED}, 16, other))
    bench.ingest.deliver("gateway/one/raw", SAMPLES)
    gateway = next(channel for channel in bench.ingest.channels.values() if channel.topic == "gateway/one/raw")
    assert bench.values.of(np.array([gateway.row]), bench.now_s).tolist() == [[1480.0]]


@pytest.mark.parametrize("channels", [1, 1000])
def test_a_value_is_one_assignment_however_many_channels_have_it(
    channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench({"speed_rpm": SPEED}, channels=1000)
    for number in range(channels):
        bench.channel(f"fan/{number}/x")
    written: list[int] = []
    write = ConditionValues.write

    def counted(values: ConditionValues, column: int, rows: object, value: float, until_s: float) -> None:
        written.append(len(rows))  # type: ignore[arg-type]
        write(values, column, rows, value, until_s)  # type: ignore[arg-type]

    monkeypatch.setattr(ConditionValues, "write", counted)
    bench.send("fan/speed", "1480")
    assert written == [channels]
    rows = np.array([channel.row for channel in bench.ingest.channels.values()])
    assert (bench.values.of(rows, bench.now_s) == 1480.0).all()


def test_a_reload_while_a_topic_has_no_route() -> None:
    bench = Bench({"speed_rpm": SPEED})
    document = {"topic": "gateway/{machine}", "payload": {"format": "json"}, "sampling_rate_hz": 1000.0}
    bench.reload(config({}, 16, document))
    bench.ingest.deliver("gateway/fan", b'{"samples": {"x": [1], "y": [1]}}')
    gone = bench.ingest.channels["fan", "", "y"]
    bench.ingest.forget(gone)
    bench.conditions.leave(gone)
    bench.reload(config({}, 16, document | {"conditions": {"speed_rpm": SPEED}}))
    bench.send("fan/speed", "1480")
    stays = bench.ingest.channels["fan", "", "x"]
    assert bench.values.of(np.array([stays.row]), bench.now_s).tolist() == [[1480.0]]
    assert list(stays.sensor.conditions) == ["speed_rpm"]
