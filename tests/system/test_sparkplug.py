"""Sparkplug B over a real mosquitto: births, data, lost messages, deaths and the will, and a recording."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.recording.options import RecordingOptions
from monitor.recording.source import open_recording
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.recordings import recording_file
from tests.support.servers import mosquitto, wait_for
from tests.support.sparkplug_node import FLOAT, FLOAT_ARRAY, STRING, SparkplugNode, live_node

pytestmark = pytest.mark.system

RATE_HZ = 20_000
CONFIG = """
mqtt:
  url: mqtt://127.0.0.1:{broker}
  version: '{version}'
  sparkplug: {{rebirth: {rebirth}}}
limits: {{channels: 8, buffer: 30s}}
sensors:
- topic: spBv1.0/{{group}}/DDATA/{{node}}/{{device}}/acceleration/{{axis}}
  payload: {{format: sparkplug}}
  sampling_rate_hz: 20000
"""
TYPES = {"acceleration/x": FLOAT_ARRAY, "acceleration/y": FLOAT_ARRAY, "temperature": FLOAT, "state": STRING}
DEVICES = {"rig-800": TYPES, "rig-1000": TYPES}
T = 1.764e9


def second(name: str, number: int) -> Float32:
    """One second of a recording of the rig, in tenths."""
    with np.load(recording_file(f"uestc/{name}.npz")) as stored:
        found: Float32 = stored["acceleration"][number * RATE_HZ : (number + 1) * RATE_HZ].astype("<f4")
    return found.reshape(10, -1)


def labels(device: str, axis: str) -> dict[str, str]:
    return {"group": "plant", "node": "gateway", "device": device, "axis": axis}


def shown(daemon: RunningDaemon, device: str) -> int:
    """Channels of a device that are not silent."""
    return len(daemon.values("vibration_acceleration_rms", device=device))


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_births_data_losses_and_deaths(tmp_path: Path, version: str) -> None:
    with mosquitto(tmp_path) as broker, live_node(broker, SparkplugNode(), DEVICES) as node:
        text = CONFIG.format(broker=broker, version=version, rebirth="true")
        with running_daemon(tmp_path, broker, text) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            node.bear()
            node.data("rig-800", {"acceleration/x": second("healthy_800rpm", 0)[0]}, T - 10)
            parts = {device: [second(f"healthy_{device[4:]}rpm", number) for number in range(3)] for device in DEVICES}

            def send(number: int, *, lose: int | None = None) -> None:
                for tenth in range(10):
                    t = T + number + tenth / 10
                    for device in DEVICES:
                        x, y = parts[device][number][tenth], parts[device][2 - number][tenth]
                        values = {"acceleration/x": x, "acceleration/y": y, "temperature": 40.0, "state": "runs"}
                        node.data(device, values, t, lost=tenth == lose and device == "rig-800")

            wait_for(lambda: daemon.value("vibration_samples_received_total", **labels("rig-800", "x")), "the first")
            send(0)
            received = "vibration_samples_received_total"
            wait_for(lambda: sum(daemon.values(received)) == 4 * RATE_HZ + 2000, "the first second of all channels")
            assert daemon.values("vibration_samples_missing_total", device="rig-1000") == [0, 0]
            assert daemon.value("vibration_sparkplug_sequence_breaks_total") == 0
            assert node.requests == 0

            send(1, lose=4)
            wait_for(lambda: daemon.value("vibration_sparkplug_sequence_breaks_total") == 1, "the break")
            wait_for(
                lambda: daemon.values("vibration_samples_missing_total", device="rig-800", axis="y") == [2000], "y"
            )
            assert daemon.values("vibration_samples_missing_total", device="rig-1000") == [0, 0]
            wait_for(lambda: node.requests == 1, "the request for births")
            send(2)
            wait_for(lambda: shown(daemon, "rig-800") == shown(daemon, "rig-1000") == 2, "figures of all channels")

            node.device_death("rig-800")
            wait_for(lambda: shown(daemon, "rig-800") == 0, "the end of the device", timeout_s=5)
            assert shown(daemon, "rig-1000") == 2
            assert len(daemon.values("vibration_last_sample_timestamp_seconds", device="rig-800")) == 2
            node.end()
            wait_for(lambda: shown(daemon, "rig-1000") == 0, "the end of the node", timeout_s=5)
            assert node.requests == 1
            assert daemon.value("vibration_sparkplug_rebirths_requested_total") == 1

            with live_node(broker, SparkplugNode(session=1), DEVICES) as again:
                again.bear()
                for tenth in range(10):
                    again.data("rig-800", {"acceleration/x": parts["rig-800"][0][tenth]}, T + 60 + tenth / 10)
                wait_for(lambda: shown(daemon, "rig-800") == 1, "the device again")
            assert sum(daemon.values("vibration_internal_errors_total")) == 0
            assert sum(daemon.values("vibration_messages_rejected_total")) == 0
            assert "Traceback" not in daemon.log.read_text()


def test_data_whose_births_were_missed(tmp_path: Path) -> None:
    for rebirth in ("false", "true"):
        folder = tmp_path / rebirth
        folder.mkdir()
        with mosquitto(folder) as broker, live_node(broker, SparkplugNode(), DEVICES) as node:
            node.bear()
            text = CONFIG.format(broker=broker, version="5", rebirth=rebirth)
            with running_daemon(folder, broker, text) as daemon:
                wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
                x = second("healthy_800rpm", 0)[0]
                node.data("rig-800", {"acceleration/x": x}, T)
                wait_for(lambda: daemon.value("vibration_messages_rejected_total", reason="no_birth") == 1, "the loss")
                if rebirth == "true":
                    wait_for(lambda: node.requests == 1, "the request")
                else:
                    time.sleep(1.5)  # longer than a request takes
                    assert node.requests == 0
                    node.bear()
                node.data("rig-800", {"acceleration/x": x}, T + 0.1)
                wait_for(lambda: daemon.value("vibration_samples_received_total", **labels("rig-800", "x")), "samples")


def test_a_metric_is_recorded(tmp_path: Path) -> None:
    measured = np.concatenate([second("healthy_800rpm", number) for number in range(3)])
    file = tmp_path / "out.npz"
    topic = "spBv1.0/plant/DDATA/gateway/rig-800/acceleration/x"
    with mosquitto(tmp_path) as broker, live_node(broker, SparkplugNode(), DEVICES) as node:
        node.bear()
        done = threading.Event()

        def send() -> None:
            number = 0
            while not done.is_set():
                node.data("rig-800", {"acceleration/x": measured[number % 30]}, T + number / 10)
                number += 1
                time.sleep(0.01)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            recorded = subprocess.run(
                [
                    sys.executable, "-m", "monitor", "record", "--url", f"mqtt://127.0.0.1:{broker}", "--topic", topic,
                    "--format", "sparkplug", "--rebirth", "--sampling-rate-hz", str(RATE_HZ), "--duration", "2s",
                    "--unit", "m/s2", "--out", str(file),
                ],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
        finally:
            done.set()
            sender.join()
    assert recorded.returncode == 0, recorded.stderr
    (samples,) = open_recording(str(file), RecordingOptions(sampling_rate_hz=RATE_HZ)).load()
    begins = [number for number in range(30) if np.array_equal(samples[:2000], measured[number])]
    assert len(begins) == 1
    assert np.array_equal(samples, np.roll(measured, -begins[0], axis=0)[:20].ravel())
