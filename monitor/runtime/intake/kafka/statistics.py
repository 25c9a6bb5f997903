"""librdkafka's report on itself: whether brokers answer, whether the group is joined, and how much is still to be read.

The report is a JSON document every second; it is the only place where librdkafka says that a broker is back.
"""

from collections.abc import Iterable

import msgspec

from monitor.runtime.intake.kafka.places import Place


class _Broker(msgspec.Struct):
    state: str
    nodeid: int


class _Partition(msgspec.Struct):
    app_offset: int
    next_offset: int
    hi_offset: int


class _Topic(msgspec.Struct):
    partitions: dict[str, _Partition]


class _Group(msgspec.Struct):
    join_state: str
    state: str = ""


class Statistics(msgspec.Struct):
    """The parts of a report that count here."""

    brokers: dict[str, _Broker] = {}
    topics: dict[str, _Topic] = {}
    cgrp: _Group | None = None

    @property
    def brokers_up(self) -> int:
        """Brokers to which there is a connection."""
        return sum(broker.state == "UP" and broker.nodeid >= 0 for broker in self.brokers.values())

    @property
    def in_group(self) -> bool:
        """Whether the group is joined and its partitions are known."""
        return self.cgrp is not None and self.cgrp.join_state == "steady"

    @property
    def without_partitions(self) -> bool:
        """Whether the coordinator answers and there are no partitions; with KIP-848, a member or not yet."""
        return self.cgrp is not None and (self.cgrp.state, self.cgrp.join_state) == ("up", "init")

    def lags(self, places: Iterable[Place]) -> dict[Place, int]:
        """Records that are there and were not handed on yet, of the partitions that have some."""
        lags: dict[Place, int] = {}
        for topic, number in places:
            found = self.topics.get(topic)
            partition = found and found.partitions.get(str(number))
            if partition and partition.hi_offset >= 0:
                read = partition.app_offset if partition.app_offset >= 0 else partition.next_offset
                if partition.hi_offset > read:
                    lags[topic, number] = partition.hi_offset - read
        return lags


def read_statistics(text: str) -> Statistics:
    """Read one report."""
    return msgspec.json.decode(text, type=Statistics)
