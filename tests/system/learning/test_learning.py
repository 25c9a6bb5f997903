"""Channels that learn by one line of configuration, over a real mosquitto, from real recordings."""

import asyncio
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import aiomqtt
import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.core.scoring.plausibility import BY_WORKER
from tests.support.alarming import retained
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.recordings import recording_file
from tests.support.servers import free_port, get, mosquitto, until, wait_for

pytestmark = pytest.mark.system

RATE_HZ = 20_000
STATE = "vibration_channel_state{"
LOOK_S = 0.4
LONG_S = 250.0
"""Longest wait for all channels to be watched: the learner has the lowest priority."""
LEARNING = """
limits: {{channels: 40, buffer: 20s}}
state_dir: {state}
scoring: {{interval: 100ms, rate_tolerance: 1000}}
learning: {{enabled: true, duration: {duration}, minimum: {minimum}, settle: 1s}}
sensors: [{{topic: 'plant/{{machine}}/{{axis}}', payload: {{format: float32}}, sampling_rate_hz: 20000, unit: {unit}}}]
"""


def text(folder: Path, duration: str = "24s", minimum: str = "6s", unit: str = "m/s2") -> str:
    return LEARNING.format(state=folder / "state", duration=duration, minimum=minimum, unit=unit)


@cache
def recording(name: str) -> Float32:
    with np.load(recording_file(f"uestc/{name}.npz")) as stored:
        return np.asarray(stored["acceleration"], "<f4")


def seconds(name: str, first: float, count: float) -> Float32:
    return recording(name)[int(first * RATE_HZ) : int((first + count) * RATE_HZ)]


