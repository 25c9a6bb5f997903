"""What a configuration, its files and signals can do to a daemon that starts or runs: the old one goes on."""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import aiomqtt
import numpy as np
import pytest

from monitor.bench.alone import bench_calibration
from monitor.config.file import read_config
from monitor.errors import MonitorError
from monitor.model.artefact.artefact import load_artefact
from monitor.model.calibration_file import ANY_REGIME, CalibrationFile, load_calibrations, save_calibrations
from monitor.runtime.baselines import calibrations
from monitor.runtime.daemon import Daemon
from monitor.runtime.processes import procfs
from monitor.shipped import shipped
from tests.support.authority import Authority
from tests.support.daemons import SENSOR, RunningDaemon, configuration, running_daemon
from tests.support.servers import free_port, get, mosquitto, process, wait_for

LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 12)]
)
"""A thousand characters that stand for 10^12 values."""

JUNK = {
    "nested": "[" * 3000,
    "nested mappings": "{a: " * 3000,
    "indented": "\n".join(" " * level + "a:" for level in range(1500)),
    "aliases of aliases": f"sensors: []\n{LAUGHS}\nlabels: *a11\n",
    "an alias of itself": "sensors: &a [*a]",
    "an empty number": "limits: {channels: !!int ''}",
    "4 MiB of one letter": "a" * 2**22,
    "4 MiB of items": "- 1\n" * 2**20,
    "zeros": "\0" * 1000,
}


@pytest.mark.system
@pytest.mark.parametrize("junk", JUNK)
def test_junk_is_one_clear_line(tmp_path: Path, junk: str) -> None:
    file = tmp_path / "junk.yaml"
    file.write_text(JUNK[junk])
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "check-config", str(file)],
        capture_output=True, text=True, timeout=30, check=False, preexec_fn=lambda: limit_memory(2**30),
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = (done.stdout + done.stderr).splitlines()
    assert str(file) in line
    assert len(line) < 300


def limit_memory(size_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (size_bytes, size_bytes))


def test_what_stands_for_itself_counts_as_often_as_it_is_used(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    sensors = [f"- {{topic: 'plant-{number}/{{machine}}/{{axis}}', <rest>: *rest}}" for number in range(3)]
    text = "\n".join(["sensors:", *sensors]).replace("<rest>: *rest", "payload: *payload, sampling_rate_hz: 12000")
    file.write_text(text.replace("*payload", "&payload {format: float32}", 1))
    assert [sensor.payload.format for sensor in read_config(file).sensors] == ["float32"] * 3


def reload(daemon: RunningDaemon) -> str:
    """Ask for a reload; the reason why not, empty when it went well."""
    request = urllib.request.Request(f"{daemon.address}/-/reload", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            text: str = error.read().decode()
            return text


@pytest.mark.system
def test_a_refused_reload_leaves_no_process(tmp_path: Path) -> None:
    plant, stranger = Authority(tmp_path / "plant"), Authority(tmp_path / "stranger")
    cert, key = plant.sign("monitor")[0], stranger.sign("monitor")[1]
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{}")
    port = free_port()
    more = "limits: {channels: 2000}\n"  # other lanes, and so other workers
    mismatched = {"url": "mqtts://127.0.0.1:9", "tls": {"cert_file": str(cert), "key_file": str(key)}}
    other = {**SENSOR, "topic": "other/{machine}/{axis}", "model": "broken"}
    models = {"default": str(shipped("models/reference")), "broken": str(tmp_path / "broken")}
    refused = {
        "cannot load the certificate": f"{more}mqtt: {json.dumps(mismatched)}\n",
        "manifest.json": f"{more}models: {json.dumps(models)}\nsensors: [{SENSOR}, {other}]\n",
        "evidence: cannot be changed": f"{more}evidence: {{after: 3s}}\n",
        "unknown key": f"{more}limit: 3\n",
    }
    with running_daemon(tmp_path, port) as daemon:
        text = daemon.config.read_text()
        http_port = int(daemon.address.rpartition(":")[2])
        workers = procfs.children(daemon.process.pid)
        for reason, keys in refused.items():
            for _ in range(2):
                daemon.config.write_text(configuration(port, http_port, keys))
                assert reason in reload(daemon)
                assert procfs.children(daemon.process.pid) == workers
        # Not even the processes can be started; whoever asks over HTTP could not be answered either.
        limits = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
        daemon.config.write_text(configuration(port, http_port, more))
        open_files = len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (open_files + 2, limits[1]))
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "Too many open files" in daemon.log.read_text(), "the refusal")
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, limits)
        wait_for(lambda: daemon.value("vibration_config_last_reload_successful") == 0, "the daemon's answer")
        assert procfs.children(daemon.process.pid) == workers
        assert "internal error" not in daemon.log.read_text()
        daemon.config.write_text(text)
        assert reload(daemon) == ""
        assert procfs.children(daemon.process.pid) == workers


