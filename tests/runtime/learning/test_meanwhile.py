"""What a person decides while a calibration is being made, which takes seconds, is not undone by it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.bench.alone import bench_calibration
from monitor.config.configuration import Config
from monitor.core.learning.gather import LEFT_OUT, Gathered
from monitor.core.scoring.calibration.conditions import MOST_QUANTITIES
from monitor.runtime.baselines.changes import Action, Wish
from monitor.runtime.baselines.history import History
from monitor.runtime.daemon import Daemon
from monitor.runtime.learning import desk
from monitor.runtime.learning.messages import Answer, Calibrate, Calibrated, Job, Open, Opened
from tests.support.servers import free_port, until

RATE_HZ = 12_800.0
MADE = bench_calibration(100, RATE_HZ)
FAN = {"machine": "fan", "axis": "x"}
HOUR, WEEK = 3600, 7 * 24 * 3600
"""In intervals."""


class Learner:
    """In the place of the process: has a head of every channel, and makes calibrations when the test says so."""

    def __init__(self, _folder: Path, hear: Callable[[Answer | None], object]) -> None:
        self.hear = hear
        self.opened: list[int] = []
        self.extends = False
        self.fits: list[Calibrate] = []
        self.process = self

    def send(self, job: Job) -> bool:
        if isinstance(job, Open):
            self.opened.append(job.number)
            self.extends = job.extend
            self.hear(Opened(job.number, MADE.head, 1.0, 0, (), ""))
        if isinstance(job, Calibrate):
            self.fits.append(job)
        return True

    def done(self) -> None:
        """The fit that is under way is done."""
        job = self.fits.pop()
        made = replace(MADE, interval_blocks=job.interval_blocks, warmup_blocks=job.warmup_blocks)
        self.hear(Calibrated(job.number, made, 0.0, 1.0, np.zeros(7), moving=False, aside=()))

    def poll(self) -> int:
        return 1

    def stop(self) -> None:
        pass


def gathered(number: int, seen: int) -> Gathered:
    """What a worker hands over about one channel."""
    one = np.array([number])
    return Gathered(
        one,
        np.array([seen]),
        np.zeros(1),
        np.zeros((1, 28), np.float32),
        np.full((1, MOST_QUANTITIES), np.nan, np.float32),
        one,
        np.array([seen]),
        np.full(1, fill_value=True),
        np.full((1, len(LEFT_OUT)), 3),
        np.full(1, fill_value=False),
        np.zeros(1, np.int64),
        np.zeros(1),
    )


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
        await asyncio.to_thread(self.daemon.learning.gathered, gathered(number, seen))
        await until(lambda: bool(self.learner.fits))

    async def fit_ends(self) -> None:
        self.learner.done()
        await asyncio.sleep(0)
        await until(lambda: not self.daemon.learning._made.qsize())
        await asyncio.sleep(0.3)  # it is stored on a thread

    async def person(self, action: Action) -> None:
        wish = Wish.checked(channels=["fan/x"], by="anna", reason="new bearing")
        outcome = await self.daemon.baselines.change(action, wish)
        assert list(outcome.changed) == ["fan/x"]


def on_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, story: Callable[[Story], Awaitable[None]]) -> None:
    learners: list[Learner] = []

    def start(folder: Path, hear: Callable[[Answer | None], object]) -> Learner:
        learners.append(Learner(folder, hear))
        return learners[-1]

    monkeypatch.setattr(desk, "LearnerProcess", start)
    monkeypatch.setattr(desk, "PERIOD_S", 0.05)
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
                    loop.call_soon_threadsafe(plant.learner.done)
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
