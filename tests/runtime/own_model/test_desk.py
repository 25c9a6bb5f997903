"""What becomes of an own model when something fails: the model in use stays, and its channels learn."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from monitor.config.configuration import Config
from monitor.core.samples.rings import Rings
from monitor.errors import MonitorError
from monitor.model.own.samples import Samples
from monitor.model.own.state import OwnState, Phase, read_state, write_state
from monitor.runtime.baselines.store import Store
from monitor.runtime.intake.channel import Channel
from monitor.runtime.log.internal_errors import InternalErrors
from monitor.runtime.models_in_use import own_folder
from monitor.runtime.own_model import desk as module
from monitor.runtime.own_model import training
from monitor.runtime.own_model.desk import OwnModelDesk

SHA = "a" * 64
RATE_HZ = 1000


class Plant:
    """A desk with one channel in one lane, whose network has blocks of 10 samples and windows of 5."""

    def __init__(self, folder: Path) -> None:
        self.config = Config.model_validate(
            {
                "sensors": [
                    {"topic": "p/{machine}/{axis}", "payload": {"format": "float32"}, "sampling_rate_hz": RATE_HZ}
                ],
                "learning": {"enabled": True, "model": "own", "minimum": 20, "duration": 60, "settle": 0},
                "state_dir": folder,
            }
        )
        self.rings = Rings(1, 64, 10)
        shape = SimpleNamespace(window_blocks=5, block_samples=10)
        board = SimpleNamespace(refusal=np.zeros(1, np.int8))
        self.lanes: dict[str, Any] = {
            "default": SimpleNamespace(
                info=SimpleNamespace(sha256=SHA),
                key=SimpleNamespace(path=Path("/base")),
                lane=SimpleNamespace(shape=shape, rings=self.rings, board=board),
            )
        }
        self.channel = Channel(("fan", "x"), "p/fan/x", self.config.sensors[0], "default", 0)
        self.store: Any = Store(folder, lambda: 1000.0)
        self.folder = own_folder(folder, "default")
        self.configured, self.exchanges = 0, 0
        self.errors = InternalErrors(lambda: 0.0)
        self.refuses = False

    def desk(self) -> OwnModelDesk:
        made = OwnModelDesk(
            self.store, lambda: [self.channel], lambda _: None, self.configure, self.exchange, self.errors
        )
        made.configure(self.config, self.lanes)
        return made

    def configure(self, _: Channel) -> None:
        self.configured += 1

    async def exchange(self) -> None:
        self.exchanges += 1
        if self.refuses:
            raise MonitorError("its hash is wrong")

    def send(self, seconds: float) -> None:
        samples = np.random.default_rng(0).normal(size=int(seconds * RATE_HZ)).astype(np.float32)
        for first in range(0, samples.size, 100):
            self.rings._taken[0] = self.rings._complete[0]
            self.rings.append(0, samples[first : first + 100], 1.0, 0.0)
        self.channel.samples_received += samples.size
        self.channel.last_sample_s = 1e12


async def until(desk: OwnModelDesk, done: Callable[[], bool]) -> None:
    """Let the desk run until something is so."""
    running = asyncio.create_task(desk.run())
    try:
        async with asyncio.timeout(20):
            while not done():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def phase(plant: Plant) -> Phase | None:
    state = read_state(plant.folder)
    return None if state is None else state.phase


def trains(outcome: Callable[[Path], None] | None = None, why: str = "") -> Callable[[Path], Awaitable[str]]:
    async def train(folder: Path) -> str:
        if outcome is not None:
            outcome(folder)
        return why

    return train


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    monkeypatch.setattr(module, "unable", lambda _: "")
    return Plant(tmp_path)


def sampled(plant: Plant) -> None:
    state = OwnState(model="default", base="/base", base_sha256=SHA, phase=Phase.TRAINING)
    write_state(plant.folder, state)


def test_a_training_that_fails_three_times_is_given_up(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    sampled(plant)
    monkeypatch.setattr(training, "train", trains(why="killed by signal 9"))

    async def story() -> None:
        desk = plant.desk()
        assert desk.hold(plant.channel)
        assert plant.channel.learning is not None
        assert plant.channel.learning.phase == "training"
        await until(desk, lambda: plant.configured > 0)
        assert not desk.hold(plant.channel)
        (shown,) = desk.shown()
        assert shown.phase is Phase.FAILED

    asyncio.run(story())
    state = read_state(plant.folder)
    assert state is not None
    assert (state.phase, state.reason) == (Phase.FAILED, "killed by signal 9")
    assert plant.exchanges == 0
    # The next start does not try it again.
    assert not asyncio.run(_holds(plant))


async def _holds(plant: Plant) -> bool:
    return plant.desk().hold(plant.channel)


def test_a_model_that_cannot_be_loaded_is_given_up(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    sampled(plant)
    plant.refuses = True

    def outcome(folder: Path) -> None:
        state = read_state(folder)
        assert state is not None
        write_state(folder, state.model_copy(update={"phase": Phase.TAKEN, "sha256": "b" * 64}))

    monkeypatch.setattr(training, "train", trains(outcome))

    async def story() -> None:
        await until(plant.desk(), lambda: plant.configured > 0)

    asyncio.run(story())
    state = read_state(plant.folder)
    assert state is not None
    assert (state.phase, state.reason) == (Phase.FAILED, "it cannot be used: its hash is wrong")
    assert plant.exchanges == 1


def test_a_disk_that_is_full_for_a_while_costs_stretches_only(plant: Plant) -> None:
    plant.folder.mkdir(parents=True)
    (plant.folder / "samples").write_text("in the way")

    async def story() -> None:
        desk = plant.desk()
        (one,) = desk._models.values()

        def lost() -> bool:
            plant.send(0.5)
            return one.lost >= 3

        await until(desk, lost)
        assert desk.shown()[0].lost == one.lost
        (plant.folder / "samples").unlink()

        def written() -> bool:
            plant.send(0.2)
            return phase(plant) is Phase.TRAINING

        await until(desk, written)

    asyncio.run(story())
    assert 6 <= len(Samples(plant.folder).of(next(iter(Samples(plant.folder).abouts)), 100)) <= 96
    assert not plant.errors.counts


def test_channels_with_baselines_do_not_wait(plant: Plant) -> None:
    def baselines(sha256: str) -> Any:
        return SimpleNamespace(histories=[SimpleNamespace(baseline=SimpleNamespace(model_sha256=sha256))])

    assert asyncio.run(_holds(plant))
    plant.store = baselines("c" * 64)
    assert asyncio.run(_holds(plant))  # of another model: they learn anew in any case
    plant.store = baselines(SHA)
    assert not asyncio.run(_holds(plant))


def test_another_model_in_use_begins_anew(plant: Plant) -> None:
    declined = OwnState(model="default", base="/base", base_sha256=SHA, phase=Phase.DECLINED)
    write_state(plant.folder, declined)
    assert not asyncio.run(_holds(plant))
    plant.lanes["default"].info = SimpleNamespace(sha256="d" * 64)
    assert asyncio.run(_holds(plant))
