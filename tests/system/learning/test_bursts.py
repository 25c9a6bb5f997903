"""A sensor with a battery: a channel learns from bursts over a real mosquitto. Real bursts, sent faster."""

import json
import signal
import time
from collections.abc import Iterator
from itertools import count, cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.core.arrays import Float32
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.recordings import recording_file
from tests.support.servers import get, mosquitto, publish, wait_for

pytestmark = pytest.mark.system

CONFIGURATION = """
state_dir: {state}
learning: {{enabled: true, duration: 10s, minimum: 5s, settle: 0s}}
sensors: [{{topic: 'plant/{{machine}}/{{axis}}', payload: {{format: json}}, sampling_rate_hz: 25600, unit: m/s2}}]
"""
LONG_S = 250.0
LOOK_S = 0.4
BLOCKS = 25
RUN_IN, SOUND = 300, 600
"""Records until the bearing has run in, and until it begins to change: its first lasting alarm is at 780."""


def sound() -> Iterator[Float32]:
    """Ten bursts at a time of the sound bearing, every other record, again and again."""
    for first in cycle(range(RUN_IN, SOUND, 20)):
        yield records(slice(first, first + 20, 2))


def records(part: slice) -> Float32:
    """Records of 0.1 s of a bearing, one every ten seconds until it failed."""
    with np.load(recording_file("femto/Bearing1_1.npz")) as stored:
        return np.asarray(stored["acceleration_mg"][part, :, 0] * 0.00980665, np.float32)


class Sensor:
    """Sends bursts that are ten seconds apart by their times."""

    def __init__(self, broker: int) -> None:
        self._broker, self._numbers = broker, count()

    def send(self, daemon: RunningDaemon, bursts: Float32) -> None:
        """Send some, and wait until they were taken."""
        before = daemon.value("vibration_blocks_received_total")
        documents = [{"samples": one.tolist(), "t": 1.7e9 + 10.0 * next(self._numbers)} for one in bursts]
        publish(self._broker, [("plant/fan/x", json.dumps(one)) for one in documents], pause_s=0.02)
        enough = before + BLOCKS * (len(bursts) - 2)  # the last may wait to see whether it is contiguous
        begun = time.monotonic()
        while daemon.value("vibration_blocks_received_total") < enough:
            time.sleep(LOOK_S)  # scrapes without a pause would starve the learner
            assert time.monotonic() < begun + LONG_S


def page(daemon: RunningDaemon) -> list[dict[str, Any]]:
    """How far the channel is while it learns; empty: it does not."""
    channels = json.loads(get(f"{daemon.address}/api/v1/channels"))["channels"]
    return [one["learning"] for one in channels if one["learning"]]


def phase(daemon: RunningDaemon) -> str | None:
    """What the channel does while it learns."""
    return next((one["phase"] for one in page(daemon)), None)


def test_a_channel_learns_from_bursts_and_is_watched(tmp_path: Path) -> None:
    text = CONFIGURATION.format(state=tmp_path / "state")
    with mosquitto(tmp_path) as broker:
        sensor, healthy = Sensor(broker), sound()
        begun = time.monotonic()
        with running_daemon(tmp_path, broker, text) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            while phase(daemon) != "gathering" or not page(daemon)[0]["learned_s"]:
                sensor.send(daemon, next(healthy))
                assert time.monotonic() < begun + LONG_S, page(daemon)
            assert "sends bursts, each is an interval: channel=fan/x burst_s=0.09765" in daemon.log.read_text()
            daemon.process.send_signal(signal.SIGTERM)
            daemon.process.wait(30)
        with running_daemon(tmp_path, broker, text) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            while not daemon.value("vibration_channel_state", state="watched"):
                sensor.send(daemon, next(healthy))
                assert time.monotonic() < begun + 2 * LONG_S, page(daemon)
            # What the first run learned was used.
            log = daemon.log.read_text()
            assert "learning goes on: channel=fan/x" in log
            assert "sends bursts" not in log
            assert sum(daemon.values("vibration_learning_restarts_total")) == 0
            # The bursts between those that were learned.
            sensor.send(daemon, records(slice(RUN_IN + 101, RUN_IN + 141, 2)))
            assert daemon.value("vibration_alarm_state") == 0
            assert 0 < daemon.value("vibration_anomaly_score") < 1
            sensor.send(daemon, records(slice(-20, None)))
            wait_for(lambda: daemon.value("vibration_alarm_state") == 2, "the alarm of the bearing that failed")
            assert sum(daemon.values("vibration_internal_errors_total")) == 0
