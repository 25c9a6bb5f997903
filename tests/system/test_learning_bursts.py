"""A sensor with a battery: channels learn from bursts over a real mosquitto, and are watched. Real bursts, sent faster."""

import json
import signal
import time
from itertools import count
from pathlib import Path

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
BLOCKS = 25


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
        wait_for(lambda: daemon.value("vibration_blocks_received_total") >= enough, "the bursts", LONG_S)


def phase(daemon: RunningDaemon) -> str | None:
    """What the channel does while it learns."""
    channels = json.loads(get(f"{daemon.address}/api/v1/channels"))["channels"]
    return next((one["learning"]["phase"] for one in channels if one["learning"]), None)


def test_a_channel_learns_from_bursts_and_is_watched(tmp_path: Path) -> None:
    text = CONFIGURATION.format(state=tmp_path / "state")
    with mosquitto(tmp_path) as broker:
        sensor, at = Sensor(broker), 0
        begun = time.monotonic()
        with running_daemon(tmp_path, broker, text) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            while at == 0 or phase(daemon) != "gathering":
                sensor.send(daemon, records(slice(at, at + 10)))
                at += 10
                assert time.monotonic() < begun + LONG_S, daemon.log.read_text()[-3000:]
            assert "sends bursts, each is an interval: channel=fan/x burst_s=0.09765" in daemon.log.read_text()
            daemon.process.send_signal(signal.SIGTERM)
            daemon.process.wait(30)
        with running_daemon(tmp_path, broker, text) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            while not daemon.value("vibration_channel_state", state="watched"):
                sensor.send(daemon, records(slice(at, at + 10)))
                at += 10
                assert time.monotonic() < begun + LONG_S, daemon.log.read_text()[-3000:]
            # The head that the first run fitted was used.
            log = daemon.log.read_text()
            assert "learning goes on: channel=fan/x" in log
            assert "sends bursts" not in log
            assert sum(daemon.values("vibration_learning_restarts_total")) == 0
            sensor.send(daemon, records(slice(at, at + 20)))
            assert daemon.value("vibration_alarm_state") == 0
            assert 0 < daemon.value("vibration_anomaly_score") < 1
            sensor.send(daemon, records(slice(-20, None)))
            wait_for(lambda: daemon.value("vibration_alarm_state") == 2, "the alarm of the bearing that failed")
            assert sum(daemon.values("vibration_internal_errors_total")) == 0