@pytest.mark.system
def test_a_new_worker_that_dies_refuses_the_reload_only(tmp_path: Path) -> None:
    with running_daemon(tmp_path, free_port()) as daemon:
        pid = daemon.process.pid
        workers = procfs.children(pid)
        daemon.config.write_text(f"{daemon.config.read_text()}limits: {{channels: 2000}}\n")
        daemon.process.send_signal(signal.SIGHUP)
        new = wait_for(lambda: set(procfs.children(pid)) - set(workers), "a new worker")
        for one in new:
            os.kill(one, signal.SIGKILL)
        wait_for(lambda: "not reloaded" in daemon.log.read_text() or daemon.process.poll() is not None, "the refusal")
        wait_for(lambda: procfs.children(pid) == workers, "the end of what is new")
        assert daemon.process.poll() is None
        assert reload(daemon) == ""


@pytest.mark.system
def test_a_worker_that_dies_ends_the_daemon_with_one_line(tmp_path: Path) -> None:
    with running_daemon(tmp_path, free_port()) as daemon:
        os.kill(procfs.children(daemon.process.pid)[0], signal.SIGKILL)
        assert daemon.process.wait(30) == 4
        assert "Traceback" not in daemon.log.read_text()
        last = daemon.log.read_text().splitlines()[-1]
        assert last.startswith("vibration-monitor: the inference process ended: status -9; restart the daemon")


@pytest.mark.system
def test_a_hangup_during_the_start_is_a_reload_after_it(tmp_path: Path) -> None:
    port = free_port()
    config, log = tmp_path / "config.yaml", tmp_path / "daemon.log"
    config.write_text(configuration(free_port(), port))
    command = (sys.executable, "-m", "monitor", "run", "--config", config)
    with log.open("w") as stream, process(*command, stderr=stream) as daemon:
        # Its workers load the model: the start is half done.
        wait_for(lambda: procfs.children(daemon.pid) or daemon.poll() is not None, "the workers")
        daemon.send_signal(signal.SIGHUP)
        wait_for(lambda: "reloaded: file=" in log.read_text() or daemon.poll() is not None, "the reload")
        assert daemon.poll() is None
        assert "vibration_config_last_reload_successful 1" in get(f"http://127.0.0.1:{port}/metrics")


@pytest.mark.system
def test_a_hangup_before_the_start_waits(tmp_path: Path) -> None:
    config, log = tmp_path / "config.yaml", tmp_path / "daemon.log"
    config.write_text(configuration(free_port(), free_port()))
    command = (sys.executable, "-m", "monitor", "run", "--config", config)

    def blocks_hangups(pid: int) -> bool:
        status = Path(f"/proc/{pid}/status").read_text()
        blocked = next(line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:"))
        return bool(int(blocked, 16) & 1 << (signal.SIGHUP - 1))

    with log.open("w") as stream, process(*command, stderr=stream) as daemon:
        wait_for(lambda: procfs.children(daemon.pid) or blocks_hangups(daemon.pid), "the command")
        daemon.send_signal(signal.SIGHUP)
        wait_for(lambda: "reloaded: file=" in log.read_text() or daemon.poll() is not None, "the reload")
        assert daemon.poll() is None


def test_a_reload_reads_calibrations_beside_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"m{number}" for number in range(5)]
    for name in names:
        save_calibrations(
            tmp_path / f"{name}.calibration",
            {ANY_REGIME: bench_calibration(100)},
            model_sha256=load_artefact(shipped("models/reference")).sha256,
            channel=name,
            made={},
        )
    sensor = {**SENSOR, "calibration": "{machine}.calibration"}
    config = tmp_path / "config.yaml"
    config.write_text(configuration(free_port(), 0, f"sensors: {json.dumps([sensor])}\n"))
    read_on: list[bool] = []

    def load(path: Path) -> CalibrationFile:
        read_on.append(threading.current_thread() is threading.main_thread())
        return load_calibrations(path)

    monkeypatch.setattr(calibrations, "load_calibrations", load)

    async def story() -> None:
        daemon = Daemon(read_config(config), config)
        await daemon.start()
        serving = asyncio.create_task(daemon.serve())
        for name in names:
            daemon.ingest.deliver(f"plant/{name}/x", np.zeros(100, "<f4").tobytes())
        assert len(read_on) == len(names)
        before = [channel.calibration for channel in daemon.ingest.channels.values()]
        read_on.clear()
        await daemon.reload()
        assert [channel.calibration for channel in daemon.ingest.channels.values()] == before
        assert None not in before
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await daemon.close()

    asyncio.run(asyncio.wait_for(story(), 60))
    assert read_on == [False] * len(names)


