import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from monitor.cli.recording.simulate import command
from monitor.errors import ConfigurationError


def simulate(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments), catch_exceptions=True)


def written(path: Path, *arguments: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    result = simulate("--out", str(path), "--force", *arguments)
    assert result.exit_code == 0, result.output
    with np.load(path, allow_pickle=False) as file:
        samples: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = file["acceleration"]
        assert str(file["unit"]) == "m/s2"
    return samples


def test_it_writes_a_recording_and_says_which(tmp_path: Path) -> None:
    out = tmp_path / "pump.npz"
    result = simulate("--out", str(out), "--machine", "pump", "--duration", "2s", "--channels", "3", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "file": str(out), "samples": 24000, "sampling_rate_hz": 12000.0, "unit": "m/s2",
        "channels": ["drive-end", "fan-end", "foot"], "machine": "pump", "seed": 0, "fault": None,
        "fault_start_s": None,
    }  # fmt: skip
    with np.load(out, allow_pickle=False) as file:
        assert file["acceleration"].shape == (24000, 3)
        assert file["acceleration"].dtype == np.float32
        assert file["channels"].tolist() == ["drive-end", "fan-end", "foot"]


def test_the_seed_decides_and_a_channel_does_not_depend_on_those_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "a.npz"
    three = written(out, "--duration", "12s", "--seed", "5", "--channels", "3")
    assert (written(out, "--duration", "12s", "--seed", "5", "--point", "1") == three[:, 1]).all()
    assert (written(out, "--duration", "12s", "--seed", "6", "--point", "1") != three[:, 1]).any()


def test_a_fault_is_felt_most_at_the_drive_end(tmp_path: Path) -> None:
    options = ("--duration", "4s", "--channels", "3")
    healthy = written(tmp_path / "healthy.npz", *options)
    faulty = written(
        tmp_path / "faulty.npz", *options, "--fault", "outer-race", "--fault-start", "1s", "--fault-growth", "1s"
    )
    added = np.sqrt(np.mean(np.square((faulty - healthy).astype(np.float64)).reshape(4, -1, 3), axis=1))
    assert (added[0] == 0).all()
    assert (added[3] > added[1]).all()
    assert added[3, 0] > added[3, 1] > added[3, 2] > 0.05


def test_nothing_is_replaced_without_force(tmp_path: Path) -> None:
    out = tmp_path / "fan.npz"
    out.write_bytes(b"precious")
    error = simulate("--out", str(out), "--duration", "1s").exception
    assert isinstance(error, ConfigurationError)
    assert str(error) == f"--out {out}: exists; give another name, or --force to replace it"
    assert out.read_bytes() == b"precious"


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".mat", ".wav", ".parquet", ".h5"])
def test_it_writes_every_format(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"fan{suffix}"
    assert simulate("--out", str(out), "--duration", "0.5s", "--channels", "2").exit_code == 0
    assert out.stat().st_size > 6000


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--duration", "30h"), "--duration 108000s: 1296000000 samples; 2 to 268435456 can be written, 22370s"),
        (("--fault", "ball", "--duration", "10s"), "--fault-start 30s: the recording ends at 10s; start"),
        (("--point", "2", "--channels", "2"), "--point 2 --channels 2: the machine has 3 points, 0 to 2; give fewer"),
        (("--sampling-rate-hz", "nan"), "give finite numbers"),
        (("--fault-size", "nan"), "give finite numbers"),
        (("--sampling-rate-hz", "2000", "--fault", "ball"), "ring at 3200 Hz, sampled at 2000 Hz"),
    ],
)
def test_what_cannot_be_simulated_is_told(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    result = simulate("--out", str(tmp_path / "fan.npz"), *arguments)
    assert isinstance(result.exception, ConfigurationError)
    assert told in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_all_problems_are_told_at_once_before_the_work(tmp_path: Path) -> None:
    out = tmp_path / "nowhere" / "fan.txt"
    error = simulate("--out", str(out), "--duration", "30h").exception
    assert isinstance(error, ConfigurationError)
    lines = str(error).splitlines()
    assert [line.split(":")[0] for line in lines] == [f"--out {out}", f"--out {out}", "--duration 108000s"]


@pytest.mark.parametrize("arguments", [("--seed", "-1"), ("--duration", "soon"), ("--machine", "mill")])
def test_usage_errors(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = simulate("--out", str(tmp_path / "fan.npz"), *arguments)
    assert result.exit_code == 2
    assert arguments[0] in result.output
