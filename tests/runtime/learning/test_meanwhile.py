"""What a person decides while a calibration is being made, which takes seconds, is not undone by it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from monitor.config.configuration import Config
from monitor.runtime.baselines.changes import Action, Wish
from monitor.runtime.baselines.history import History
from monitor.runtime.daemon import Daemon
from monitor.runtime.learning.messages import Calibrate, Open, Opened
from tests.support.channels.learner import MADE, RATE_HZ, Hear, StandIn, gathered, stand_ins
from tests.support.servers import free_port, until

FAN = {"machine": "fan", "axis": "x"}
HOUR, WEEK = 3600, 7 * 24 * 3600
"""In intervals."""


class Learner(StandIn):
    """Has a head of every channel, and makes calibrations when the test says so."""

    def __init__(self, folder: Path, hear: Hear) -> None:
        super().__init__(folder, hear)
        self.extends = False
        self.waiting: list[Calibrate] = []

    def opens(self, job: Open) -> None:
        self.extends = job.extend
        self.hear(Opened(job.number, MADE.head, 1.0, 0, (), ""))

    def fits(self, job: Calibrate) -> None:
        self.waiting.append(job)

    def finish(self) -> None:
        """The fit that is under way is done."""
        self.done(self.waiting.pop())


class Story:
    """A daemon with one channel that learns, and what a test does with it."""

    def __init__(self, daemon: Daemon, learner: Learner) -> None:
        self.daemon, self.learner = daemon, learner

    @property
    def history(self) -> History:
        found = self.daemon.baselines.store.history(FAN)
        assert found is not None
        return found

    async def fit_begins(self, seen: int) -> None:
        number = self.learner.opened[-1]
        await asyncio.to_thread(self.daemon.learning.gathered, gathered([number], seen))
        await until(lambda: bool(self.learner.waiting))

    async def fit_ends(self) -> None:
        self.learner.finish()
        await asyncio.sleep(0)
        await until(lambda: not self.daemon.learning._made.qsize())
        await asyncio.sleep(0.3)  # it is stored on a thread

    async def person(self, action: Action) -> None:
        wish = Wish.checked(channels=["fan/x"], by="anna", reason="new bearing")
        outcome = await self.daemon.baselines.change(action, wish)
        assert list(outcome.changed) == ["fan/x"]


def on_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, story: Callable[[Story], Awaitable[None]]) -> None:
    learners = stand_ins(monkeypatch, Learner)
    config = Config.model_validate(
        {
            "mqtt": {"url": f"mqtt://127.0.0.1:{free_port()}"},
            "sensors": [
                {"topic": "plant/{machine}/{axis}", "payload": {"format": "float32"}, "sampling_rate_hz": RATE_HZ}
            ],
            "limits": {"channels": 1},
            "http": {"listen": "127.0.0.1:0"},
            "learning": {"enabled": True, "minimum": "1h", "duration": "7d"},
            "scoring": {"interval": 1.0},
            "state_dir": tmp_path / "state",
        }
    )

    async def run() -> None:
        daemon = Daemon(config)
        await daemon.start()
        serving = asyncio.create_task(daemon.serve())
        try:
            daemon.ingest.deliver("plant/fan/x", bytes(400))
            await until(lambda: bool(learners and learners[0].opened))
            await story(Story(daemon, learners[0]))
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await daemon.close()

    asyncio.run(asyncio.wait_for(run(), 120))


def test_an_accepted_baseline_stays_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(plant: Story) -> None:
        await plant.fit_begins(2 * HOUR)
        await plant.fit_ends()
        assert (plant.history.current, plant.history.baseline and plant.history.baseline.provisional) == (1, True)
        await plant.fit_begins(5 * HOUR)
        await plant.person(Action.ACCEPT)
        await plant.fit_ends()
        assert (plant.history.current, plant.history.baseline and plant.history.baseline.provisional) == (1, False)
        assert plant.history.changes[-1].what == "accepted"
        [channel] = plant.daemon.ingest.channels.values()
        assert channel.learning is None
        assert not channel.provisional

    on_daemon(tmp_path, monkeypatch, story)


@pytest.mark.parametrize("action", [Action.LEARN, Action.ACCEPT])
def test_a_fit_that_ends_while_a_decision_is_on_its_way_from_the_disk_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: Action
) -> None:
    async def story(plant: Story) -> None:
        await plant.fit_begins(2 * HOUR)
        await plant.fit_ends()
        await plant.fit_begins(WEEK + 1)
        store, loop = plant.daemon.baselines.store, asyncio.get_running_loop()

        def slow(save: Callable[[History], History]) -> Callable[[History], History]:
            def saved(history: History) -> History:
                found = save(history)
                if history.changes[-1].by == "anna":
                    loop.call_soon_threadsafe(plant.learner.finish)
                    time.sleep(0.5)
                return found

            return saved

        monkeypatch.setattr(store, "_save", slow(store._save))
        await plant.person(action)
        await asyncio.sleep(0.5)
        assert plant.history.current == 1
        assert plant.history.changes[-1].by == "anna"
        if action is Action.LEARN:
            assert plant.history.request is not None
        else:
            assert plant.history.baseline is not None
            assert not plant.history.baseline.provisional

    on_daemon(tmp_path, monkeypatch, story)


def test_what_is_to_be_extended_is_extended_once_it_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(plant: Story) -> None:
        await plant.fit_begins(2 * HOUR)
        await plant.fit_ends()
        await plant.fit_begins(WEEK + 1)
        await plant.person(Action.EXTEND)
        await plant.fit_ends()
        assert (plant.history.current, plant.history.baseline and plant.history.baseline.provisional) == (2, False)
        assert plant.history.request is not None
        assert plant.history.request.what == "extend"
        await until(lambda: plant.learner.extends)

    on_daemon(tmp_path, monkeypatch, story)
