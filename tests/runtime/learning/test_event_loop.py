"""Thousands of channels that learn never hold up the event loop: each callback takes little processor time.

The daemon is real; only the process that fits answers at once. Callbacks of other parts are not looked at here: a save
of the state, a look of the page, and the HTTP server's start.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.bench.alone import bench_calibration
from monitor.config.configuration import Config
from monitor.core.learning.gather import LEFT_OUT, Gathered
from monitor.core.scoring.calibration.conditions import MOST_QUANTITIES
from monitor.runtime.baselines.changes import Action, Wish
from monitor.runtime.daemon import Daemon
from monitor.runtime.learning import desk
from monitor.runtime.learning.messages import Answer, Calibrate, Calibrated, Job, Open, Opened
from tests.support.event_loop.loop_times import Second, described, timed
from tests.support.servers import free_port, get, until

CHANNELS = 3000
"""Three times what is promised, so that what grows with the number of channels shows on any machine."""

MOST_MS = 10.0
"""What is promised for a thousand."""

PARTS = ("LearningDesk", "BaselineDesk", "Baselines")
"""Words in the names of callbacks that belong to learning."""

RATE_HZ = 12_800.0
MADE = bench_calibration(100, RATE_HZ)
SENSOR = {"topic": "plant/{machine}/{axis}", "payload": {"format": "float32"}, "sampling_rate_hz": RATE_HZ}


class Learner:
    """Answers at once in the place of the process; every second channel has a head already."""

    opened: list[int]
    """Numbers of what was taken up."""

    def __init__(self, _folder: Path, hear: Callable[[Answer | None], object]) -> None:
        self.hear = hear
        self.opened = []
        self.process = self

    def send(self, job: Job) -> bool:
        if isinstance(job, Open):
            self.opened.append(job.number)
            self.hear(Opened(job.number, MADE.head if job.number % 2 else None, 1.0, 0, (), ""))
        if isinstance(job, Calibrate):
            made = replace(MADE, interval_blocks=job.interval_blocks, warmup_blocks=job.warmup_blocks)
            self.hear(Calibrated(job.number, made, 0.0, 1.0, np.zeros(7), moving=False, aside=()))
        return True

    def poll(self) -> int:
        return 1

    def stop(self) -> None:
        pass


def gathered(numbers: list[int], seen: int) -> Gathered:
    """What a worker hands over about these channels."""
    count = len(numbers)
    each = np.array(numbers)
    return Gathered(
        each,
        np.full(count, seen),
        np.full(count, 0.0),
        np.zeros((count, 28), np.float32),
        np.full((count, MOST_QUANTITIES), np.nan, np.float32),
        each,
        np.full(count, seen),
        np.full(count, fill_value=True),
        np.full((count, len(LEFT_OUT)), 3),
        np.full(count, fill_value=False),
        np.zeros(count, np.int64),
        np.zeros(count),
    )


def test_no_callback_of_learning_is_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learners: list[Learner] = []

    def start(folder: Path, hear: Callable[[Answer | None], object]) -> Learner:
        learners.append(Learner(folder, hear))
        return learners[-1]

    monkeypatch.setattr(desk, "LearnerProcess", start)
    monkeypatch.setattr(desk, "PERIOD_S", 0.05)
    seconds: list[Second] = []

    async def story() -> None:
        daemon = Daemon(
            Config.model_validate(
                {
                    "mqtt": {"url": f"mqtt://127.0.0.1:{free_port()}"},
                    "sensors": [SENSOR],
                    "limits": {"channels": CHANNELS, "buffer": 0.1},
                    "http": {"listen": "127.0.0.1:0"},
                    "learning": {"enabled": True},
                    "scoring": {"interval": 1.0},
                    "state_dir": tmp_path / "state",
                }
            )
        )
        await daemon.start()
        serving = asyncio.create_task(daemon.serve())
        try:
            for number in range(CHANNELS):
                daemon.ingest.deliver(f"plant/m{number}/x", bytes(400))
            channels = daemon.ingest.channels
            await until(lambda: len(learners[0].opened) == CHANNELS)
            numbers = learners[0].opened.copy()
            for seen in range(1, 4):
                await asyncio.to_thread(daemon.learning.gathered, gathered(numbers, seen))
                await until(lambda: all(c.learning and c.learning.learned_s >= seen for c in channels.values()))  # noqa: B023
            # The first ones have seen enough, are calibrated, and their baselines are stored.
            enough = [number for number in numbers[:40] if number % 2]
            await asyncio.to_thread(daemon.learning.gathered, gathered(enough, 100_000))
            await until(lambda: sum(c.calibration is not None for c in channels.values()) == len(enough))
            # The learner ends by itself: every channel is taken up again.
            learners[0].hear(None)
            await until(lambda: len(learners) == 2 and set(learners[1].opened) == set(numbers))
            listing = await asyncio.to_thread(get, f"{daemon.address}/api/v1/baselines")
            assert len(json.loads(listing)["channels"]) == CHANNELS
            wish = Wish.checked(channels=["m1?/x"], by="anna", reason="new bearing")
            assert len((await daemon.baselines.change(Action.LEARN, wish)).changed) == 10
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await daemon.close()

    with timed(seconds.append):
        asyncio.run(story())
    took = [(name, ms) for second in seconds for name, ms in second.long]
    long = [(name, ms) for name, ms in took if any(part in name for part in PARTS) and ms > MOST_MS]
    assert not long, described(seconds, 20)
    # What learning does was timed, and what is slow would be seen.
    assert sum(sum(second.count) for second in seconds) > 1000
    assert any("Daemon.start" in name for name, _ in took)
