"""An ingest with one lane, a clock that a test sets, and messages for it."""

import json
from dataclasses import dataclass, field

from monitor.config.configuration import Config
from monitor.core.samples.rings import Rings
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.ingest import Ingest


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Bench:
    """An ingest with one lane and everything it told."""

    config: Config
    clock: Clock = field(default_factory=Clock)
    told: list[Channel] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rings = Rings(self.config.limits.channels, 64, 10)
        self.ingest = Ingest(self.config, {"default": self.rings}, self.told.append, self.clock)

    def channel(self, *labels: str) -> Channel:
        return self.ingest.channels[labels]


def config(channels: int = 4, **sensor: object) -> Config:
    keys = {"topic": "plant/{machine}/{axis}", "payload": {"format": "json"}, "sampling_rate_hz": 1000.0} | sensor
    return Config.model_validate({"sensors": [keys], "limits": {"channels": channels}})


def message(count: int = 20, **keys: object) -> bytes:
    return json.dumps({"samples": list(range(count)), **keys}).encode()