def test_the_state_of_channels_that_a_larger_limit_lets_in_is_kept(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    state = f"state_dir: {tmp_path / 'state'}\nevidence: {{enabled: false}}\n"

    def write(channels: int) -> None:
        config.write_text(configuration(free_port(), 0, f"{state}limits: {{channels: {channels}}}\n"))

    async def story() -> None:
        daemon = Daemon(read_config(config), config)
        await daemon.start()
        serving = asyncio.create_task(daemon.serve())
        names = ("fan", "pump", "mill")
        if not daemon.ingest.channels:
            daemon.ingest.deliver("plant/fan/x", np.zeros(100, "<f4").tobytes())
            write(3)
            await daemon.reload()
            for name in names[1:]:
                daemon.ingest.deliver(f"plant/{name}/x", np.zeros(100, "<f4").tobytes())
        assert {channel.labels[0] for channel in daemon.ingest.channels.values()} == set(names)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await daemon.close()

    write(1)
    for _ in range(2):
        asyncio.run(asyncio.wait_for(story(), 60))


def test_an_unforeseen_error_refuses_the_reload_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(configuration(free_port(), 0))

    def load(*_: object) -> None:
        raise ZeroDivisionError

    async def story() -> None:
        daemon = Daemon(read_config(config), config)
        await daemon.start()
        serving = asyncio.create_task(daemon.serve())
        monkeypatch.setattr(daemon._loader, "load", load)
        with pytest.raises(MonitorError, match="internal error"):
            await daemon.reload()
        assert daemon.view().internal_errors == {"task": 1}
        assert not daemon.view().reload_successful
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await daemon.close()

    asyncio.run(asyncio.wait_for(story(), 60))


@pytest.mark.system
def test_a_name_too_long_for_a_file_costs_its_own_calibration_only(tmp_path: Path) -> None:
    save_calibrations(
        tmp_path / "fan-x.calibration",
        {ANY_REGIME: bench_calibration(100)},
        model_sha256=load_artefact(shipped("models/reference")).sha256,
        channel="fan",
        made={},
    )
    sensor = {**SENSOR, "calibration": "{machine}-{axis}.calibration"}

    async def send(port: int) -> None:
        async with aiomqtt.Client("127.0.0.1", port) as client:
            for name in (f"{'f' * 128}/{'x' * 120}", "fan/x"):
                await client.publish(f"plant/{name}", bytes(400), qos=1)

    with mosquitto(tmp_path) as port, running_daemon(tmp_path, port, f"sensors: {json.dumps([sensor])}\n") as daemon:
        wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
        asyncio.run(send(port))
        wait_for(
            lambda: daemon.process.poll() is not None or sum(daemon.values("vibration_samples_received_total")) == 200,
            "both channels",
        )
        assert daemon.process.poll() is None
        assert "File name too long" in daemon.log.read_text()
        assert daemon.values("vibration_internal_errors_total", where="message") == [0.0]


def test_another_broker_or_topic_gets_the_present_alarms(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"

    def write(topic: str) -> None:
        mqtt = f"mqtt: {{url: 'mqtt://127.0.0.1:{free_port()}', events_topic: {topic}}}\n"
        config.write_text(configuration(free_port(), 0, mqtt))

    async def story() -> None:
        daemon = Daemon(read_config(config), config)
        await daemon.start()
        serving = asyncio.create_task(daemon.serve())
        for name in ("fan", "pump"):
            daemon.ingest.deliver(f"plant/{name}/x", np.zeros(100, "<f4").tobytes())
        fan = daemon.ingest.channels["fan", "x"]
        fan.event = '{"state": "alarm"}'
        write("later")
        await daemon.reload()
        assert list(daemon._events._states.values()) == [fan.event]
        await daemon.reload()
        daemon._events._states.clear()
        await daemon.reload()
        assert not daemon._events._states, "nothing has changed"
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await daemon.close()

    write("first")
    asyncio.run(asyncio.wait_for(story(), 60))
