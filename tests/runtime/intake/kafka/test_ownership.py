"""Where a partition is begun, and which channels come with it, without a cluster."""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Iterator
from itertools import pairwise
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from monitor.config.kafka import Kafka
from monitor.errors import MonitorError
from monitor.runtime.intake.kafka import ownership
from monitor.runtime.intake.kafka.ownership import LEARNING_S, LIVE_S, MOST_AT_A_TIME, WRITE_S, Document, Ownership
from monitor.runtime.intake.kafka.positions import Position
from monitor.runtime.intake.kafka.records import Records
from monitor.runtime.intake.kafka.state_topic import Belonging, Came, Ignored, KeptState, Kind, StateTopic, key_of
from monitor.runtime.intake.source import Reached
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


def test_a_partition_is_held_back_and_read_from_the_warm_up_of_its_channels() -> None:
    member = Member(state("fan", 60), state("pump", 50))
    member.gets()
    assert member.cluster.done[:2] == [("assign", 1), ("pause", 1)]
    assert member.begins == (50, {"plant/fan": 60, "plant/pump": 50})
    assert member.taking.taken == [("plant/fan", True), ("plant/pump", True)]
    assert member.ownership.replayed_s == 1.0
    assert member.records.keys == {"plant/fan": PLACE, "plant/pump": PLACE}


@pytest.mark.parametrize(
    ("states", "committed", "low", "expected"),
    [
        ([], -1, 0, (None, {})),  # as the group's rule says
        ([], 80, 0, (80, {})),
        ([], 80, 85, (85, {})),  # what was committed is deleted by now
        ([state("fan", 60)], -1, 0, (60, {"plant/fan": 60})),
        ([state("fan", 60)], 40, 0, (40, {"plant/fan": 60})),  # channels without a state are read from there
        # One that has been silent does not make all others be read again.
        (
            [state("fan", 60), state("pump", 2, read=7, age_s=2 * LIVE_S)],
            80,
            0,
            (60, {"plant/fan": 60, "plant/pump": 8}),
        ),
        # What it would begin with is deleted: it begins anew behind what was read.
        ([state("fan", 10)], 80, 20, (80, {"plant/fan": 91})),
        # Axes of one sensor that were saved at different times cannot be read again together.
        ([state("fan", 60), state("fan", 62, axis="y", read=95)], 80, 0, (80, {"plant/fan": 96})),
        ([state("fan", 60, value=b"gone")], 80, 0, (80, {})),
    ],
)
def test_where_it_begins(
    states: list[dict[str, KeptState]], committed: int, low: int, expected: tuple[int | None, dict[str, int]]
) -> None:
    member = Member(*states, committed=committed, low=low)
    member.gets()
    assert member.begins == expected


def test_a_damaged_state_is_counted_and_costs_its_channel_only() -> None:
    member = Member(state("fan", 60, value=b"damaged"), state("pump", 70))
    member.gets()
    assert member.begins == (70, {"plant/pump": 70})
    assert member.topic.ignored == {Ignored.UNREADABLE: 1}


def test_without_an_answer_of_the_state_topic_channels_begin_anew(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ownership, "HELD_S", 0.05)
    member = Member()
    member.topic.reads = False
    member.gets()
    assert member.begins == (80, {})
    assert "the state topic cannot be read, channels that come begin anew: topic=s partitions=1" in caplog.text


def test_states_of_another_version_hold_the_channels_back(caplog: pytest.LogCaptureFixture) -> None:
    member = Member(state("fan", 60))
    member.topic._foreign["pump/x"] = "99"
    with pytest.raises(TimeoutError):
        member.gets(limit_s=0.1)
    assert member.taking.taken == []
    assert "channels that come wait: kafka.state_topic s holds the state of 'pump/x' in version 99" in caplog.text


def document(at: int, event: str = "") -> Document:
    return Document("fan/x", "plant/fan", "x", at, 100, NOW_S, (at, event), lambda: b"%d" % at)


def read_on(member: Member) -> None:
    """The channel sends 1000 samples in each of the next records."""
    for i in range(30):
        reached = Reached(1000, {"x": 1000 * (i + 1)}, waits=False)
        member.ownership._positions.note("plant/fan", PLACE, 100 + i, reached)


@pytest.mark.parametrize(("generation", "before", "own"), [(5, 4, 5), (2, 40, 43), (-1, -1, 0)])
def test_a_state_is_written_once_with_the_generation_of_its_writer(generation: int, before: int, own: int) -> None:
    """A group that was deleted begins its generations anew; ours are then above those that are there."""
    member = Member(state("fan", 60, generation=before))
    member.gets(generation)
    read_on(member)
    member.taking.kept = [document(20_000)]
    for _ in range(2):
        member.ownership.give_up([PLACE, ("v", 9)])
    [(key, position, value, wrote)] = member.topic.sent
    assert (key, position.offset, position.sample, value, wrote) == ("fan/x", 118, 18_000, b"20000", own)
    assert member.topic.flushed
    member.taking.kept = [document(20_000, "an alarm")]
    member.ownership.give_up([PLACE])
    assert len(member.topic.sent) == 2


def test_who_lost_a_partition_writes_nothing_of_it() -> None:
    member = Member(state("fan", 60))
    member.gets()
    read_on(member)
    member.taking.kept = [document(20_000)]
    member.ownership.lose([PLACE])
    member.ownership.give_up([PLACE])
    assert member.topic.sent == []


def test_a_partition_that_goes_while_its_channels_come_is_let_go_of() -> None:
    member = Member(state("fan", 60), state("pump", 50))
    member.taking.meanwhile = lambda: member.ownership.lose([PLACE])
    member.gets()
    assert member.taking.taken == [("plant/fan", True)]
    assert PLACE not in member.records.positions
    assert ("resume", 1) not in member.cluster.done


