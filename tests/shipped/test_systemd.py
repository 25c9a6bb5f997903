"""The unit and its drop-ins: accepted by systemd, hardened, and the CPU engine works under their system call rules."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hardened import settings
from tests.support.programs import ROOT, missing, program

SYSTEMD = ROOT / "systemd"
UNIT = SYSTEMD / "vibration-monitor.service"
TEMPLATE = SYSTEMD / "vibration-monitor@.service"
DROP_INS = sorted((SYSTEMD / "vibration-monitor.service.d").glob("*.conf"))
COMBINATIONS = [[], *([drop_in] for drop_in in DROP_INS), DROP_INS]

ENGINE = """
import asyncio, mmap, threading
import aiohttp, aiomqtt, numpy, onnxruntime, pydantic, scipy.signal
from onnx import TensorProto, helper
weights = [helper.make_tensor(name, TensorProto.FLOAT, [1, 400, 100], numpy.ones(40000, "f4")) for name in "WR"]
shapes = {"X": [25, 8, 100], "Y": [25, 1, 8, 100]}
ends = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
node = helper.make_node("LSTM", ["X", "W", "R"], ["Y"], hidden_size=100)
graph = helper.make_graph([node], "lstm", [ends["X"]], [ends["Y"]], weights)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
def forecast():
    print(session.run(None, {"X": numpy.ones((25, 8, 100), "f4")})[0].shape)
thread = threading.Thread(target=forecast)
thread.start()
thread.join()
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
except PermissionError:
    print("no writable executable page")
"""
"""The daemon's libraries at work, then a request that MemoryDenyWriteExecute has to refuse."""


def installed(folder: Path, drop_ins: list[Path]) -> Path:
    """A copy of the unit as a user installs it, with a program that exists on this machine."""
    text = UNIT.read_text(encoding="utf-8")
    unit = folder / UNIT.name
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text), encoding="utf-8")
    (folder / f"{UNIT.name}.d").mkdir()
    for drop_in in drop_ins:
        shutil.copy(drop_in, folder / f"{UNIT.name}.d" / drop_in.name)
    return unit


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("systemd-analyze"), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("drop_ins", COMBINATIONS, ids=lambda files: "+".join(f.stem for f in files) or "alone")
def test_unit_is_accepted_and_hardened(tmp_path: Path, drop_ins: list[Path]) -> None:
    unit = str(installed(tmp_path, drop_ins))
    verified = analyze("verify", unit)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    rated = analyze("security", "--offline=true", "--threshold=20", unit)
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", rated.stdout)
    assert exposure, rated.stdout + rated.stderr
    assert float(exposure[1]) <= 2.0, rated.stdout
    assert rated.returncode == 0


@pytest.mark.parametrize(
    ("row", "drop_ins", "more"),
    [
        ("as shipped, also with `mqtt-password.conf`", [], ""),
        ("as shipped, also with `mqtt-password.conf`", ["mqtt-password.conf"], ""),
        (
            "with `IPAddressDeny=any` as above",
            [],
            "[Service]\nIPAddressDeny=any\nIPAddressAllow=localhost 192.0.2.10\n",
        ),
        ("with `gpu.conf`", ["gpu.conf"], ""),
    ],
)
def test_the_readme_states_the_exposure(tmp_path: Path, row: str, drop_ins: list[str], more: str) -> None:
    version = analyze("--version").stdout
    unit = installed(tmp_path, [file for file in DROP_INS if file.name in drop_ins])
    if more:
        (tmp_path / f"{UNIT.name}.d" / "override.conf").write_text(more)
    rated = analyze("security", "--offline=true", str(unit)).stdout
    found = re.search(r"exposure level for \S+: ([\d.]+)", rated)
    assert found, rated
    readme = (SYSTEMD / "README.md").read_text(encoding="utf-8")
    stated = re.search(rf"^\| {re.escape(row)} \| ([\d.]+) \|$", readme, re.MULTILINE)
    assert stated, row
    if version.startswith("systemd 252"):
        assert found[1] == stated[1]
    else:
        assert abs(float(found[1]) - float(stated[1])) <= 0.5


def test_unit_says_what_the_daemon_relies_on() -> None:
    unit = {key: values[-1] for key, values in settings([UNIT]).items()}
    assert unit["ExecStart"] == (
        "/opt/vibration-monitor/bin/vibration-monitor run --config /etc/vibration-monitor/config.yaml"
    )
    expected = {
        "Type": "notify",
        "NotifyAccess": "main",
        "ExecReload": "/bin/kill -HUP $MAINPID",
        "RestartPreventExitStatus": "2 3",
        "Restart": "on-failure",
        "DynamicUser": "yes",
        "StateDirectory": "vibration-monitor",
        "WatchdogSec": "30s",
        "MemoryDenyWriteExecute": "yes",
    }
    assert {key: unit.get(key) for key in expected} == expected
    assert {"MemoryMax", "MemoryHigh", "TasksMax", "LimitNOFILE"} <= set(unit)


def test_the_template_differs_in_configuration_and_state_only(tmp_path: Path) -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    one = text.replace("monitor %i:", "monitor:").replace("/%i.yaml", "/config.yaml")
    one = one.replace("monitor-%i\n", "monitor\n")
    assert "%i" not in one
    assert one.partition("[Unit]")[2] == UNIT.read_text(encoding="utf-8").partition("[Unit]")[2]
    for name in ("StateDirectory=vibration-monitor-%i", "run --config /etc/vibration-monitor/%i.yaml"):
        assert name in text
    unit = tmp_path / "vibration-monitor@hall-3.service"
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text), encoding="utf-8")
    verified = analyze("verify", str(unit))
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_gpu_drop_in_lets_the_driver_through() -> None:
    gpu = settings([SYSTEMD / "vibration-monitor.service.d" / "gpu.conf"])
    assert gpu["MemoryDenyWriteExecute"] == ["no"]
    assert gpu["PrivateDevices"] == ["no"]
    assert all(re.fullmatch(r"char-nvidia[a-z-]* rw", device) for device in gpu["DeviceAllow"])


def test_the_cpu_engine_works_under_the_units_system_call_rules() -> None:
    program("systemd-analyze")
    pytest.importorskip("onnx", reason="the test makes its model with onnx")
    command = [sys.executable, "-m", "tests.support.hardened", str(UNIT), "--", sys.executable, "-c", ENGINE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    if "libseccomp" in done.stderr or "the kernel did not take" in done.stderr:
        missing(f"no seccomp here: {done.stderr.splitlines()[-1]}")
    assert done.stdout.splitlines() == ["(25, 1, 8, 100)", "no writable executable page"], done.stderr


def test_readme_names_only_what_is_there() -> None:
    readme = (SYSTEMD / "README.md").read_text(encoding="utf-8")
    for drop_in in DROP_INS:
        assert drop_in.name in readme
    for word in re.findall(r"`(vibration-monitor\.service\.d/[\w.-]+)`", readme):
        assert (SYSTEMD / word).exists(), word
