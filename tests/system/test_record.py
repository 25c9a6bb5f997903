"""``record`` against a real mosquitto: what was published is what is written."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import aiomqtt
import numpy as np
import pytest

from monitor.recording.source import open_recording
from tests.support.servers import mosquitto

pytestmark = pytest.mark.system


async def feed(port: int, payload_format: str, stop: "subprocess.Popen[str]") -> None:
    """Publish consecutive numbers until the recorder has ended; with documents, one message goes missing."""
    seq = 0
    async with aiomqtt.Client("127.0.0.1", port) as client:
        while stop.poll() is None:
            samples = np.arange(seq * 100, (seq + 1) * 100, dtype=np.float32)
            if payload_format == "json":
                if seq != 20:
                    await client.publish("plant/fan", json.dumps({"samples": samples.tolist(), "seq": seq}))
            else:
                await client.publish("plant/fan", samples.astype("<f4").tobytes())
            seq += 1
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("payload_format", ["float32", "json"])
def test_the_feed_is_recorded_without_a_break(tmp_path: Path, payload_format: str) -> None:
    file = tmp_path / "fan.npz"
    with (
        mosquitto(tmp_path) as port,
        subprocess.Popen(
            [
                sys.executable, "-m", "monitor", "record", "--topic", "plant/fan", "--out", file, "--duration", "2s",
                "--sampling-rate-hz", "1000", "--unit", "g", "--format", payload_format, "--json",
                "--url", f"mqtt://127.0.0.1:{port}",
            ],
            stdout=subprocess.PIPE, text=True,
        ) as recorder,
    ):  # fmt: skip
        asyncio.run(asyncio.wait_for(feed(port, payload_format, recorder), 60))
        out, _ = recorder.communicate()
    assert recorder.returncode == 0
    assert json.loads(out)["samples"] == 2000
    recording = open_recording(str(file))
    assert (recording.sampling_rate_hz, recording.unit) == (1000.0, "g")
    (samples,) = recording.load(own_unit=True)
    assert samples.size == 2000
    assert (np.diff(samples) == 1.0).all()


def test_no_broker_is_a_clear_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "monitor", "record", "--topic", "a", "--out", tmp_path / "x.npz", "--duration", "1s",
            "--sampling-rate-hz", "1000", "--url", "mqtt://127.0.0.1:9",
        ],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 4
    assert done.stderr.startswith("vibration-monitor: record: the broker at 127.0.0.1:9 failed")
