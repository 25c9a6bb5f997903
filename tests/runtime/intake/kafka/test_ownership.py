"""Where a partition is begun, and which channels come with it, without a cluster."""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any

import pytest

from monitor.errors import MonitorError
from monitor.runtime.intake.kafka import ownership
from monitor.runtime.intake.kafka.ownership import LIVE_S, Document
from monitor.runtime.intake.kafka.state_topic import Ignored, KeptState
from monitor.runtime.intake.source import Reached
from tests.runtime.intake.kafka.member import NOW_S, PLACE, Member, state, until


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
