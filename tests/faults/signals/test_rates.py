"""Samples that come twice, or at another rate than the configured one, must not look like a fault of the machine."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.bench.alone import bench_calibration
from monitor.config.file import read_config
from monitor.model.artefact.artefact import load_artefact
from monitor.model.calibration_file import save_calibrations
from monitor.runtime.daemon import Daemon
from monitor.shipped import shipped
from tests.support.commands import invoke
from tests.support.daemons import configuration

RATE_HZ = 12000
MESSAGE_SAMPLES = 600


def test_two_patterns_for_one_topic_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    sensors = ("plant/{machine}/acceleration", "plant/fan-1/{quantity}")
    text = [f"{{topic: '{topic}', payload: {{format: int16}}, sampling_rate_hz: 1000}}" for topic in sensors]
    file.write_text(f"sensors: [{', '.join(text)}]\n")
    result = invoke("check-config", file)
    assert result.exit_code == 2 or getattr(result.exception, "exit_code", 0) == 2
    told = result.output + str(result.exception)
    for part in (*sensors, "sensors[0]", "sensors[1]", "'plant/fan-1/acceleration'"):
        assert part in told


class Feed:
    """Delivers noise to a daemon at a pace that may change, until it is told to end."""

    def __init__(self, daemon: Daemon) -> None:
        self.speed = 1.0
        self._daemon = daemon
        self._noise = np.random.default_rng(1).normal(size=MESSAGE_SAMPLES).astype("<f4").tobytes()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            self._daemon.ingest.deliver("plant/fan/x", self._noise)
            due_s += MESSAGE_SAMPLES / RATE_HZ / self.speed
            await asyncio.sleep(max(0.0, due_s - loop.time()))


def figures(daemon: Daemon) -> dict[str, float]:
    """The series of the page by name, with the reason where there is one."""
    return {
        f"{sample.name} {sample.labels.get('reason', '')}".strip(): sample.value
        for family in text_string_to_metric_families(daemon.metrics_page().decode())
        for sample in family.samples
    }


async def until(daemon: Daemon, name: str, low: float, high: float = np.inf) -> None:
    """Wait until a series lies between two values."""
    try:
        async with asyncio.timeout(20):
            while not low <= figures(daemon).get(name, np.nan) <= high:  # noqa: ASYNC110 - a page has no event
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"waited in vain for {name}; it is {figures(daemon).get(name)}")


def daemon_with_calibration(folder: Path, scoring: str) -> Daemon:
    artefact = load_artefact(shipped("models/demo"))
    calibration = folder / "fan.calibration"
    noise = bench_calibration(100, RATE_HZ)
    save_calibrations(calibration, {"": noise}, model_sha256=artefact.sha256, channel="fan", made={})
    sensor = (
        f"{{topic: 'plant/{{machine}}/{{axis}}', payload: {{format: float32}}, sampling_rate_hz: {RATE_HZ}, "
        f"calibration: '{calibration}'}}"
    )
    file = folder / "config.yaml"
    text = f"models: {{default: models/demo}}\nsensors: [{sensor}]\nlimits: {{channels: 2}}\n{scoring}"
    file.write_text(configuration(1, 0, text))
    return Daemon(read_config(file), file)


@contextlib.asynccontextmanager
async def fed(daemon: Daemon, speed: float = 1.0) -> AsyncIterator[Feed]:
    """A daemon that runs, measures over seconds instead of a minute, and gets samples."""
    await daemon.start()
    rates = getattr(daemon, "_rates", None)
    if rates is not None:
        rates.half_s, rates.period_s = 1.0, 0.1
    feed = Feed(daemon)
    feed.speed = speed
    tasks = [asyncio.create_task(daemon.serve()), asyncio.create_task(feed.run())]
    try:
        yield feed
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await daemon.close()


@pytest.mark.system
def test_another_rate_is_measured_and_not_scored(tmp_path: Path) -> None:
    async def story() -> None:
        daemon = daemon_with_calibration(tmp_path, "")
        async with fed(daemon) as feed:
            await until(daemon, "vibration_sampling_rate_measured_hertz", 0.95 * RATE_HZ, 1.05 * RATE_HZ)
            await until(daemon, "vibration_anomaly_score", 0)
            await until(daemon, "vibration_alarm_state", 2)
            state = figures(daemon)["vibration_alarm_state"]
            feed.speed = 2.0
            await until(daemon, "vibration_sampling_rate_measured_hertz", 1.9 * RATE_HZ, 2.1 * RATE_HZ)
            await until(daemon, "vibration_blocks_skipped_total wrong_rate", 1)
            page = figures(daemon)
            assert "vibration_anomaly_score" not in page
            assert page["vibration_alarm_state"] == state, "the alarm state is the machine's and stays"
            feed.speed = 1.0
            await until(daemon, "vibration_anomaly_score", 0)

    asyncio.run(story())


@pytest.mark.system
def test_a_tolerance_lets_a_faster_replay_pass(tmp_path: Path) -> None:
    async def story() -> None:
        daemon = daemon_with_calibration(tmp_path, "scoring: {rate_tolerance: 2}\n")
        async with fed(daemon, 2.0):
            await until(daemon, "vibration_sampling_rate_measured_hertz", 1.9 * RATE_HZ, 2.1 * RATE_HZ)
            await until(daemon, "vibration_anomaly_score", 0)
            assert "vibration_blocks_skipped_total wrong_rate" not in figures(daemon)

    asyncio.run(story())
