"""Which intervals are written: those of present channels, none that another daemon has, no more than fit."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from monitor.config.file import parse_config
from monitor.config.kafka import Kafka
from monitor.config.sensors import Payload, Sensor
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.kafka import stream_writer
from monitor.runtime.intake.kafka.source import KafkaState
from monitor.runtime.intake.kafka.stream_writer import Reason, StreamWriter
from monitor.runtime.lanes.closed import CLOSED, Closed
from monitor.runtime.log.internal_errors import InternalErrors
from monitor.runtime.scores import desk as desk_module
from monitor.runtime.scores.desk import PIECE, ScoreDesk
from monitor.runtime.wall_clock import WallClock

TEXT = (
    "kafka: {bootstrap: '127.0.0.1:9', scores_topic: scores, client_id: hall-3}\n"
    "sensors: [{topic: 'plant/{machine}/{axis}', payload: {format: float32}, sampling_rate_hz: 12000}]\n"
)
SENSOR = Sensor(topic="plant/{machine}/{axis}", payload=Payload(format="float32"), sampling_rate_hz=12000)


class Noted(StreamWriter):
    """Notes what it would write."""

    def __init__(self) -> None:
        super().__init__(Kafka(client_id="hall-3"), "scores", Counter())
        self.noted: list[tuple[bytes, dict[str, Any], int]] = []

    def write(self, key: bytes, value: bytes, at_ms: int) -> None:
        self.noted.append((key, json.loads(value), at_ms))


class Desk:
    """A desk beside one lane, with channels in rows that the test chooses."""

    def __init__(self) -> None:
        self.orders: list[bool] = []
        self.inference: Any = _Inference(self.orders)
        self.channels: dict[int, Channel] = {}
        """By row."""
        self.state = KafkaState(generation=4)
        self.writer = Noted()
        clock = WallClock(lambda: 5000.0, lambda: 1000.0)
        of_rows = {"default": self.channels}.__getitem__
        self.desk = ScoreDesk(lambda: self.state, of_rows, clock, InternalErrors(float))
        self.configure(TEXT)

    def configure(self, text: str) -> None:
        self.desk.configure(parse_config(text, SimpleNamespace(parent="")), {"default": self.inference})  # type: ignore[arg-type]

    def join(self, machine: str, row: int) -> None:
        self.channels[row] = Channel((machine, "x"), f"plant/{machine}/x", SENSOR, "default", row)

    def close(self, rows: Sequence[int], clears: int = 1, inference: Any = None) -> None:
        intervals = np.zeros(len(rows), CLOSED)
        intervals["row"], intervals["clears"], intervals["ended_s"] = rows, clears, 900.1254
        intervals["end_sample"] = np.arange(len(rows))
        self.desk.closed(inference or self.inference, Closed(intervals))

    def write(self) -> list[tuple[bytes, dict[str, Any], int]]:
        while self.desk._waiting:
            self.desk._write(self.writer, self.desk._waiting.popleft())
        return self.writer.noted


class _Inference:
    def __init__(self, orders: list[bool]) -> None:
        self.lane = SimpleNamespace(name="default")
        self.clears = np.ones(20_000, np.int64)
        self._orders = orders

    def report(self, wanted: bool) -> None:
        self._orders.append(wanted)


def test_a_record_has_the_channel_as_key_and_the_time_of_its_last_sample() -> None:
    plant = Desk()
    plant.join("fan/1", 3)
    plant.close([3])
    plant.state.generation = 5  # the interval was scored before
    [(key, document, at_ms)] = plant.write()
    assert key == b"fan_1/x"
    assert document["labels"] == {"machine": "fan/1", "axis": "x"}
    assert (document["writer"], document["generation"]) == ("hall-3", 4)
    assert at_ms == 4_900_125
    assert document["time"] == "1970-01-01T01:21:40.125+00:00"


def test_intervals_of_channels_that_are_gone_are_left_out() -> None:
    plant = Desk()
    plant.join("fan", 3)
    plant.join("pump", 4)
    plant.join("lift", 6)
    plant.close([3, 4, 5, 6])  # nobody has row 5
    plant.inference.clears[4] = 2
    plant.join("mill", 4)  # another daemon has the pump
    plant.close([4])  # scored for the one that had the row before
    plant.close([4], clears=2)
    plant.join("fan", 3)  # another daemon had it, and it came back
    assert [document["channel"] for _, document, _ in plant.write()] == ["lift/x", "mill/x"]
    assert plant.desk._waiting_count == 0
    plant.close([3], inference=_Inference([]))  # of a lane that a reload replaced
    assert len(plant.write()) == 2


@pytest.mark.parametrize("blocking", [True, False])
def test_whoever_waits_finds_written_what_workers_have_said(blocking: bool) -> None:
    plant = Desk()
    plant.join("fan", 3)
    plant.desk._writer = plant.writer
    intervals = np.zeros(1, CLOSED)
    intervals["row"], intervals["clears"] = 3, 1
    plant.desk.heard(plant.inference, Closed(intervals))
    assert plant.writer.noted == []
    if blocking:
        plant.desk.settle()
    else:
        asyncio.run(plant.desk.settled())
    assert [document["channel"] for _, document, _ in plant.writer.noted] == ["fan/x"]


def test_lanes_are_told_only_what_changes() -> None:
    plant = Desk()
    plant.configure(TEXT)
    assert plant.orders == [True]
    plant.join("fan", 3)
    plant.configure(TEXT.replace("scores_topic: scores, ", ""))
    assert plant.orders == [True, False]
    plant.close([3])  # it was on its way
    assert plant.write() == []
    assert plant.desk.written is None


def test_more_than_fits_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "MOST_WAITING", 1000)
    plant = Desk()
    for row in range(700):
        plant.join(f"fan-{row}", row)
    plant.close(range(700))
    plant.close(range(700))
    assert plant.desk.dropped == {Reason.QUEUE_FULL: 700}
    assert max(len(piece.channels) for piece in plant.desk._waiting) == PIECE
    assert [document["end_sample"] for _, document, _ in plant.write()] == list(range(700))
    plant.close(range(700))
    assert len(plant.write()) == 1400


def test_a_queue_that_is_full_costs_the_newest_and_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_writer, "QUEUE_RECORDS", 3)
    dropped: Counter[Reason] = Counter()
    writer = StreamWriter(Kafka(bootstrap="127.0.0.1:9"), "scores", dropped)

    async def story() -> None:
        assert await writer.open()
        for number in range(5):
            writer.write(b"fan/x", b"%d" % number, 1000)
        assert dropped == {Reason.QUEUE_FULL: 2}
        assert writer.written == 0
        await writer.close(0.01)

    asyncio.run(story())
    assert dropped == {Reason.QUEUE_FULL: 2, Reason.REFUSED: 3}
    assert writer.written == 0


def test_whoever_waits_for_answers_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "SETTLED_S", 0.1)
    plant = Desk()
    writer = StreamWriter(Kafka(bootstrap="127.0.0.1:9"), "scores", Counter())
    plant.desk._writer = writer

    async def story() -> None:
        assert await writer.open()
        writer.write(b"fan/x", b"1", 1000)
        assert not writer.is_answered(writer.handed)
        await plant.desk.settled()
        plant.desk.settle()
        await writer.close(0.01)
        assert writer.is_answered(writer.handed)

    asyncio.run(story())
