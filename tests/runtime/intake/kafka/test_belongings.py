"""What belongs to channels beside their state: when it is written, and that it is kept, without a cluster."""

import asyncio
import time
from itertools import pairwise

import pytest

from monitor.runtime.intake.kafka.ownership import LEARNING_S, MOST_AT_A_TIME, WRITE_S
from monitor.runtime.intake.kafka.state_topic import Belonging, Came, Ignored, Kind
from tests.runtime.intake.kafka.member import PLACE, Member, state


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
