"""The built wheel, installed into a fresh environment and used from an empty folder: all it needs is inside.

The libraries are those of the environment that runs the tests; only the product itself is installed anew.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor import __version__
from tests.support.programs import ROOT, missing
from tests.support.servers import free_port, get, process, wait_for

pytestmark = pytest.mark.system


@dataclass(frozen=True)
class Installed:
    """A fresh environment with the wheel in it, and an empty folder."""

    environment: Path
    folder: Path

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"

    @property
    def command(self) -> Path:
        return self.environment / "bin" / "vibration-monitor"

    @property
    def variables(self) -> dict[str, str]:
        """Of the processes: nothing that leads back to the checkout."""
        return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(self, *command: str | Path) -> str:
        """What a command that must succeed prints on standard output."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.variables, capture_output=True, text=True, check=False, timeout=180
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    if importlib.util.find_spec("hatchling") is None:
        missing("hatchling is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT, capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=60)
    # A folder that a .pth file names is searched after the environment's own; the .pth files in it are not read.
    paths = sysconfig.get_paths(vars={"base": str(environment), "platbase": str(environment)}, scheme="venv")
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(paths["purelib"], "libraries.pth").write_text("\n".join(libraries))
    subprocess.run(
        [
            sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install", "--quiet", "--no-deps",
            "--no-index", "--ignore-installed", "--disable-pip-version-check", wheel,
        ],
        check=True, timeout=120,
    )  # fmt: skip
    empty = folder / "empty"
    empty.mkdir()
    return Installed(environment, empty)


def test_the_installed_package_is_the_one_that_runs(installed: Installed) -> None:
    where = installed.run(installed.python, "-P", "-c", "import monitor; print(monitor.__file__)").strip()
    assert Path(where).is_relative_to(installed.environment)
    for command in ([installed.command], [installed.python, "-m", "monitor"]):
        assert __version__ in installed.run(*command, "--version")


def test_the_charts_of_the_page_come_with_the_base(installed: Installed) -> None:
    code = "import importlib.metadata as m; print(*m.requires('vibration-monitor'), sep='\\n')"
    wanted = installed.run(installed.python, "-P", "-c", code).splitlines()
    assert [line for line in wanted if line.startswith("plotly") and "extra ==" not in line]


def test_recordings_become_a_model_and_a_calibration(installed: Installed) -> None:
    monitor = installed.command
    installed.run(monitor, "simulate", "--out", "healthy.npz", "--duration", "40s")
    installed.run(
        monitor, "train", "healthy.npz?first=0.2", "--out", "tiny", "--epochs", "1", "--windows", "64",
        "--from-scratch", "--units", "8", "--hidden", "8",
    )  # fmt: skip
    done = installed.run(
        monitor, "calibrate", "tiny", "healthy.npz", "--from", "8s", "--out", "fan.calibration", "--json"
    )
    assert json.loads(done)["intervals"] > 20
    assert (installed.folder / "fan.calibration").is_file()


def test_the_files_of_the_package_are_written_out(installed: Installed) -> None:
    installed.run(installed.command, "export-config", "written")
    for name in ("config/example.yaml", "config/prometheus/vibration.rules.yml", "systemd/vibration-monitor.service"):
        assert (installed.folder / "written" / name).read_bytes() == (ROOT / name).read_bytes()


def test_the_demo_serves_its_page_and_its_workers_score(installed: Installed) -> None:
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = (installed.command, "demo", "--port", str(port), "--duration", "15s", "--json")

    def scored() -> bool:
        try:
            page = get(f"{address}/metrics")
        except OSError:
            return False
        return bool(re.search(r"^vibration_blocks_scored_total\{.*\} [1-9]", page, re.MULTILINE))

    out = installed.folder / "told"
    with (
        out.open("w") as stream,
        process(*command, cwd=installed.folder, env=installed.variables, stdout=stream) as demo,
    ):
        wait_for(lambda: demo.poll() is not None or scored(), "scores of a worker", 120)
        assert demo.poll() is None
        page = get(f"{address}/")
        files = set(re.findall(r'(?:src|href)="(static/[^"]+)"', page))
        assert {Path(name).suffix for name in files} == {".js", ".css", ".svg"}
        for name in files:
            assert get(f"{address}/{name}") == static(installed, name)
        assert len(get(f"{address}/static/plotly.min.js")) > 1_000_000
        assert demo.wait(60) == 0
    summary = json.loads(out.read_text().splitlines()[-1])["channels"]
    assert len(summary) == 15
    assert all(row["gap_ratio"] > 0 for row in summary)


def static(installed: Installed, name: str) -> str:
    """A file of the page as it lies in the environment."""
    (file,) = installed.environment.rglob(f"monitor/runtime/web/page/{name}")
    return file.read_text()


def test_the_shipped_reference_is_a_name_that_every_command_knows(installed: Installed) -> None:
    monitor = installed.command
    installed.run(monitor, "simulate", "--out", "named.npz", "--duration", "20s")
    assert "golden forecasts within" in installed.run(monitor, "models", "verify", "reference")
    installed.run(monitor, "calibrate", "reference", "named.npz", "--out", "named.calibration")
    done = installed.run(monitor, "backtest", "models/reference", "named.npz", "--calibration", "named.calibration")
    assert "no alarm" in done
    assert "gap ratio" in installed.run(monitor, "forecast", "reference", "named.npz", "--at", "20000", "--any-rate")
    (installed.folder / "config.yaml").write_text(
        "models: {default: reference}\n"
        "sensors: [{topic: 'plant/{machine}', payload: {format: float32}, sampling_rate_hz: 12000, unit: g}]\n"
    )
    assert "ok" in installed.run(monitor, "check-config", "config.yaml")


def test_what_is_missing_is_installed_from_the_wheel_again(installed: Installed) -> None:
    code = "from monitor.extras import install_line; print(install_line('tensorflow'))"
    line = installed.run(installed.python, "-P", "-c", code).strip()
    assert line.startswith(f"{installed.python} -m pip install ")
    assert line.endswith("-py3-none-any.whl[tensorflow]'")
