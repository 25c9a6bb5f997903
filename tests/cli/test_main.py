"""How every command ends: one message and a status, also where the output cannot be written, or Ctrl-C is pressed."""

import signal
import subprocess
import sys
from pathlib import Path

from monitor.shipped import shipped

COMMAND = [sys.executable, "-m", "monitor"]


def test_output_that_cannot_be_written_is_one_line() -> None:
    for more in ((), ("--json",)):
        with Path("/dev/full").open("w", encoding="utf-8") as full:
            done = subprocess.run(
                [*COMMAND, "check-config", shipped("config/example.yaml"), *more],
                stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
            )  # fmt: skip
        assert done.returncode == 4
        assert done.stderr == "vibration-monitor: the output: No space left on device\n"


def test_interrupted_work_leaves_nothing_and_has_the_shells_status(tmp_path: Path) -> None:
    out = tmp_path / "long.npz"
    with subprocess.Popen(
        [*COMMAND, "simulate", "--out", out, "--duration", "20000s"], stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == "simulating\n"
        running.send_signal(signal.SIGINT)
        assert running.stderr.read() == "\nvibration-monitor: interrupted\n"
        assert running.wait(60) == 130
    assert list(tmp_path.iterdir()) == []
