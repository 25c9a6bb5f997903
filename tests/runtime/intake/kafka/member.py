"""A member of a consumer group that gets one partition, without a cluster."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from typing import Any

from confluent_kafka import TopicPartition

from monitor.config.kafka import Kafka
from monitor.errors import MonitorError
from monitor.runtime.intake.kafka.ownership import Document, Ownership
from monitor.runtime.intake.kafka.positions import Position
from monitor.runtime.intake.kafka.records import Records
from monitor.runtime.intake.kafka.state_topic import Belonging, KeptState, Kind, StateTopic, key_of
from tests.runtime.intake.kafka.test_source import Channels

PLACE = ("v", 3)
SETTINGS = Kafka(topic="v", state_topic="s")
NOW_S = 1000.0


def state(
    name: str,
    offset: int,
    *,
    axis: str = "x",
    read: int = 90,
    age_s: float = 0.0,
    generation: int = 4,
    value: bytes = b"1",
) -> dict[str, KeptState]:
    position = Position(*PLACE, offset, 10 * offset, read, 10 * read, f"plant/{name}", NOW_S - age_s)
    return {f"{name}/{axis}": KeptState(generation, position, value)}


async def until(condition: Callable[[], bool], limit_s: float = 5.0) -> None:
    """Let other tasks go on until a condition holds; raises TimeoutError if it does not."""
    async with asyncio.timeout(limit_s):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)


class Topic(StateTopic):
    """A state topic that is read to its end."""

    def __init__(self, latest: dict[str, KeptState]) -> None:
        super().__init__(SETTINGS, "s")
        self.latest = latest
        self.told: list[tuple[str, bytes, int]] = []
        self.sent: list[tuple[str, Position, bytes, int]] = []
        self.reads = True
        self.flushed = False

    async def caught_up(self) -> None:
        if not self.reads:
            await asyncio.sleep(3600)

    def write(self, key: str, position: Position, value: bytes, generation: int) -> None:
        self.sent.append((key, position, value, generation))

    def write_belonging(self, name: str, kind: Kind, mark: str, value: bytes, generation: int) -> None:
        self.belongings[key_of(name, kind)] = generation, mark
        self.told.append((name, value, generation))

    def flush(self, timeout_s: float) -> None:
        assert timeout_s > 0
        self.flushed = True


class Taking:
    """Notes the channels that it is given; a state of the bytes ``gone`` is of one that is forgotten."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bool]] = []
        self.kept: list[Document] = []
        self.known: list[Belonging] = []
        self.files: list[Belonging] = []
        self.came: list[bytes] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def take(self, value: bytes, position: Position, *, rewinds: bool) -> float | None:
        if value == b"damaged":
            raise ValueError("its checksum is wrong")
        self.taken.append((position.sensor, rewinds))
        self.meanwhile()
        return None if value == b"gone" else 0.5 * rewinds

    def follow(self, latest: Callable[[str], KeptState | None]) -> None:
        assert latest("nobody") is None

    def attend(self) -> None:
        assert self.taken == []

    def baselines(self, topics: Collection[str]) -> list[Belonging]:
        return [each for each in self.known if each.topic in topics]

    def learning(self, topics: Collection[str]) -> Iterator[Belonging]:
        return (each for topic in topics for each in self.files if each.topic == topic)

    def keep(self, kind: Kind, value: bytes) -> None:
        assert kind is Kind.BASELINE
        if value == b"damaged":
            raise MonitorError("it is not a baseline")
        self.came.append(value)

    async def documents(self, topics: Collection[str]) -> list[Document]:
        return self.documents_now(topics)

    def documents_now(self, topics: Collection[str]) -> list[Document]:
        return [each for each in self.kept if each.topic in topics]


class Cluster:
    """Stands for a consumer."""

    def __init__(self, committed: int, low: int) -> None:
        self.answer = committed, low
        self.done: list[tuple[str, Any]] = []

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.done.append(("assign", len(partitions)))

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.done.append(("pause", len(partitions)))

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.done.append(("resume", len(partitions)))

    def seek(self, partition: TopicPartition) -> None:
        self.done.append(("seek", partition.offset))

    def committed(self, asked: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        assert timeout > 0
        return [TopicPartition(each.topic, each.partition, self.answer[0]) for each in asked]

    def get_watermark_offsets(self, asked: TopicPartition, timeout: float) -> tuple[int, int]:
        assert (asked.topic, asked.partition) == PLACE
        assert timeout > 0
        return self.answer[1], 100


class Member:
    """A member of the group that gets one partition."""

    def __init__(self, *states: dict[str, KeptState], committed: int = 80, low: int = 0) -> None:
        self.topic = Topic({key: kept for each in states for key, kept in each.items()})
        self.taking, self.channels, self.cluster = Taking(), Channels(), Cluster(committed, low)
        self.records = Records(SETTINGS, self.channels, lambda _: None)
        self.ownership = Ownership(SETTINGS, self.topic, self.taking, self.channels, self.records)

    def gets(self, generation: int = 5, limit_s: float = 5.0) -> None:
        """Get the partition, until it is begun."""

        async def story() -> None:
            cluster: Any = self.cluster
            self.ownership.hold(cluster, [TopicPartition(*PLACE)], generation)
            assert self.records.held == {PLACE}
            task = asyncio.create_task(self.ownership.serve(cluster))
            await until(lambda: not self.records.held, limit_s)
            task.cancel()

        asyncio.run(story())

    @property
    def begins(self) -> tuple[int | None, dict[str, int]]:
        """Where the partition is read from, and each topic."""
        sought = [value for what, value in self.cluster.done if what == "seek"]
        assert self.cluster.done[-1] == ("resume", 1)
        return (sought[0] if sought else None), dict(self.records.positions[PLACE].starts)
