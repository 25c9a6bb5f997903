"""Clocks that are wrong: of a sensor, whose messages must go on being used, and of our own machine."""

import asyncio
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.config.file import read_config
from monitor.runtime.daemon import Daemon
from tests.support.daemons import RunningDaemon, configuration, running_daemon
from tests.support.servers import mosquitto, publish, wait_for

pytestmark = pytest.mark.system

NOW_S = 1.76e9
YEAR_S = 365 * 86400.0
SENSOR = "{topic: 'plant/{machine}/{axis}', payload: {format: json}, sampling_rate_hz: 1000}"
CONFIG = f"sensors: [{SENSOR}]\nlimits: {{buffer: 60s}}\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, RunningDaemon]]:
    """A broker's port, and a daemon that listens to it."""
    folder = tmp_path_factory.mktemp("time")
    with mosquitto(folder) as broker, running_daemon(folder, broker, CONFIG) as daemon:
        wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
        yield broker, daemon


def send(port: int, machine: str, messages: Iterable[dict[str, object]], samples: int = 100) -> None:
    """Publish messages of ``samples`` samples as fast as the broker takes them, and one more machine's at the end."""
    values = [0.01 * i for i in range(samples)]
    documents = [(f"plant/{machine}/x", json.dumps({"samples": values, **keys})) for keys in messages]
    publish(port, [*documents, (f"plant/after-{machine}/x", json.dumps([1.0]))])


def received(daemon: RunningDaemon, machine: str) -> float:
    """Samples of a machine, once everything that was sent has arrived."""
    wait_for(lambda: daemon.value("vibration_samples_received_total", machine=f"after-{machine}"), "the last message")
    return daemon.value("vibration_samples_received_total", machine=machine)


@pytest.mark.parametrize("wrong_s", [NOW_S + YEAR_S, NOW_S + 3600.0, 1.0])
def test_one_wrong_time_costs_one_message(running: tuple[int, RunningDaemon], wrong_s: float) -> None:
    port, daemon = running
    machine = f"wrong-{wrong_s:.0f}"
    send(port, machine, ({"t": wrong_s if i == 10 else NOW_S + 0.1 * i} for i in range(40)))
    assert received(daemon, machine) == 39 * 100
    assert daemon.value("vibration_samples_missing_total", machine=machine) == 100


@pytest.mark.parametrize("step_s", [-3600.0, -YEAR_S, 3600.0])
def test_a_sensors_clock_that_is_set_blinds_nothing(running: tuple[int, RunningDaemon], step_s: float) -> None:
    port, daemon = running
    machine = f"set-{step_s:.0f}"
    send(port, machine, ({"t": NOW_S + 0.1 * i + step_s * (i >= 10)} for i in range(40)))
    assert received(daemon, machine) == 40 * 100
    assert daemon.value("vibration_samples_missing_total", machine=machine) == 0
    assert daemon.value("vibration_clock_steps_total", machine=machine) == 1


@pytest.mark.parametrize("key", ["t", "seq"])
def test_a_clock_or_counter_that_stands_still_blinds_nothing(running: tuple[int, RunningDaemon], key: str) -> None:
    port, daemon = running
    send(port, f"still-{key}", ({key: 1760000000} for _ in range(80)))
    assert received(daemon, f"still-{key}") > 70 * 100
    scored = "vibration_blocks_scored_total"
    wait_for(lambda: daemon.value(scored, machine=f"still-{key}") > 40, "scored blocks")


def test_a_counter_of_8_bits_is_one_stream(running: tuple[int, RunningDaemon]) -> None:
    port, daemon = running
    send(port, "eight-bits", ({"seq": i % 256} for i in range(600)), samples=10)
    assert received(daemon, "eight-bits") == 6000
    blocks = "vibration_blocks_scored_total"
    wait_for(lambda: daemon.value(blocks, machine="eight-bits") == 60 - 25, "the blocks of one context")
    assert daemon.value("vibration_blocks_skipped_total", machine="eight-bits", reason="incomplete") == 0


def test_a_step_of_our_own_clock_leaves_ages_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, ahead_s = time.time, 86400.0
    monkeypatch.setattr(time, "time", lambda: real() + ahead_s)

    async def story() -> None:
        nonlocal ahead_s
        config = tmp_path / "config.yaml"
        config.write_text(configuration(1, 0, CONFIG))
        daemon = Daemon(read_config(config), config)
        await daemon.start()
        try:
            daemon.ingest.deliver("plant/fan/x", json.dumps([1.0] * 100).encode())
            for ahead_s in (86400.0, 0.0, -7200.0):
                page = daemon.metrics_page().decode()
                ages = {
                    sample.name: time.time() - sample.value
                    for family in text_string_to_metric_families(page)
                    for sample in family.samples
                    if sample.name.startswith("vibration_") and sample.name.endswith("timestamp_seconds")
                }
                assert ages.keys() >= {
                    "vibration_last_sample_timestamp_seconds",
                    "vibration_config_last_reload_success_timestamp_seconds",
                }
                assert all(-1.5 < age_s < 60 for age_s in ages.values()), (ahead_s, ages)
        finally:
            await daemon.close()

    asyncio.run(story())
