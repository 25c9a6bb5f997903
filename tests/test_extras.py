"""What is shown where an optional library is missing: the line that installs it as the product was installed."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from monitor.errors import ConfigurationError
from monitor.extras import EXTRAS, install_line, installed, require
from tests.support.programs import ROOT

REQUIRES = """\
Metadata-Version: 2.4
Name: vibration-monitor
Version: 9
Requires-Dist: numpy>=2
Requires-Dist: h5py<3.15,>=3.11; extra == 'recordings'
Requires-Dist: pyarrow>=18; extra == 'recordings'
Requires-Dist: matplotlib>=3.9; extra == 'plot'
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with the product's metadata in it; gives the folder of these."""
    folder = tmp_path / "vibration_monitor-9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(REQUIRES)
    (folder / "INSTALLER").write_text("pip\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "executable", "/opt/vm/bin/python")
    return folder


def origin(environment: Path, url: str, **more: object) -> None:
    (environment / "direct_url.json").write_text(json.dumps({"url": url, **more}))


PIP = "/opt/vm/bin/python -m pip install"


def test_from_an_index(environment: Path) -> None:
    assert install_line("plot") == f"{PIP} 'vibration-monitor[plot]'"
    (environment / "INSTALLER").write_text("uv")
    assert install_line("plot") == "uv pip install --python /opt/vm/bin/python 'vibration-monitor[plot]'"


def test_from_a_wheel_file(environment: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "my wheels" / "vibration_monitor-9-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    origin(environment, wheel.as_uri(), archive_info={})
    assert install_line("plot") == f"{PIP} '{wheel}[plot]'"
    wheel.unlink()
    assert install_line("recordings") == f"{PIP} 'h5py<3.15,>=3.11' 'pyarrow>=18'"


def test_from_a_checkout(environment: Path, tmp_path: Path) -> None:
    origin(environment, tmp_path.as_uri(), dir_info={"editable": True})
    assert install_line("plot") == f"{PIP} -e '{tmp_path}[plot]'"
    origin(environment, tmp_path.as_uri(), dir_info={})
    assert install_line("plot") == f"{PIP} '{tmp_path}[plot]'"


def test_from_elsewhere(environment: Path) -> None:
    origin(environment, "https://forge.example/vm.git", vcs_info={"vcs": "git", "commit_id": "1"})
    assert install_line("plot") == f"{PIP} 'vibration-monitor[plot] @ git+https://forge.example/vm.git'"
    origin(environment, "https://files.example/vm.whl", archive_info={})
    assert install_line("plot") == f"{PIP} 'vibration-monitor[plot] @ https://files.example/vm.whl'"


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert not installed("tensorflow")
    with pytest.raises(ConfigurationError) as caught:
        require("tensorflow", "train")
    assert str(caught.value) == (
        f"train needs the library tensorflow, which is not installed: {install_line('tensorflow')}"
    )
    require("numpy", "everything")


def test_every_extra_brings_its_library() -> None:
    optional = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for library, extra in EXTRAS.items():
        assert any(requirement.replace("-", "_").startswith(library) for requirement in optional[extra]), library


HIDE = """
import sys
sys.modules.update(dict.fromkeys({names!r}))  # importing one of them fails, as where it is not installed
from monitor.cli.main import main
sys.argv = ["vibration-monitor", *{arguments!r}]
main()
"""


@pytest.mark.parametrize(
    ("arguments", "library"),
    [
        (["train", "healthy.npz", "--out", "mine"], "tensorflow"),
        (["train", "--universal", "--budget", "2h", "--out", "mine"], "tensorflow"),
        (["models", "verify", "reference", "--tensorflow"], "tensorflow"),
        (["models", "verify", "reference", "--jax"], "jax"),
        (["demo"], "amqtt"),
        (["simulate", "--out", "fan.h5", "--duration", "1s"], "h5py"),
        (["simulate", "--out", "fan.wav", "--duration", "1s"], "soundfile"),
        (["backtest", "reference", "healthy.parquet"], "pyarrow"),
        (["backtest", "reference", "healthy.npz", "--plot", "a.png"], "matplotlib"),
    ],
)
def test_a_plain_installation_says_what_it_lacks(tmp_path: Path, arguments: list[str], library: str) -> None:
    (tmp_path / "healthy.parquet").touch()
    code = HIDE.format(names=list(EXTRAS), arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    *warnings, line = done.stderr.splitlines()
    assert all(each.startswith("warning: ") for each in warnings)
    assert done.returncode in {2, 3}
    assert f"needs the library {library}, which is not installed: {install_line(EXTRAS[library])}" in line
    assert not (tmp_path / "mine").exists()


def test_a_plain_installation_verifies_the_reference(tmp_path: Path) -> None:
    code = HIDE.format(names=list(EXTRAS), arguments=["models", "verify", "reference"])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert "model.onnx     golden forecasts within" in done.stdout
    assert "model.keras    golden" not in done.stdout
    assert "only its hash was checked: to forecast with model.keras needs the library onnx" in done.stderr
