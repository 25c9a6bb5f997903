"""The rate at which samples arrive: measured over a minute without a break, and told where it is wrong."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from monitor.config.configuration import Config
from monitor.core.samples.rings import Rings
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.intake.rates import RateWatch

MESSAGE = np.zeros(100, np.float32).tobytes()
TOPIC = "plant/fan/x"


@dataclass
class Plant:
    """One sensor that is said to send 1000 samples a second, and what is told of it."""

    now_s: float = 1000.0
    told: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        sensor = {"topic": "plant/{machine}/{axis}", "payload": {"format": "float32"}, "sampling_rate_hz": 1000.0}
        config = Config.model_validate({"sensors": [sensor], "limits": {"channels": 2}})
        self.rings = Rings(2, 64, 10)
        self.ingest = Ingest(config, {"default": self.rings}, lambda _: None, lambda: self.now_s)
        self.watch = RateWatch(
            self.ingest.channels.values, lambda: 0.05, lambda channel: self.told.append(channel.wrong_rate)
        )

    def send(self, seconds: float, period_s: float, burst: int = 1) -> None:
        """A message of 0.1 s (``burst`` of them) every ``period_s``, looked at as the daemon does."""
        end_s = self.now_s + seconds
        look_s = self.now_s
        while self.now_s < end_s:
            for _ in range(burst):
                self.ingest.deliver(TOPIC, MESSAGE)
            self.rings._taken[:] = self.rings._complete
            self.now_s += period_s
            if self.now_s >= look_s:
                self.watch.look()
                look_s = self.now_s + 5.0

    @property
    def channel(self) -> Channel:
        return self.ingest.channels["fan", "x"]


@pytest.mark.parametrize("factor", [0.5, 0.9, 0.97, 1.0, 1.03, 1.1, 2.0])
def test_a_rate_is_measured_within_a_minute(factor: float) -> None:
    plant = Plant()
    plant.send(75, 0.1 / factor)
    assert plant.channel.rate_hz == pytest.approx(1000 * factor, rel=1e-3)
    assert plant.channel.wrong_rate == (abs(factor - 1) > 0.05)
    assert plant.told == [True] * plant.channel.wrong_rate


def test_a_sensor_that_is_set_right_is_scored_again() -> None:
    plant = Plant()
    plant.send(75, 0.05)
    plant.send(75, 0.1)
    assert plant.told == [True, False]


def test_bursts_with_pauses_have_no_rate() -> None:
    plant = Plant()
    plant.send(600, 10.0)
    plant.send(600, 2.0, burst=5)
    assert np.isnan(plant.channel.rate_hz)
    assert not plant.told


@pytest.mark.parametrize("stall_s", [0.8, 5.0, 40.0])
def test_what_a_stalled_connection_delivers_late_is_no_other_rate(stall_s: float) -> None:
    plant = Plant()
    plant.send(63, 0.1)
    plant.now_s += stall_s
    plant.send(3.0, 3.0 / (10 * stall_s + 30))
    plant.send(200, 0.1)
    assert not plant.told
    assert plant.channel.rate_hz == pytest.approx(1000, rel=1e-3)


def test_everything_twice_is_twice_the_rate() -> None:
    plant = Plant()
    plant.send(75, 0.1, burst=2)
    assert plant.told == [True]
