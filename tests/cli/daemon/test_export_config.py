"""``export-config`` writes what a user of the wheel needs, and overwrites nothing unasked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.cli.daemon import export_config
from monitor.errors import ConfigurationError, MonitorError
from tests.support.programs import ROOT


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor", "export-config", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def relative(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_everything_is_written_and_listed(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    done = run(target)
    assert done.returncode == 0, done.stderr
    assert {Path(line) for line in done.stdout.splitlines()} == {target / name for name in relative(target)}
    assert {
        "config/example.yaml",
        "config/prometheus/vibration.rules.yml",
        "config/prometheus/prometheus.yml",
        "config/prometheus/alertmanager.yml",
        "config/grafana/dashboards/fleet.json",
        "config/grafana/provisioning/dashboards/vibration.yaml",
        "systemd/README.md",
        "systemd/vibration-monitor.service",
        "systemd/vibration-monitor@.service",
        "systemd/vibration-monitor.service.d/gpu.conf",
        "systemd/vibration-monitor.service.d/mqtt-password.conf",
    } <= relative(target)
    for name in relative(target):
        assert (target / name).read_bytes() == (ROOT / name).read_bytes()
        assert "__pycache__" not in name
        assert not Path(name).name.startswith(".")


def test_json_is_one_document(tmp_path: Path) -> None:
    done = run(tmp_path, "--json")
    document = json.loads(done.stdout)
    assert document["folder"] == str(tmp_path)
    assert {Path(name) for name in document["files"]} == {tmp_path / name for name in relative(tmp_path)}


def test_nothing_is_written_while_a_file_is_in_the_way(tmp_path: Path) -> None:
    mine = tmp_path / "config" / "prometheus" / "prometheus.yml"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    done = run(tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"1 of {len(export_config.sources())} files exist already, nothing was written" in done.stderr
    assert done.stderr.rstrip().endswith(str(mine))
    assert "--force" in done.stderr
    assert relative(tmp_path) == {"config/prometheus/prometheus.yml"}
    assert run(tmp_path, "--force").returncode == 0
    assert mine.read_bytes() == (ROOT / "config" / "prometheus" / "prometheus.yml").read_bytes()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    done = run(tmp_path / "file")
    assert done.returncode == 4
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr


def test_a_package_without_the_files_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_config, "shipped", lambda name: tmp_path / "nowhere" / name)
    with pytest.raises(MonitorError, match="install the package again") as caught:
        export_config.export(tmp_path, force=True)
    assert not isinstance(caught.value, ConfigurationError)


def test_help_has_an_example() -> None:
    assert "vibration-monitor export-config /usr/local/share" in run("--help").stdout
