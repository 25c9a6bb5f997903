"""What is sampled for a plant's own model: evenly, of running machines only, within bounds, over restarts."""

from pathlib import Path

import numpy as np
import pytest

from monitor.config.configuration import Learning
from monitor.config.sensors import Sensor
from monitor.core.arrays import Float32
from monitor.core.samples.rings import Rings
from monitor.core.scoring.plausibility import Refusal, code
from monitor.model.own import samples as files
from monitor.model.own.samples import MOST_STRETCHES, Samples
from monitor.runtime.intake.channel import Channel
from monitor.runtime.own_model import sampler as module
from monitor.runtime.own_model.sampler import Sampler, plausible

RATE_HZ = 1000.0
STRETCH = 500
SETTINGS = Learning(enabled=True, minimum=100, duration=3600, settle=10, model="own")
SENSOR = Sensor.model_validate(
    {"topic": "plant/{machine}/{axis}", "payload": {"format": "float32"}, "sampling_rate_hz": RATE_HZ, "unit": "m/s2"}
)


class Plant:
    """Channels whose samples come a second at a time, and what is sampled of them."""

    def __init__(self, folder: Path, channels: int = 1) -> None:
        self.rings = Rings(channels, 64, 10)
        self.channels = [
            (Channel((f"fan-{row}", "x"), f"plant/fan-{row}/x", SENSOR, "default", row), f"fan-{row}")
            for row in range(channels)
        ]
        self.refusal = np.zeros(channels, np.int8)
        self.rng = np.random.default_rng(1)
        self.restart(folder)

    def restart(self, folder: Path) -> None:
        self.sampler = Sampler(Samples(folder), STRETCH)

    def run(self, seconds: int, rms: float = 1.0, offset: float = 0.0) -> int:
        """Let samples come, and look once a second; returns how many stretches were taken."""
        count = 0
        for _ in range(seconds):
            for channel, _ in self.channels:
                samples = (offset + rms * self.rng.normal(size=int(RATE_HZ))).astype(np.float32)
                self.rings._taken[channel.row] = self.rings._complete[channel.row]
                for part in np.array_split(samples, 4):
                    self.rings._taken[channel.row] = self.rings._complete[channel.row]
                    self.rings.append(channel.row, part, 1.0, 0.0)
                channel.samples_received += samples.size
            for taken in self.sampler.look(self.channels, self.rings, self.refusal, SETTINGS, 1.0):
                self.sampler.samples.append(taken.slug, taken.samples, taken.before)
                count += 1
        return count

    @property
    def present(self) -> list[str]:
        return [slug for _, slug in self.channels]

    def done(self) -> bool:
        return self.sampler.done(self.present, SETTINGS)

    def stretches(self, number: int = 0) -> Float32:
        return self.sampler.samples.of(f"fan-{number}", STRETCH)


def test_the_first_hour_is_sampled_evenly_after_settling(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    assert plant.run(9) == 0  # it settles
    for _ in range(4):
        assert 20 <= plant.run(25) <= 26
        assert not plant.done()
    plant.run(3)
    assert plant.done()
    assert len(plant.stretches()) <= MOST_STRETCHES
    assert plant.sampler.progress(SETTINGS) == 1.0


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.run(60)
    before = len(plant.stretches())
    plant.sampler.samples.save(plant.sampler.samples.index())
    plant.restart(tmp_path)
    assert plant.run(20) <= 21
    assert before + 15 <= len(plant.stretches()) <= before + 21
    assert not plant.done()
    plant.run(40)
    assert plant.done()


def test_only_measurements_of_a_running_machine_count(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.run(30)
    for channel, _ in plant.channels:
        channel.wrong_rate = True
    assert plant.run(10) == 0
    plant.channels[0][0].wrong_rate = False
    plant.refusal[:] = code(Refusal.IMPLAUSIBLE_LEVEL)
    assert plant.run(10) == 0
    plant.refusal[:] = 0
    before = plant.sampler.progress(SETTINGS)
    assert plant.run(10, rms=0.01) <= 1  # it stands; a stretch may begin before
    assert plant.run(10, rms=0.0, offset=9.81) == 0  # a dead sensor
    assert plant.sampler.progress(SETTINGS) - before < 0.05
    assert plant.run(10) >= 8


def test_a_machine_that_stood_at_first_begins_again_when_it_runs(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.run(60, rms=0.01)
    plant.run(2, rms=5.0)  # a shock
    plant.run(10, rms=0.01)
    assert len(plant.stretches()) > 40
    plant.run(20)
    assert len(plant.stretches()) < 20
    assert plant.stretches().std(axis=1).min() > 0.5
    assert plant.sampler.progress(SETTINGS) < 0.3


def test_gaps_are_not_bridged(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.run(20)
    row = plant.channels[0][0].row
    for _ in range(40):  # bursts that are shorter than a stretch
        plant.rings.start_context(row, plant.rings.next_sample(row) + 50)
        plant.rings._taken[row] = plant.rings._complete[row]
        plant.rings.append(row, np.ones(300, np.float32), 1.0, 0.0)
        plant.channels[0][0].samples_received += 300
        assert plant.sampler.look(plant.channels, plant.rings, plant.refusal, SETTINGS, 1.0) == []


def test_the_plant_stays_within_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PLANT_BYTES", 4 * STRETCH * 45)
    monkeypatch.setattr(module, "PLANT_BYTES", 4 * STRETCH * 45)
    plant = Plant(tmp_path, 4)
    plant.run(112)
    assert [len(plant.stretches(number)) for number in range(4)] == [11, 11, 11, 11]
    crowd = Plant(tmp_path / "crowd", 12)  # six stretches each would be too much: the first channels are sampled
    crowd.run(112)
    assert [len(crowd.stretches(number)) for number in range(12)] == [6] * 7 + [0] * 5
    size = sum(path.stat().st_size for path in (tmp_path / "crowd").rglob("*.npy"))
    assert size <= 4 * STRETCH * 45 + 12 * 128
    assert crowd.done()


def test_who_does_not_run_is_not_waited_for_forever(tmp_path: Path) -> None:
    plant = Plant(tmp_path, 2)
    plant.channels[1][0].wrong_rate = True
    plant.run(115)
    assert plant.done() is True or plant.sampler.progress(SETTINGS) < 1.0
    plant.run(330)
    assert plant.done()
    nobody = Plant(tmp_path / "nobody")
    nobody.run(300, rms=0.0)
    assert not nobody.done()
    nobody.run(145, rms=0.0)
    assert nobody.done()  # the training then says that there is nothing to train on
    assert nobody.sampler.samples.bytes == 0


def test_another_rate_begins_anew(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.run(60)
    plant.sampler.samples.save(plant.sampler.samples.index())
    channel, slug = plant.channels[0]
    plant.channels = [
        (Channel(channel.labels, channel.topic, SENSOR.model_copy(update={"scale": 2.0}), "default", 0), slug)
    ]
    plant.restart(tmp_path)
    plant.run(14)
    assert 1 <= len(plant.stretches()) <= 6


def test_plausible() -> None:
    noise = np.random.default_rng(0).normal(size=STRETCH).astype(np.float32)
    assert plausible(noise)
    assert not plausible(np.clip(noise, -0.5, 0.5))
    assert not plausible(np.where(noise > 2, np.nan, noise).astype(np.float32))
    assert not plausible(noise * np.float32(1e4))
    assert not plausible(np.full(STRETCH, 9.81, np.float32))
