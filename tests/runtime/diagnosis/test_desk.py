"""Who is looked at and when, with a process that answers at once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from monitor.bench.alone import bench_calibration
from monitor.config.sensors import Sensor
from monitor.core.diagnosis.diagnose import Diagnosis
from monitor.core.diagnosis.envelope import Lines
from monitor.core.diagnosis.figures import Figures
from monitor.core.diagnosis.naming import Finding
from monitor.core.diagnosis.together import Together
from monitor.core.scoring.alarm import State
from monitor.runtime.diagnosis import desk as module
from monitor.runtime.diagnosis import listening
from monitor.runtime.diagnosis.case import Case
from monitor.runtime.diagnosis.desk import MOST_ASKED, MOST_LISTENING, DiagnosisDesk
from monitor.runtime.diagnosis.messages import Answer, Look, Seen, Unable
from monitor.runtime.diagnosis.process import DiagnosisProcess
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.lane import Lane, LaneShape
from monitor.runtime.log.internal_errors import InternalErrors
from tests.support.servers import until

RATE = 1000
CHANNELS = 24
OUTER = ("outer race", "de")


class FakeProcess(DiagnosisProcess):
    """Answers at once, and remembers what it was asked."""

    pid = 1

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[Look] = []
        self.answer: Answer | None = None
        self.at_once = self.most = 0

    async def do(self, look: Look) -> Answer:
        self.looks.append(look)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        if self.answer is not None:
            return self.answer
        found = Diagnosis(look.name, Figures(1.0, 4.0, 3.0, 8.0), "m/s²")
        found.depths, found.shaft_hz = {OUTER: 0.4}, 24.8
        looks = 1 if look.before is None else look.before.looks + 1
        nothing = np.zeros((1, 9), np.float16)
        found.together = Together(looks, 10 * looks, 75.0, ((0.0, 500.0),), 1, nothing, nothing, None)
        found.lines = Lines(np.array([0]), np.array([3.6]), np.array([0.4]), np.zeros(1))
        if look.healthy is None or look.healthy.lines is None or not look.healthy.lines.order.size:
            found.faults = [Finding(*OUTER, 89.3, 3.6, 5, 1e-9, 0.4)]
        return Seen(found, None, None, None)


class Plant:
    """Channels whose samples never end, and a desk that runs over them."""

    def __init__(self, **machine: Any) -> None:
        self.lane = Lane(LaneShape("default", CHANNELS, 100, 25, 20))
        about = {
            "topic": "plant/{machine}",
            "payload": {"format": "float32"},
            "sampling_rate_hz": RATE,
            "machine": machine,
        }
        sensor = Sensor.model_validate(about)
        calibration = bench_calibration(100, RATE)
        self.channels: dict[tuple[str, ...], Channel] = {}
        for row in range(CHANNELS):
            made = Channel((f"m{row}", ""), f"plant/m{row}", sensor, "default", row, calibration=calibration)
            self.channels[made.labels] = made
        self.process = FakeProcess()
        self.named: list[tuple[str, list[str]]] = []
        self.desk = DiagnosisDesk(
            None, lambda: {"default": self.lane}, lambda: self.channels, time.time, self._name,
            InternalErrors(time.monotonic), self.process,
        )  # fmt: skip

    def _name(self, channel: Channel, case: Case) -> None:
        self.named.append((channel.name, [one.fault for one in case.named()]))

    def judge(self, row: int, state: State, score: float = 0.3) -> None:
        self.lane.board.alarm_state[row], self.lane.board.score[row] = state, score

    async def feed(self) -> None:
        samples = np.random.default_rng(0).normal(size=100).astype(np.float32)
        while True:
            for row in range(CHANNELS):
                self.lane.rings.append(row, samples, 1.0, 0.0)
            self.lane.rings.skip_backlog(0)
            await asyncio.sleep(0.005)


def told(plant: Plant, story: Callable[[Plant], Awaitable[None]]) -> None:
    async def main() -> None:
        tasks = [asyncio.create_task(plant.feed()), asyncio.create_task(plant.desk.run())]
        try:
            await story(plant)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            plant.desk.close()

    asyncio.run(main())


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCH_S", 0.02)
    monkeypatch.setattr(module, "HEALTHY_PAUSE_S", 0.02)
    monkeypatch.setattr(module, "SOON_S", 0.05)
    monkeypatch.setattr(module, "LATER_S", 0.5)
    monkeypatch.setattr(module, "RETRY_S", 0.05)
    monkeypatch.setattr(module, "HEALTHY_LOOKS", 2)
    monkeypatch.setattr(listening, "LISTEN_S", 1.0)
    monkeypatch.setattr(listening.Listening, "pause_s", property(lambda _: 0.01))


def test_a_channel_that_leaves_ok_is_looked_at_again_and_again_until_it_is_ok() -> None:
    async def story(plant: Plant) -> None:
        labels = ("m3", "")
        await asyncio.sleep(0.1)
        assert plant.process.looks == []
        plant.judge(3, State.WARNING)
        await until(lambda: labels in plant.desk.cases and plant.desk.cases[labels].looks >= 2)
        assert {look.name for look in plant.process.looks} == {"m3"}
        assert plant.named[0] == ("m3", ["outer race"])
        assert all(len(look.records[0]) >= RATE for look in plant.process.looks)
        plant.judge(3, State.OK)
        await until(lambda: not plant.desk.cases[labels].alarmed)
        looks = plant.desk.cases[labels].looks
        await asyncio.sleep(0.5)
        assert plant.desk.cases[labels].looks <= looks + 1
        # A new alarm is a new case.
        plant.judge(3, State.ALARM)
        await until(lambda: plant.desk.cases[labels].alarmed)
        assert plant.desk.cases[labels].looks == 0

    told(Plant(), story)


def test_the_looks_of_an_alarm_follow_each_other_and_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SOON_LOOKS", 4)
    monkeypatch.setattr(module, "LATER_S", 30.0)

    async def story(plant: Plant) -> None:
        plant.judge(3, State.ALARM)
        await until(lambda: len(plant.process.looks) == 4)
        before = [0 if look.before is None else look.before.looks for look in plant.process.looks]
        assert before == [0, 1, 2, 3]
        await asyncio.sleep(1.5)
        assert len(plant.process.looks) == 4, "later ones come ten minutes apart"
        # A new alarm begins anew.
        plant.judge(3, State.OK)
        await until(lambda: not plant.desk.cases["m3", ""].alarmed)
        plant.judge(3, State.ALARM)
        await until(lambda: len(plant.process.looks) > 4)
        assert plant.process.looks[4].before is None

    told(Plant(), story)


def test_a_plant_in_alarm_is_listened_to_a_few_at_a_time() -> None:
    async def story(plant: Plant) -> None:
        for row in range(CHANNELS):
            plant.judge(row, State.ALARM)
        await until(lambda: len({name for name, _ in plant.named}) == CHANNELS)
        assert plant.process.most <= MOST_LISTENING

    told(Plant(), story)


def test_healthy_channels_are_looked_at_once_and_compared_with() -> None:
    async def story(plant: Plant) -> None:
        for row in range(CHANNELS):
            plant.judge(row, State.OK)
        plant.judge(5, State.OK, score=1.2)
        plant.channels["m6", ""].provisional = True
        await until(lambda: len(plant.process.looks) >= 2 * (CHANNELS - 2), timeout_s=180)
        await asyncio.sleep(0.3)
        looked = [look.name for look in plant.process.looks]
        assert sorted(set(looked)) == sorted({f"m{row}" for row in range(CHANNELS)} - {"m5", "m6"})
        assert max(map(looked.count, looked)) == 2
        assert plant.named == []
        plant.judge(0, State.ALARM)
        await until(lambda: plant.named)
        assert plant.named[0] == ("m0", []), "it showed as much when it was healthy"
        assert plant.desk.cases["m0", ""].with_healthy

    told(Plant(speed_rpm=1488), story)


def test_what_cannot_be_diagnosed_says_why() -> None:
    async def story(plant: Plant) -> None:
        plant.process.answer = Unable("the process that diagnoses ended")
        plant.judge(0, State.ALARM)
        await until(lambda: plant.desk.cases.get(("m0", "")) and plant.desk.cases["m0", ""].problem)
        assert plant.desk.cases["m0", ""].reason == "the process that diagnoses ended"
        plant.process.answer = None
        await until(lambda: plant.named)
        assert plant.desk.cases["m0", ""].reason is None

    told(Plant(), story)


def test_somebody_may_ask_but_not_for_everything() -> None:
    async def story(plant: Plant) -> None:
        answers = [plant.desk.ask(labels) for labels in plant.channels]
        assert sum(case is not None for case in answers) == MOST_ASKED
        await until(lambda: sum(case.looks for case in plant.desk.cases.values()) == MOST_ASKED)
        assert plant.named == [], "only alarms are told"
        case = plant.desk.ask(("m0", ""))
        assert case is not None
        assert case.doing == "waiting"
        await until(lambda: case.looks == 2)
        del plant.channels["m0", ""]
        await until(lambda: ("m0", "") not in plant.desk.cases)

    told(Plant(), story)
