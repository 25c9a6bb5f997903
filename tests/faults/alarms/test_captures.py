"""Captures of alarms: what goes wrong with one costs that one, is counted and logged, and stops nothing."""

import asyncio
import json
import logging
import threading
from pathlib import Path

import numpy as np
import pytest

from monitor.config.configuration import Evidence
from monitor.config.sensors import Sensor
from monitor.core.samples.rings import Rings
from monitor.runtime.alarms.capture import EvidenceWriter, prune
from monitor.runtime.alarms.event import Capture
from monitor.runtime.alarms.in_words import Figures
from monitor.runtime.intake.channel import Channel
from tests.support.daemons import SENSOR
from tests.support.page.page_plant import EchoEngine

RATE = 1000


class Plant:
    """Channels that all have two seconds of samples, and a writer of captures."""

    def __init__(self, folder: Path) -> None:
        self.rings = Rings(1, 100, EchoEngine.block_samples)
        self.rings.append(0, np.sin(np.arange(2 * RATE)), 1.0, 0.0)
        self.writer = EvidenceWriter(Evidence(after=0), folder, asyncio.sleep)

    def capture(self, *channels: tuple[str, type[EchoEngine]]) -> None:
        """Capture alarms of these channels, whose forecasts come from these engines."""

        async def story() -> None:
            for name, engine in channels:
                figures = Figures(1.5, {"bands": 1.5}, (100.0, 150.0), 1.0, 3.5)
                capture = Capture(name, {"name": name}, 1.7e9, figures, RATE, "ab" * 32)
                channel = Channel((name,), "topic", Sensor.model_validate(SENSOR), "default", 0)
                self.writer.start(capture, self.rings, channel, engine, 10)
            await asyncio.gather(*self.writer._tasks)

        asyncio.run(story())


@pytest.mark.parametrize(
    "name",
    [r"$\frac{$", "$x$/$$/${", "fan\n2\x1b[31m\x00", "\u30d5\u30a1\u30f3\U0001f600", "\udc80lone", "a" * 5000],
    ids=["formula", "dollars", "control characters", "no glyph", "surrogate", "long"],
)
def test_a_channel_may_have_any_name(tmp_path: Path, name: str) -> None:
    plant = Plant(tmp_path)
    plant.capture((name, EchoEngine))
    assert (plant.writer.written, plant.writer.failures.total()) == (1, 0)
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".npz", ".png"]
    [about] = tmp_path.glob("*.json")
    assert json.loads(about.read_text())["channel"] == name


def test_an_unforeseen_error_is_counted_logged_and_costs_one_capture(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(EchoEngine):
        def __init__(self) -> None:
            raise ZeroDivisionError

    plant = Plant(tmp_path)
    with caplog.at_level(logging.WARNING):
        plant.capture(("broken", Broken), ("sound", EchoEngine))
    assert (plant.writer.written, plant.writer.failures.total()) == (1, 1)
    assert "ZeroDivisionError" in caplog.text
    assert "'broken'" in caplog.text


def test_a_file_that_somebody_deletes_meanwhile_is_no_error(tmp_path: Path) -> None:
    going = True

    def come_and_go() -> None:
        while going:
            for number in range(20):
                file = tmp_path / f"2020-01-{number:02d}.npz"
                file.write_bytes(b"x")
                file.unlink()

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(2000):
            prune(tmp_path, 10**9, 10**9, 0.0)
    finally:
        going = False
        other.join()
