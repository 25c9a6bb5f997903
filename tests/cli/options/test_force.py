"""Nothing is replaced without ``--force``: not what ``--out`` names, and no table and no figure either."""

from pathlib import Path

import pytest

from monitor.errors import ConfigurationError
from tests.support.commands import invoke, output, refusal


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "fan.npz"
    output("simulate", "--out", path, "--duration", "3s")
    return path


@pytest.mark.parametrize(
    ("command", "option", "suffix"),
    [
        (("backtest", "demo"), "--csv", ".csv"),
        (("backtest", "demo"), "--plot", ".png"),
        (("forecast", "demo", "--at", "5000"), "--plot", ".svg"),
        (("forecast", "demo", "--at", "5000"), "--plot-positions", ".png"),
        (("diagnose",), "--plot", ".png"),
    ],
)
def test_a_table_and_a_figure_replace_nothing_without_force(
    tmp_path: Path, recording: Path, command: tuple[str, ...], option: str, suffix: str
) -> None:
    file = tmp_path / f"precious{suffix}"
    file.write_text("precious")
    error = refusal(*command, recording, option, file)
    assert isinstance(error, ConfigurationError)
    assert str(error) == f"{option} {file}: exists; give another name, or --force to replace it"
    assert file.read_text() == "precious"
    output(*command, recording, option, file, "--force")
    assert b"precious" not in file.read_bytes()


def test_a_recording_is_no_table(recording: Path) -> None:
    before = recording.read_bytes()
    assert "exists" in str(refusal("backtest", "demo", recording, "--csv", recording))
    assert recording.read_bytes() == before


def test_an_empty_file_holds_nothing_to_lose(tmp_path: Path, recording: Path) -> None:
    table = tmp_path / "table.csv"
    table.touch()
    output("backtest", "demo", recording, "--csv", table)
    assert table.read_text().startswith("channel,start_s,")


@pytest.mark.parametrize(
    ("command", "option"),
    [(("calibrate", "demo"), "--out"), (("backtest", "demo"), "--csv"), (("diagnose",), "--plot")],
)
def test_a_folder_is_refused_before_the_work(
    tmp_path: Path, recording: Path, command: tuple[str, ...], option: str
) -> None:
    result = invoke(*command, recording, option, tmp_path)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}': File '{tmp_path}' is a directory." in result.stderr
