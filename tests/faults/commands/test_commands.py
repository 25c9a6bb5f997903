"""What lies in the working directory, and a broker that wants to know who asks."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from monitor.recording.options import RecordingOptions
from monitor.recording.source import open_recording
from monitor.recording.write import write_recording
from monitor.runtime.processes import procfs
from tests.support.authority import Authority
from tests.support.closed_broker import PASSWORD, closed_broker
from tests.support.daemons import SENSOR, configuration
from tests.support.servers import answers, free_port, process, wait_for

pytestmark = pytest.mark.system

SHADOWS = ("random", "traceback", "numpy", "json", "secrets", "socket", "monitor/runtime/worker")
"""Modules that we, the workers or the standard library import."""


@pytest.mark.parametrize("safe", [True, False])
def test_no_code_of_the_working_directory_runs(tmp_path: Path, safe: bool) -> None:
    folder = tmp_path / "work"
    for name in SHADOWS:
        file = folder / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})\nraise SystemExit(9)\n")
    if not safe:  # without -P the package itself is looked for here
        (folder / "monitor" / "runtime" / "worker.py").unlink()
        (folder / "monitor" / "runtime").rmdir()
        (folder / "monitor").rmdir()
    port = free_port()
    (folder / "config.yaml").write_text(configuration(free_port(), port))
    command = [sys.executable, *(["-P"] if safe else []), "-m", "monitor", "run", "--config", "config.yaml"]
    with process(*command, cwd=folder) as daemon:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/-/healthy") or daemon.poll() is not None, "the daemon")
        assert daemon.poll() is None
        assert procfs.children(daemon.pid)
    assert not (tmp_path / "ran").exists()


def test_replay_and_record_reach_a_broker_that_asks_for_everything(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "plant")
    cert, key = authority.sign("monitor")
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "wrong").write_text("battery staple\n")
    rng = np.random.default_rng(1)
    write_recording(tmp_path / "fan.npz", rng.normal(size=6000).astype(np.float32), 2000.0, "g")
    with closed_broker(tmp_path, authority) as port:
        tls = {"ca_file": str(authority.certificate), "cert_file": str(cert), "key_file": str(key)}
        broker = {
            "url": f"mqtts://127.0.0.1:{port}",
            "user": "monitor",
            "password_file": str(tmp_path / "password"),
            "tls": tls,
        }
        (tmp_path / "config.yaml").write_text(json.dumps({"mqtt": broker, "sensors": [SENSOR]}))
        options = ["--url", f"mqtts://127.0.0.1:{port}", "--user", "monitor"]
        options += ["--ca-file", str(authority.certificate), "--cert-file", str(cert), "--key-file", str(key)]
        monitor = [sys.executable, "-m", "monitor"]
        replay = [*monitor, "replay", str(tmp_path / "fan.npz"), "--topic", "other/fan-1", "--speed", "4", *options]
        record = [
            *monitor, "record", "--topic", "other/fan-1", "--out", str(tmp_path / "out.npz"), "--duration", "1s",
            "--sampling-rate-hz", "2000", "--unit", "g", "--force",
        ]  # fmt: skip
        with process(*record, "--config", str(tmp_path / "config.yaml")) as recorder:
            while recorder.poll() is None:
                subprocess.run([*replay, "--password-file", str(tmp_path / "password")], check=True, timeout=60)
            assert recorder.returncode == 0
        told = RecordingOptions(sampling_rate_hz=2000)  # it came four times as fast
        (samples,) = open_recording(str(tmp_path / "out.npz"), told).load(own_unit=True)
        (sent,) = open_recording(str(tmp_path / "fan.npz")).load(own_unit=True)
        assert np.array2string(samples[:100]) in {np.array2string(sent[at : at + 100]) for at in range(0, 6000, 200)}

        def refusal(*command: str) -> str:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert (done.returncode, done.stdout) in {(2, ""), (4, "")}
            (line,) = done.stderr.splitlines()
            return line

        wrong = ["--password-file", str(tmp_path / "wrong")]
        assert "not authorized" in refusal(*replay, *wrong).lower()
        assert "not authorized" in refusal(*record, *options, *wrong).lower()
        stranger = ["--ca-file", str(Authority(tmp_path / "stranger").certificate)]
        assert "CERTIFICATE_VERIFY_FAILED" in refusal(*replay, *wrong, *stranger)
        assert "cannot read" in refusal(*replay, "--password-file", str(tmp_path / "none"))
        plain = ["--config", str(tmp_path / "config.yaml"), "--url", f"mqtt://127.0.0.1:{port}"]
        assert "write mqtts://" in refusal(*record, *plain)