def turns(start_s: float, each_s: float, pieces: int) -> Float32:
    """Three speeds in turns."""
    names = ("healthy_800rpm", "healthy_1000rpm", "healthy_1200rpm")
    parts = [seconds(names[n % 3], start_s + n // 3 * each_s, each_s) for n in range(pieces)]
    return np.concatenate(parts)


def send(daemon: RunningDaemon, broker: int, signals: dict[str, Float32]) -> None:
    """Publish signals, a second of each machine in turn, never more ahead of the daemon than its buffers hold."""

    looked: tuple[float, float] = (0.0, 0.0)

    def done() -> float:
        """Blocks that were dealt with, asked a few times a second: scrapes without a pause would starve the learner."""
        nonlocal looked
        if time.monotonic() - looked[0] > LOOK_S:
            looked = time.monotonic(), dealt_with()
        return looked[1]

    def dealt_with() -> float:
        skipped = (daemon.values("vibration_blocks_skipped_total", reason=reason) for reason in map(str, BY_WORKER))
        return sum(daemon.values("vibration_blocks_scored_total")) + sum(map(sum, skipped))

    async def story() -> None:
        before, sent = done(), 0
        async with aiomqtt.Client("127.0.0.1", broker) as client:
            for first in range(0, max(map(len, signals.values())), RATE_HZ):
                for machine, samples in signals.items():
                    part = samples[first : first + RATE_HZ]
                    if part.size:
                        await client.publish(f"plant/{machine}/x", part.tobytes(), qos=1)
                        sent += part.size // 100
                ahead = 10 * len(signals) * RATE_HZ // 100
                await until(lambda: done() - before >= sent - ahead, "the blocks so far", LONG_S)  # noqa: B023
        await until(lambda: done() - before >= sent, "all blocks", LONG_S)

    asyncio.run(story())


def states(daemon: RunningDaemon) -> dict[str, int]:
    """How many channels are in each state, by one scrape; each channel is in exactly one."""
    lines = [line for line in get(f"{daemon.address}/metrics").splitlines() if line.startswith(STATE)]
    present = [line.split('state="')[1].split('"')[0] for line in lines if line.endswith(" 1")]
    assert len(lines) == 7 * len(present)
    return dict(Counter(present))


def told(log: str, state: str) -> int:
    """How many channels the log says came into this state."""
    return sum(int(count or 1) for count in re.findall(rf"state: channel(?:s=(\d+)|=\S+) state={state}", log))


def page(daemon: RunningDaemon) -> list[dict[str, Any]]:
    channels: list[dict[str, Any]] = json.loads(get(f"{daemon.address}/api/v1/channels"))["channels"]
    return channels


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    with mosquitto(tmp_path) as port:
        yield port


def connected(daemon: RunningDaemon) -> None:
    wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")


def test_a_plant_learns_and_is_watched_without_a_command(tmp_path: Path, broker: int) -> None:
    """24 channels, a third at speeds that take turns; then healthy data do not alarm and held-back faults do."""
    steady = [f"steady-{n}" for n in range(16)]
    varied = [f"varied-{n}" for n in range(8)]
    with running_daemon(tmp_path, broker, text(tmp_path)) as daemon:
        connected(daemon)
        first = {name: seconds("healthy_1000rpm", 0.5 * n, 5.0) for n, name in enumerate(steady)}
        first |= {name: turns(0.3 * n, 1.0, 5) for n, name in enumerate(varied)}
        send(daemon, broker, first)
        # No score at all while a channel learns: 0 would read as healthy.
        assert states(daemon) == {"learning": 24}
        assert daemon.values("vibration_anomaly_score") == []
        assert daemon.values("vibration_alarm_state") == []
        more = {name: seconds("healthy_1000rpm", 0.5 * n + 5.0, 30.0) for n, name in enumerate(steady)}
        more |= {name: turns(0.3 * n + 2.0, 2.5, 14) for n, name in enumerate(varied)}
        wait_for(lambda: "learning begins" in daemon.log.read_text(), "the learner")
        for second in range(0, 30, 6):
            send(daemon, broker, {n: s[second * RATE_HZ : (second + 6) * RATE_HZ] for n, s in more.items()})
        keep, begun_s = 0, time.monotonic()
        while states(daemon) != {"watched": 24}:
            # Heads are fitted in turns, so some channels need more: the same machines go on.
            send(daemon, broker, {n: s[keep * RATE_HZ : (keep + 3) * RATE_HZ] for n, s in more.items()})
            keep = (keep + 3) % 30
            assert time.monotonic() < begun_s + LONG_S, daemon.log.read_text()[-4000:]
        log = daemon.log.read_text()
        assert len(re.findall(r"learned: .* state=watched", log)) == 24
        # Every change of state is told too, alone or with others that changed alike; where many change, in time.
        wait_for(lambda: told(daemon.log.read_text(), "watched") >= 24, "the lines about states")
        assert all(at_s > time.time() - 900 for at_s in daemon.values("vibration_calibration_timestamp_seconds"))
        assert daemon.values("vibration_learning_progress_ratio") == []
        healthy = {name: seconds("healthy_1000rpm", 50.0, 6.0) for name in steady}
        healthy |= {name: turns(15.0, 2.0, 3) for name in varied}
        send(daemon, broker, healthy)
        assert daemon.values("vibration_alarm_state") == [0.0] * 24
        assert max(daemon.values("vibration_anomaly_score")) < 1.0
        begun = len(daemon.log.read_text())
        faults = ("ball_1000rpm", "inner_1000rpm", "outer_1000rpm")
        faulty = {name: seconds(faults[n % 3], 1.0, 4.0) for n, name in enumerate([*steady[:8], *varied[:4]])}
        send(daemon, broker, faulty | {name: healthy[name][: 4 * RATE_HZ] for name in [*steady[8:], *varied[4:]]})
        wait_for(lambda: sum(daemon.values("vibration_alarm_state")) == 24, "the alarms")
        alarmed = {name for name in faulty if daemon.values("vibration_alarm_state", machine=name) == [2.0]}
        assert alarmed == set(faulty)
        assert " provisional=yes" not in daemon.log.read_text()[begun:]
        assert {one["state"] for one in page(daemon)} == {"watched"}
        assert sum(daemon.values("vibration_internal_errors_total")) == 0
        for kept in (tmp_path / "state" / "learning").glob("*.learning"):
            assert kept.stat().st_size <= 340_000


def saved(daemon: RunningDaemon, broker: int, folder: Path, names: list[str]) -> None:
    """Sends until every channel has learned something, and that is on disk."""
    begun = time.monotonic()
    while not all(one["learning"]["learned_s"] for one in page(daemon)):
        send(daemon, broker, {name: seconds("healthy_1000rpm", 8.0, 2.0) for name in names})
        assert time.monotonic() < begun + LONG_S
    since = time.time()

    def written() -> bool:
        files = list((folder / "state" / "learning").glob("*.learning"))
        return len(files) == len(names) and all(file.stat().st_mtime > since for file in files)

    begun = time.monotonic()
    while not written():
        send(daemon, broker, {name: seconds("healthy_1000rpm", 8.0, 2.0) for name in names})
        assert time.monotonic() < begun + LONG_S


@pytest.mark.long
def test_kills_while_learning_lose_seconds_only(tmp_path: Path, broker: int) -> None:
    moments = random.Random(5)
    names = [f"m-{n}" for n in range(4)]
    learned = dict.fromkeys(names, 0.0)
    for kill in range(4):
        with running_daemon(tmp_path, broker, text(tmp_path, duration="1h", minimum="10s")) as daemon:
            connected(daemon)
            start = 10.0 * kill
            send(daemon, broker, {name: seconds("healthy_1000rpm", start, 8.0) for name in names})

            def heads(daemon: RunningDaemon = daemon) -> bool:
                return {one["learning"]["phase"] for one in page(daemon) if one["learning"]} == {"gathering"}

            wait_for(lambda: len(page(daemon)) == 4, "the channels")
            begun = time.monotonic()
            while not heads():
                send(daemon, broker, {name: seconds("healthy_1000rpm", start, 2.0) for name in names})
                assert time.monotonic() < begun + LONG_S
            found = {one["labels"]["machine"]: one["learning"]["learned_s"] for one in page(daemon)}
            assert all(found[name] >= learned[name] - 60 for name in names)
            assert kill == 0 or all(found.values())
            if kill == 0:
                saved(daemon, broker, tmp_path, names)
            time.sleep(moments.uniform(0.0, 1.0))
            learned = {one["labels"]["machine"]: one["learning"]["learned_s"] for one in page(daemon)}
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait(20)
    assert "learning goes on" in (tmp_path / "daemon.log").read_text()
    assert not list((tmp_path / "state" / "learning").glob("*.bad"))


@pytest.mark.long
def test_a_changed_sensor_starts_again_and_loses_nothing_else(tmp_path: Path, broker: int) -> None:
    """A unit changed by a reload; a standstill at first; a clock that jumps has nothing to change."""
    with running_daemon(tmp_path, broker, text(tmp_path, duration="1h", minimum="1h")) as daemon:
        connected(daemon)
        send(daemon, broker, {"fan": np.float32(0.01) * seconds("healthy_1000rpm", 0.0, 8.0)})

        def phase() -> str | None:
            return next((one["learning"]["phase"] for one in page(daemon) if one["learning"]), None)

        begun = time.monotonic()
        while phase() != "gathering":
            send(daemon, broker, {"fan": np.float32(0.01) * seconds("healthy_1000rpm", 0.0, 2.0)})
            assert time.monotonic() < begun + LONG_S
        assert daemon.value("vibration_learning_restarts_total", reason="standstill") == 0
        send(daemon, broker, {"fan": seconds("healthy_1000rpm", 10.0, 6.0)})
        wait_for(lambda: daemon.value("vibration_learning_restarts_total", reason="standstill") == 1, "the restart")
        while phase() != "gathering":
            send(daemon, broker, {"fan": seconds("healthy_1000rpm", 10.0, 4.0)})
            assert time.monotonic() < begun + LONG_S
        daemon.config.write_text(daemon.config.read_text().replace("unit: m/s2", "unit: g"))
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reloaded" in daemon.log.read_text(), "the reload")
        wait_for(lambda: daemon.value("vibration_learning_restarts_total", reason="changed") == 1, "the other unit")
        # Counters begin anew with the changed channel, so nothing is sent before that has happened.
        send(daemon, broker, {"fan": seconds("healthy_1000rpm", 20.0, 2.0)})
        assert states(daemon) == {"learning": 1}
        assert sum(daemon.values("vibration_internal_errors_total")) == 0


def test_what_learning_changes_is_told_as_what_a_person_changes(tmp_path: Path, broker: int) -> None:
    """Each baseline that is learned is logged, sent over MQTT, and marked in the dashboards."""
    mqtt = f"mqtt: {{url: 'mqtt://127.0.0.1:{broker}', baselines_topic: told}}\n"
    with running_daemon(tmp_path, broker, mqtt + text(tmp_path, duration="12s", minimum="4s")) as daemon:
        connected(daemon)
        begun, told = time.monotonic(), ""
        while "complete" not in told:
            assert time.monotonic() < begun + LONG_S, daemon.log.read_text()[-4000:]
            send(daemon, broker, {"fan": seconds("healthy_1000rpm", 10.0, 2.0)})
            if "learned: channel=fan/x" not in daemon.log.read_text():
                continue
            told = retained(broker, "told/fan/x")["told/fan/x"].decode()
            event = json.loads(told)
            assert (event["change"], event["by"], event["labels"]) == (
                "learned",
                "learning",
                {"machine": "fan", "axis": "x"},
            )
            assert event["provisional"] == (event["reason"] == "provisional")
        (at_s,) = daemon.values("vibration_baseline_changed_timestamp_seconds", change="learned")
        assert at_s == pytest.approx(datetime.fromisoformat(event["time"]).timestamp(), abs=0.01)


def test_learning_without_a_state_directory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    sensor = "{topic: 'plant/{machine}/{axis}', payload: {format: float32}, sampling_rate_hz: 20000}"
    file.write_text(f"http: {{listen: '127.0.0.1:{free_port()}'}}\nlearning: {{enabled: true}}\nsensors: [{sensor}]\n")
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "run", "--config", file],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "learning.enabled: needs a state_dir, where what was learned is kept; name one" in done.stderr
