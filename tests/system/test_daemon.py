"""The daemon as a subprocess beside a real mosquitto: what must not happen to it, and what it says when it does."""

import asyncio
import signal
import subprocess
import sys
import urllib.error
from pathlib import Path

import aiomqtt
import numpy as np
import pytest

from monitor.core.messages.decode import Reason
from monitor.simulation.machine import catalogue
from monitor.simulation.simulator import Simulation
from tests.support.daemons import running_daemon
from tests.support.servers import answers, free_port, get, mosquitto, publish, wait_for

pytestmark = pytest.mark.system


def packed(samples: int, seed: int = 0) -> bytes:
    return Simulation(catalogue()["fan"], 12000.0, seed).next(samples).astype("<f4").tobytes()


def test_bad_messages_are_counted_under_their_reason_and_cost_themselves_only(tmp_path: Path) -> None:
    limits = "limits: {channels: 2, buffer: 10s}\n"
    with mosquitto(tmp_path) as broker:
        publish(broker, [("plant/fan/x", packed(100))], retain=True)
        with running_daemon(tmp_path, broker, limits) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            good = packed(60_000)
            middle = len(good) // 2
            publish(
                broker,
                [
                    ("plant/fan/x", good[:middle]),
                    ("plant/fan/x", b""),
                    ("plant/fan/x", b"12345"),
                    ("plant/fan/x", np.array([1.0, np.nan], "<f4").tobytes()),
                    ("plant/fan/x", np.array([np.inf], "<f4").tobytes()),
                    ("plant/fan/x", bytes(4 * 2**20 + 1)),  # much more than that a broker does not send on
                    ("plant/pump/x", packed(100)),
                    ("plant/one-too-many/x", packed(100)),
                    ("plant/fan/x", good[middle:]),
                ],
            )
            wait_for(lambda: daemon.value("vibration_samples_received_total", machine="fan") == 60_000, "all samples")
            rejected = {
                str(reason): int(count)
                for reason in Reason
                if (count := daemon.value("vibration_messages_rejected_total", reason=str(reason)))
            }
            assert rejected == {"empty": 1, "wrong_length": 1, "non_finite": 2, "too_large": 1, "channel_limit": 1}
            # What was rejected is missing between the two good messages, so each is a context of its own.
            wait_for(lambda: daemon.value("vibration_blocks_scored_total", machine="fan") == 2 * (300 - 25), "blocks")
            assert daemon.value("vibration_samples_missing_total", machine="fan") == 4 * 30_000
            assert daemon.value("vibration_blocks_skipped_total", machine="fan", reason="warm_up") == 2 * 25
            assert daemon.value("vibration_blocks_skipped_total", machine="fan", reason="overload") == 0
            assert daemon.log.read_text().count("message rejected") == 5  # non_finite came twice and was logged once


def test_a_broker_that_is_not_there_yet(tmp_path: Path) -> None:
    broker = free_port()
    with running_daemon(tmp_path, broker) as daemon:
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(f"{daemon.address}/-/ready")
        assert refused.value.code == 503
        assert "broker mqtt://127.0.0.1" in refused.value.read().decode()
        refused.value.close()
        assert daemon.value("vibration_mqtt_connected") == 0
        with mosquitto(tmp_path, broker):
            wait_for(lambda: answers(f"{daemon.address}/-/ready"), "the daemon to be ready")
            publish(broker, [("plant/fan/x", packed(1000))])
            wait_for(lambda: daemon.value("vibration_samples_received_total") == 1000, "samples")
        wait_for(lambda: not answers(f"{daemon.address}/-/ready"), "the daemon to notice the loss")
        with mosquitto(tmp_path, broker):
            wait_for(lambda: answers(f"{daemon.address}/-/ready"), "the daemon to be ready again")
            publish(broker, [("plant/fan/x", packed(1000))])
            wait_for(lambda: daemon.value("vibration_samples_received_total") == 2000, "samples after the loss")
        assert daemon.value("vibration_mqtt_reconnects_total") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    async def statuses(port: int, stop: "subprocess.Popen[str]") -> list[bytes]:
        async with aiomqtt.Client("127.0.0.1", port) as watcher:
            await watcher.subscribe("vibration-monitor/status/#")
            seen = []
            async for message in watcher.messages:
                seen.append(bytes(message.payload))
                if len(seen) == 1:
                    stop.send_signal(number)
                if seen[-1] != b"online":
                    return seen
        return []

    with mosquitto(tmp_path) as broker, running_daemon(tmp_path, broker) as daemon:
        wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
        seen = asyncio.run(asyncio.wait_for(statuses(broker, daemon.process), 20))
        assert seen == [b"online", b"stopped"]
        assert daemon.process.wait(10) == 0
        assert "Traceback" not in daemon.log.read_text()


def test_sixty_four_channels_in_real_time(tmp_path: Path) -> None:
    seconds, channels, rate_hz = 6, 64, 12000
    limits = "limits: {channels: 64}\n"
    streams = [Simulation(catalogue()["fan"], rate_hz, seed).next(seconds * rate_hz) for seed in range(channels)]

    async def story(port: int) -> None:
        loop = asyncio.get_running_loop()
        async with aiomqtt.Client("127.0.0.1", port) as client:
            began_s = loop.time()
            for message in range(seconds * 10):
                for row, stream in enumerate(streams):
                    piece = stream[message * 1200 : (message + 1) * 1200]
                    await client.publish(f"plant/machine-{row}/x", piece.astype("<f4").tobytes())
                await asyncio.sleep(max(0.0, began_s + (message + 1) * 0.1 - loop.time()))

    with mosquitto(tmp_path) as broker, running_daemon(tmp_path, broker, limits) as daemon:
        wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
        asyncio.run(story(broker))
        blocks = seconds * rate_hz // 100
        wait_for(lambda: sum(daemon.values("vibration_blocks_scored_total")) == channels * (blocks - 25), "all blocks")
        assert sum(daemon.values("vibration_blocks_skipped_total", reason="overload")) == 0
        assert sum(daemon.values("vibration_blocks_skipped_total", reason="incomplete")) == 0
        assert len(daemon.values("vibration_forecast_gap_ratio")) == channels
        assert daemon.values("vibration_anomaly_score") == []


def test_a_broken_configuration_exits_2_with_all_problems(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("mqtt: {url: nonsense}\nscorin: {}\nsensors: []\n")
    for command in (["run", "--config"], ["check-config"]):
        done = subprocess.run(
            [sys.executable, "-m", "monitor", *command, str(tmp_path / "c.yaml")],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.splitlines()[0] == f"vibration-monitor: {tmp_path / 'c.yaml'}: 3 problems"
        assert "Traceback" not in done.stderr
