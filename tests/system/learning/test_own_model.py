"""A plant's own model, over a real mosquitto: sampled, trained, judged and taken, from a real recording."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import pytest

from monitor.core.arrays import Float32
from monitor.model.own.state import Phase, read_state
from monitor.runtime.models_in_use import own_folder
from tests.support.channels.own_model import RATE_HZ, rig, unknowing
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.servers import mosquitto, until, wait_for

pytestmark = [
    pytest.mark.long,
    pytest.mark.system,
    # Keras converts its variables in a way that is deprecated in NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

PIECE = RATE_HZ // 5

LONG_S = 400.0
"""Longest wait for a training, which takes what nobody else wants."""

OWN = """
limits: {{channels: 8, buffer: 20s}}
state_dir: {state}
models: {{default: {model}}}
scoring: {{interval: 100ms, rate_tolerance: 1000, silent_after: 10m}}
learning: {{enabled: true, duration: 60s, minimum: {minimum}, settle: 1s, model: {own}}}
"""


def text(folder: Path, minimum: str = "10s", own: str = "own") -> str:
    return OWN.format(state=folder / "state", model=folder / "base", minimum=minimum, own=own)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    unknowing(tmp_path / "base")
    with mosquitto(tmp_path) as port:
        yield port


def send(daemon: RunningDaemon, broker: int, signals: dict[str, Float32]) -> None:
    """Publish signals, a fifth of a second of each machine in turn; the daemon has time to look at each."""
    wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
    begun = sum(daemon.values("vibration_blocks_received_total"))

    async def story() -> None:
        sent = begun
        async with aiomqtt.Client("127.0.0.1", broker) as client:
            for first in range(0, max(map(len, signals.values())), PIECE):
                for machine, samples in signals.items():
                    part = samples[first : first + PIECE]
                    await client.publish(f"plant/{machine}/x", part.tobytes(), qos=1)
                    sent += part.size // 100
                await asyncio.sleep(0.07)
        await until(lambda: sum(daemon.values("vibration_blocks_received_total")) >= sent - 10, "the blocks")

    asyncio.run(story())


def phase(daemon: RunningDaemon) -> str:
    (one,) = [each for each in Phase if daemon.value("vibration_own_model_phase", model="default", phase=each)]
    return str(one)


def reached(daemon: RunningDaemon, wanted: str) -> None:
    deadline = time.monotonic() + LONG_S
    while phase(daemon) != wanted:
        assert phase(daemon) in {"sampling", "training", "offered", wanted}, daemon.log.read_text()[-3000:]
        assert time.monotonic() < deadline, daemon.log.read_text()[-3000:]
        time.sleep(0.5)


def in_use(daemon: RunningDaemon, sha256: str) -> None:
    wait_for(lambda: daemon.values("vibration_model_info", sha256=sha256) == [1.0], "the model")


def training(daemon: RunningDaemon) -> int | None:
    """The process that trains, a child of the daemon."""
    for pid in Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text().split():
        if b"--learned" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return int(pid)
    return None


def wait_for_training(daemon: RunningDaemon) -> int:
    wait_for(lambda: training(daemon), "the training")
    found = training(daemon)
    assert found is not None
    return found


def test_a_plant_gets_its_own_model_and_learns_with_it(tmp_path: Path, broker: int) -> None:
    """Killed while it samples and while it trains; the training is killed once more by itself."""
    whole = rig()
    folder = own_folder(tmp_path / "state", "default")
    with running_daemon(tmp_path, broker, text(tmp_path)) as daemon:
        send(daemon, broker, {"fan": whole[: 6 * RATE_HZ], "pump": whole[-6 * RATE_HZ :]})
        assert phase(daemon) == "sampling"
        assert 0.2 < daemon.value("vibration_own_model_sampled_ratio") < 0.9
        # Nothing is learned before the model that stays is known.
        assert daemon.values("vibration_channel_state", state="learning") == [1.0, 1.0]
        assert daemon.values("vibration_learning_progress_ratio") == [0.0, 0.0]
        assert "learning begins" not in daemon.log.read_text()
        written = sum(path.stat().st_size for path in folder.glob("samples/*.npy"))
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait(20)
    assert written > 4 * 2 * 2000 * 4
    with running_daemon(tmp_path, broker, text(tmp_path)) as daemon:
        send(daemon, broker, {"fan": whole[6 * RATE_HZ :], "pump": whole[: -6 * RATE_HZ]})
        reached(daemon, "training")
        assert sum(path.stat().st_size for path in folder.glob("samples/*.npy")) > written
        pid = wait_for_training(daemon)
        assert os.getpriority(os.PRIO_PROCESS, pid) == 19
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: "killed by signal 9" in daemon.log.read_text(), "the end of the training")
        pid = wait_for_training(daemon)
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait(20)
        os.kill(pid, signal.SIGKILL)  # as systemd ends what is left of a service
    with running_daemon(tmp_path, broker, text(tmp_path)) as daemon:
        reached(daemon, "taken")
        state = read_state(folder)
        assert state is not None
        assert state.gain is not None
        assert state.gain > 0.05
        assert daemon.value("vibration_own_model_gain_ratio") == pytest.approx(state.gain)
        in_use(daemon, str(state.sha256))
        send(daemon, broker, {"fan": whole, "pump": whole})
        wait_for(lambda: daemon.log.read_text().count("learning begins") == 2, "the learning")
        assert f"own model taken: model=default sha256={str(state.sha256)[:12]}" in daemon.log.read_text()
        assert sum(daemon.values("vibration_internal_errors_total")) == 0
    with running_daemon(tmp_path, broker, text(tmp_path)) as daemon:  # a restart goes on with it
        assert daemon.values("vibration_model_info", sha256=str(state.sha256)) == [1.0]
        wait_for(lambda: len(re.findall("learning (begins|goes on)", daemon.log.read_text())) == 2, "the learning")
        daemon.config.write_text(text_of_reload := daemon.config.read_text().replace("model: own", "model: reference"))
        assert "model: reference" in text_of_reload
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reloaded" in daemon.log.read_text(), "the reload")
        assert daemon.values("vibration_model_info", sha256=str(state.sha256)) == []
        assert daemon.values("vibration_own_model_phase") == []


def test_without_tensorflow_learning_goes_on_and_a_person_may_take_the_model_later(tmp_path: Path, broker: int) -> None:
    """Channels with baselines of the model in use lose nothing unless a person says so, who is told what is gained."""
    whole, folder = rig(), own_folder(tmp_path / "state", "default")
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "sitecustomize.py").write_text("import sys\nsys.modules['tensorflow'] = None\n")
    path = os.pathsep.join([str(tmp_path / "without"), os.environ.get("PYTHONPATH", "")])
    with running_daemon(tmp_path, broker, text(tmp_path), os.environ | {"PYTHONPATH": path}) as daemon:
        send(daemon, broker, {"fan": whole[: 14 * RATE_HZ]})
        reached(daemon, "training")
        log = daemon.log.read_text()
        assert "learning.model: own needs the library tensorflow, which is not installed: " in log
        assert f"'vibration-monitor train --learned {folder}' does it by hand" in log
        assert "learning begins" in log
        deadline = time.monotonic() + LONG_S
        while not daemon.value("vibration_channel_calibrated"):
            send(daemon, broker, {"fan": whole})
            assert time.monotonic() < deadline, daemon.log.read_text()[-3000:]
        before = list((tmp_path / "state" / "baselines").glob("*.json"))
        assert len(before) == 1
        command = [sys.executable, "-m", "monitor", "train", "--learned", str(tmp_path / "state"), "--json"]
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LONG_S).stdout
        (model,) = json.loads(told)["models"]
        assert model["phase"] == "offered"
        assert model["gain"] > 0.05
        reached(daemon, "offered")
        assert daemon.value("vibration_channel_calibrated") == 1.0
        assert "own model ready: model=default; with it" in daemon.log.read_text()
        assert "would learn anew; to take it: vibration-monitor train --learned" in daemon.log.read_text()
        told = subprocess.run([*command, "--force"], capture_output=True, text=True, check=True, timeout=60).stdout
        assert json.loads(told)["models"][0] == model | {"phase": "taken"}
        in_use(daemon, model["sha256"])
        send(daemon, broker, {"fan": whole})
        assert daemon.values("vibration_channel_state", state="learning") == [1.0]
        assert f"this is {model['sha256'][:12]}; learn again" in daemon.log.read_text()
        assert sum(daemon.values("vibration_internal_errors_total")) == 0
