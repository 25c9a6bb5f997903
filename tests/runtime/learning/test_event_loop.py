"""Thousands of channels that learn never hold up the event loop: each callback takes little processor time.

The daemon is real; only the process that fits answers at once. Callbacks of other parts are not looked at here: a save
of the state, a look of the page, and the HTTP server's start.
"""

import asyncio
import json
from pathlib import Path

import pytest

from monitor.config.configuration import Config
from monitor.runtime.baselines.changes import Action, Wish
from monitor.runtime.daemon import Daemon
from monitor.runtime.learning.messages import Calibrate, Open, Opened
from tests.support.channels.learner import MADE, RATE_HZ, StandIn, gathered, stand_ins
from tests.support.event_loop.loop_times import Second, described, timed
from tests.support.servers import free_port, get, until

CHANNELS = 3000
"""Three times what is promised, so that what grows with the number of channels shows on any machine."""

MOST_MS = 10.0
"""What is promised for a thousand."""

PARTS = ("LearningDesk", "BaselineDesk", "Baselines")
"""Words in the names of callbacks that belong to learning."""

SENSOR = {"topic": "plant/{machine}/{axis}", "payload": {"format": "float32"}, "sampling_rate_hz": RATE_HZ}


class Learner(StandIn):
    """Answers at once; every second channel has a head already."""

    def opens(self, job: Open) -> None:
        self.hear(Opened(job.number, MADE.head if job.number % 2 else None, 1.0, 0, (), ""))

    def fits(self, job: Calibrate) -> None:
        self.done(job)


def test_no_callback_of_learning_is_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learners = stand_ins(monkeypatch, Learner)
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
