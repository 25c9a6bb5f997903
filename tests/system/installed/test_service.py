"""The daemon as systemd sees it: notify protocol, watchdog, reload, state across a restart."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor.config.configuration import Config
from monitor.runtime.daemon import Daemon
from monitor.runtime.processes.notify import Notifier
from monitor.simulation.machine import catalogue
from monitor.simulation.simulator import Simulation
from tests.support.daemons import SENSOR, running_daemon
from tests.support.programs import program
from tests.support.servers import free_port, listening, mosquitto, process, publish, wait_for

pytestmark = pytest.mark.system


class NotifySocket:
    """systemd's end of the notify protocol."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.messages: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def lines(self) -> list[str]:
        """All lines so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.messages.append(self._socket.recv(4096).decode())
        return [line for message in self.messages for line in message.splitlines()]

    def has(self, line: str, times: int = 1) -> bool:
        """Whether a line came so often."""
        return sum(found.startswith(line) for found in self.lines()) >= times

    def signs(self) -> int:
        """Signs of life so far."""
        return sum(line == "WATCHDOG=1" for line in self.lines())

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def notify(tmp_path: Path) -> Iterator[NotifySocket]:
    listener = NotifySocket(tmp_path / "notify")
    yield listener
    listener.close()


def environment(notify: NotifySocket, watchdog_s: float) -> dict[str, str]:
    return {**os.environ, "NOTIFY_SOCKET": str(notify.path), "WATCHDOG_USEC": str(round(watchdog_s * 1e6))}


def send(port: int, topic: str, samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    publish(port, [(topic, samples[at : at + 6000].astype("<f4").tobytes()) for at in range(0, samples.size, 6000)])


def fan(samples: int, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return Simulation(catalogue()["fan"], 12000.0, seed).next(samples)


def test_ready_without_a_broker_then_status_watchdog_reload_and_stop(tmp_path: Path, notify: NotifySocket) -> None:
    with running_daemon(tmp_path, free_port(), environment=environment(notify, 3.0)) as daemon:
        wait_for(lambda: notify.has("READY=1"), "READY")
        wait_for(lambda: notify.has("STATUS=0 channels, no broker"), "a status")
        wait_for(lambda: notify.has("WATCHDOG=1", 3), "three signs of life")
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: notify.has("READY=1", 2), "the end of the reload")
        lines = notify.lines()
        assert lines.index("RELOADING=1") + 1 == next(i for i, s in enumerate(lines) if s.startswith("MONOTONIC_USEC="))
        daemon.process.terminate()
        assert daemon.process.wait(10) == 0
        assert notify.has("STOPPING=1")


def watched_daemon(notify: NotifySocket) -> Daemon:
    """A daemon without a broker that gives signs of life."""
    config = Config.model_validate(
        {
            "mqtt": {"url": f"mqtt://127.0.0.1:{free_port()}"},
            "sensors": [SENSOR],
            "http": {"listen": "127.0.0.1:0", "page": False},
        }
    )
    return Daemon(config, None, Notifier(str(notify.path), watchdog_s=0.6))


def test_a_hung_worker_gets_no_watchdog(notify: NotifySocket) -> None:
    async def story() -> None:
        daemon = watched_daemon(notify)
        await daemon.start()
        serving = asyncio.create_task(daemon.serve())
        while notify.signs() < 3:  # noqa: ASYNC110 - the socket has no event
            await asyncio.sleep(0.05)
        pid = daemon._lanes["default"].inference.pids[0]
        os.kill(pid, signal.SIGSTOP)
        before, quiet_turns = notify.signs(), 0
        while quiet_turns < 30:  # of 0.05 s: several times the 0.3 s between two signs
            await asyncio.sleep(0.05)
            quiet_turns = quiet_turns + 1 if notify.signs() == before else 0
            before = notify.signs()
        os.kill(pid, signal.SIGCONT)
        while notify.signs() == before:  # noqa: ASYNC110 - the socket has no event
            await asyncio.sleep(0.05)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await daemon.close()

    asyncio.run(asyncio.wait_for(story(), 60))


def test_a_hung_event_loop_gives_no_watchdog(notify: NotifySocket) -> None:
    async def story() -> tuple[int, int, int]:
        daemon = watched_daemon(notify)
        await daemon.start()
        serving = asyncio.create_task(daemon.serve())
        while notify.signs() < 3:  # noqa: ASYNC110 - the socket has no event
            await asyncio.sleep(0.05)
        before = notify.signs()
        time.sleep(1.0)  # noqa: ASYNC251 - this is the hanging
        hung = notify.signs()
        while notify.signs() == hung:  # noqa: ASYNC110 - the socket has no event
            await asyncio.sleep(0.05)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await daemon.close()
        return before, hung, notify.signs()

    before, hung, after = asyncio.run(asyncio.wait_for(story(), 60))
    assert before == hung < after


@pytest.mark.parametrize("signals", [1, 2])
def test_a_broker_that_hangs_holds_up_the_end_for_seconds_or_not_at_all(tmp_path: Path, signals: int) -> None:
    port = free_port()
    (tmp_path / "m.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n")
    with process(program("mosquitto"), "-c", tmp_path / "m.conf", stderr=subprocess.DEVNULL) as broker:
        wait_for(lambda: listening(port), "mosquitto to listen")
        with running_daemon(tmp_path, port, f"state_dir: {tmp_path / 'state'}\n") as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            broker.send_signal(signal.SIGSTOP)
            try:
                daemon.process.terminate()
                wait_for(lambda: "stopping: signal=SIGTERM" in daemon.log.read_text(), "the first signal")
                began_s = time.monotonic()
                if signals == 2:
                    daemon.process.terminate()
                    assert daemon.process.wait(10) == -signal.SIGTERM
                    assert time.monotonic() - began_s < 2.0
                else:
                    assert daemon.process.wait(15) == 0
                    assert "did not accept the status 'stopped'" in daemon.log.read_text()
                    assert (tmp_path / "state" / "state").exists()
            finally:
                broker.send_signal(signal.SIGCONT)


def test_reload_keeps_what_did_not_change_and_refuses_what_is_broken(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, running_daemon(tmp_path, broker) as daemon:
        wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
        send(broker, "plant/fan/x", fan(12_000))
        wait_for(lambda: daemon.value("vibration_blocks_scored_total") == 120 - 25, "blocks")
        good = daemon.config.read_text()
        daemon.config.write_text(good + "scorin: {}\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: daemon.value("vibration_config_last_reload_successful") == 0, "the refusal")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(f"{daemon.address}/-/reload", method="POST"), timeout=10)
        assert "did you mean 'scoring'?" in refused.value.read().decode()
        refused.value.close()
        other = {**SENSOR, "topic": "other/{machine}/{axis}"}
        daemon.config.write_text(good.replace(f"sensors: [{SENSOR}]", f"sensors: [{SENSOR}, {other}]"))
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: daemon.value("vibration_config_last_reload_successful") == 1, "the reload")
        wait_for(lambda: daemon.value("vibration_mqtt_reconnects_total") == 1, "the new subscription")
        send(broker, "plant/fan/x", fan(12_000))
        send(broker, "other/pump/x", fan(6_000))
        wait_for(lambda: daemon.value("vibration_samples_received_total", machine="pump") == 6000, "the new sensor")
        # The old channel goes on where it was: no second warm-up.
        wait_for(lambda: daemon.value("vibration_blocks_scored_total", machine="fan") == 240 - 25, "more blocks")
        assert daemon.value("vibration_blocks_skipped_total", machine="fan", reason="warm_up") == 25
        # What changed begins anew, in a row that another may have had.
        changed = {**other, "unit": "g"}
        daemon.config.write_text(good.replace(f"sensors: [{SENSOR}]", f"sensors: [{SENSOR}, {changed}]"))
        request = urllib.request.Request(f"{daemon.address}/-/reload", method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.read() == b"reloaded\n"
        wait_for(lambda: daemon.values("vibration_samples_received_total", machine="pump") == [0], "a fresh page")
        send(broker, "other/pump/x", fan(6_000))
        wait_for(lambda: daemon.value("vibration_blocks_scored_total", machine="pump") == 60 - 25, "the changed sensor")
        assert daemon.value("vibration_samples_received_total", machine="pump") == 6000
        assert daemon.value("vibration_blocks_received_total", machine="pump") == 60
        assert daemon.value("vibration_blocks_skipped_total", machine="pump", reason="warm_up") == 25
        assert daemon.value("vibration_blocks_skipped_total", machine="fan", reason="warm_up") == 25
        # Two at once: one after the other, and still one connection.
        daemon.process.send_signal(signal.SIGHUP)
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.read() == b"reloaded\n"
        assert daemon.value("vibration_mqtt_reconnects_total") == 1


def test_a_reload_refuses_what_cannot_change(tmp_path: Path) -> None:
    with running_daemon(tmp_path, free_port()) as daemon:
        good = daemon.config.read_text()
        for key, line in (("evidence", "evidence: {after: 3s}\n"), ("state_dir", f"state_dir: {tmp_path / 'new'}\n")):
            daemon.config.write_text(good + line)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(f"{daemon.address}/-/reload", method="POST"), timeout=10)
            assert refused.value.read().decode() == (
                f"not reloaded: {key}: cannot be changed by a reload; restart the service\n"
            )
            refused.value.close()


def test_counters_go_on_after_a_stop_and_begin_anew_after_a_kill(tmp_path: Path) -> None:
    state = f"state_dir: {tmp_path / 'state'}\n"
    runs = ((1, signal.SIGTERM), (2, signal.SIGTERM), (3, signal.SIGKILL), (1, signal.SIGTERM), (2, signal.SIGTERM))
    with mosquitto(tmp_path) as broker:
        for total, ending in runs:
            with running_daemon(tmp_path, broker, state) as daemon:
                wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
                began_s = time.monotonic()
                send(broker, "plant/fan/x", fan(18_000))
                wait_for(
                    lambda: daemon.value("vibration_blocks_scored_total") == total * (180 - 25),  # noqa: B023 - awaited
                    "all blocks",
                )
                assert time.monotonic() - began_s < 15
                assert daemon.value("vibration_samples_received_total") == total * 18_000
                assert daemon.value("vibration_blocks_received_total") == total * 180
                assert daemon.value("vibration_blocks_skipped_total", reason="warm_up") == total * 25
                assert 120 / 180 <= daemon.value("vibration_coverage_ratio") <= 120 / 145 + 1e-6  # float32
                daemon.process.send_signal(ending)
                daemon.process.wait(15)


def test_what_cannot_run_says_why_and_how_it_ends(tmp_path: Path) -> None:
    def run(text: str) -> tuple[int, str]:
        (tmp_path / "c.yaml").write_text(f"sensors: [{json.dumps(SENSOR)}]\n{text}")
        done = subprocess.run(
            [sys.executable, "-m", "monitor", "run", "--config", tmp_path / "c.yaml", "--log-level", "error"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, text = run(f"http: {{listen: '127.0.0.1:{taken.getsockname()[1]}'}}\n")
    assert (code, "is another instance running?" in text) == (4, True)
    code, text = run("models: {default: nowhere}\nhttp: {listen: '127.0.0.1:0'}\n")
    assert (code, "no model in" in text) == (2, True)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{}")
    code, text = run("models: {default: broken}\nhttp: {listen: '127.0.0.1:0'}\n")
    assert code == 3
    assert "manifest.json" in text