@pytest.mark.parametrize("known", [True, False])
def test_a_channel_of_an_earlier_run_is_created_anew_with_its_state(known: bool) -> None:
    member = Member(state("fan", 60))
    if known:  # the file with the partitions of an earlier run need not be there
        member.records.keys["plant/fan"] = PLACE
    member.gets()
    assert member.channels.left == ["plant/fan"]


def test_a_worker_that_does_not_answer_costs_the_writing_only(caplog: pytest.LogCaptureFixture) -> None:
    member = Member(state("fan", 60))
    member.gets()

    def silent(_: Collection[str]) -> list[Document]:
        raise TimeoutError

    member.taking.documents_now = silent  # type: ignore[method-assign, assignment]
    member.ownership.give_up([PLACE])
    assert "states not written before partitions go" in caplog.text


def test_changes_are_written_while_the_partition_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "WRITE_S", 0.01)
    member = Member(state("fan", 60))
    member.gets()
    read_on(member)
    member.taking.kept = [document(20_000)]

    async def nothing() -> None:
        """There is no producer."""

    member.topic.prepare = nothing  # type: ignore[method-assign]

    async def story(writing: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(writing)
        await until(lambda: len(member.topic.sent) == 1)
        member.taking.kept = [document(25_000)]
        await until(lambda: len(member.topic.sent) == 2)
        task.cancel()

    asyncio.run(story(member.ownership.write()))
    assert [each[2] for each in member.topic.sent] == [b"20000", b"25000"]


def test_a_cluster_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "RETRY_S", 0.001)
    member = Member(state("fan", 60))
    answers = [MonitorError("no positions of the group"), {PLACE: (80, 0)}]

    def committed(*_: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, MonitorError):
            raise answer
        return answer

    monkeypatch.setattr(ownership, "_committed", committed)
    member.gets()
    assert member.begins == (60, {"plant/fan": 60})


def test_baselines_are_written_once_by_who_has_the_channel_some_at_a_time() -> None:
    member = Member(state("fan", 60))
    member.gets(7)
    member.records.keys["plant/pump"] = ("v", 9)

    def known(mark: str) -> list[Belonging]:
        ours = [
            Belonging(Kind.BASELINE, f"fan/{i}", "plant/fan", mark, lambda: b"calibration")
            for i in range(MOST_AT_A_TIME + 5)
        ]
        return [*ours, Belonging(Kind.BASELINE, "pump/x", "plant/pump", mark, lambda: b"calibration")]

    member.taking.known = known("a")
    member.topic.belongings["fan/0 baseline"] = 3, "a"  # it came from the worker before
    for count in (MOST_AT_A_TIME, MOST_AT_A_TIME + 4, MOST_AT_A_TIME + 4):
        member.ownership._send_belongings(member.ownership._generations, MOST_AT_A_TIME)
        assert len(member.topic.told) == count
    names = {f"fan/{i}" for i in range(1, MOST_AT_A_TIME + 1)}
    assert set(member.topic.told[:MOST_AT_A_TIME]) == {(name, b"calibration", 7) for name in names}
    member.taking.known = known("b")
    member.ownership.give_up([PLACE])
    assert len(member.topic.told) == 2 * MOST_AT_A_TIME + 9


def test_baselines_of_others_are_kept_and_a_damaged_one_costs_itself_only() -> None:
    member = Member()

    async def story() -> None:
        task = asyncio.create_task(member.ownership.keep())
        for value in (b"first", b"damaged", b"second"):
            member.topic.came.put_nowait(Came(Kind.BASELINE, "fan/x baseline", value))
        async with asyncio.timeout(5):
            await member.topic.came.join()
        task.cancel()

    asyncio.run(story())
    assert member.taking.came == [b"first", b"second"]
    assert member.topic.ignored == {Ignored.UNREADABLE: 1}


def test_what_channels_learn_from_is_written_when_it_changed_ever_more_rarely_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    member = Member(state("fan", 60))
    member.gets(7)
    now_s, mark = [1000.0], [""]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    written: list[float] = []

    def turn() -> None:
        member.taking.files = [Belonging(Kind.LEARNING, "fan/x", "plant/fan", mark[0], mark[0].encode)]
        member.ownership._send_belongings(member.ownership._generations, MOST_AT_A_TIME)
        if len(member.topic.told) > len(written):
            written.append(now_s[0])
        now_s[0] += WRITE_S

    for i in range(400):
        mark[0] = str(i)
        turn()
    assert member.topic.told[0] == ("fan/x", b"0", 7)
    pauses = [later - earlier for earlier, later in pairwise(written)]
    assert pauses[:4] == [3.0, 6.0, 12.0, 24.0]
    assert pauses[-1] == LEARNING_S
    count = len(written)
    for _ in range(400):
        turn()
    assert len(written) == count + 1, "what did not change is not written"
    mark[0] = "last"
    turn()
    assert len(written) == count + 1
    member.ownership.give_up([PLACE])
    assert member.topic.told[-1] == ("fan/x", b"last", 7)


def test_files_take_turns_so_that_a_large_plant_is_not_written_at_once() -> None:
    member = Member(state("fan", 60))
    member.gets(7)
    names = [f"plant/{i}" for i in range(3 * MOST_AT_A_TIME)]
    member.records.keys |= dict.fromkeys(names, PLACE)
    member.taking.files = [Belonging(Kind.LEARNING, name, name, "a", lambda: b"file") for name in names]
    for turns in (1, 2, 3, 3):
        member.ownership._send_belongings(member.ownership._generations, MOST_AT_A_TIME)
        assert len({name for name, _, _ in member.topic.told}) == turns * MOST_AT_A_TIME
