"""``diagnose`` as a user gives it: simulated and real recordings, every kind of fact, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from monitor.errors import ConfigurationError, MonitorError, RecordingError
from monitor.recording.write import write_recording
from monitor.shipped import shipped
from monitor.simulation.machine import Fault, FaultKind, catalogue
from monitor.simulation.simulator import Simulation
from tests.support.commands import document, invoke, output
from tests.support.commands import refusal as error_of
from tests.support.recordings import recording_file

RATE = 12000
FAN = "balls=9,ball_diameter=0.2,pitch_diameter=1"
"""The bearing of the simulated fan."""
RPM = "1488"


def refusal(kind: type[MonitorError], *arguments: str | Path) -> str:
    error = error_of(*arguments)
    assert isinstance(error, kind)
    return str(error)


def recording(path: Path, kind: FaultKind | None, size: float, seconds: float = 6.0, seed: int = 3) -> Path:
    faults = () if kind is None else (Fault(kind, growth_s=0.0, size_mps2=size),)
    samples = Simulation(catalogue()["fan"], RATE, seed, faults).next(round(seconds * RATE))
    write_recording(path, samples, RATE, "m/s2")
    return path


@pytest.fixture(scope="module")
def outer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recording(tmp_path_factory.mktemp("fan") / "outer.npz", FaultKind.OUTER_RACE, 3.0)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recording(tmp_path_factory.mktemp("fan") / "healthy.npz", None, 0.0, seconds=8.0, seed=4)


def test_the_document_has_exactly_the_names_of_the_interface(outer: Path) -> None:
    found = document("diagnose", outer, "--speed-rpm", RPM, "--bearing", f"drive end: {FAN}")
    assert list(found) == ["faults", "repetition_rates_hz", "velocity_rms_mps", "reason"]
    [fault] = found["faults"]
    assert list(fault) == ["fault", "part", "frequency_hz", "order", "harmonics", "p_value"]
    assert (fault["fault"], fault["part"]) == ("outer race", "drive end")
    assert fault["order"] == pytest.approx(3.6, rel=0.01)
    assert fault["frequency_hz"] == pytest.approx(fault["order"] * 24.8, rel=0.01)
    assert 0 < fault["p_value"] < 1e-8
    assert found["velocity_rms_mps"] == pytest.approx(0.003, rel=0.5)
    assert found["reason"] is None


def test_a_healthy_machine_is_not_named_and_says_so(healthy: Path, tmp_path: Path) -> None:
    plot = tmp_path / "healthy.png"
    shown = output("diagnose", healthy, "--speed-rpm", RPM, "--bearing", FAN, "--plot", plot)
    assert shown.startswith("not named\n(no order of a bearing stands out)\n")
    assert "velocity" in shown
    assert "kurtosis" in shown
    assert imread(plot).shape[2] == 4


def test_without_a_speed_the_rate_is_reported(outer: Path) -> None:
    found = document("diagnose", outer)
    assert found["faults"] == []
    assert "give --speed-rpm" in found["reason"]
    assert any(abs(rate - 3.6 * 24.8) < 1.0 for rate in found["repetition_rates_hz"])


def test_the_healthy_machine_of_a_calibration_whitens(outer: Path, healthy: Path, tmp_path: Path) -> None:
    calibration = tmp_path / "fan.calibration"
    long = recording(tmp_path / "long.npz", None, 0.0, seconds=20.0, seed=5)
    output("calibrate", shipped("models/demo"), long, "--out", calibration)
    facts = ("--speed-rpm", RPM, "--bearing", FAN, "--calibration", calibration, "--model", shipped("models/demo"))
    [fault] = document("diagnose", outer, *facts)["faults"]
    assert fault["fault"] == "outer race"
    assert document("diagnose", healthy, *facts)["faults"] == []


def test_what_the_healthy_machine_shows_as_deep_is_not_named(outer: Path, healthy: Path) -> None:
    arguments = "--speed-rpm", RPM, "--bearing", FAN
    [fault] = document("diagnose", outer, *arguments, "--baseline", healthy)["faults"]
    assert fault["fault"] == "outer race"
    same = document("diagnose", outer, *arguments, "--baseline", healthy, "--baseline", outer)
    assert same["faults"] == []
    assert "outer race of bearing: no more than on the healthy machine" in same["reason"]


def test_imbalance_needs_a_healthy_baseline(healthy: Path, tmp_path: Path) -> None:
    faulty = recording(tmp_path / "unbalanced.npz", FaultKind.UNBALANCE, 3.0, seconds=8.0)
    assert document("diagnose", faulty, "--speed-rpm", RPM)["faults"] == []
    [fault] = document("diagnose", faulty, "--speed-rpm", RPM, "--baseline", healthy)["faults"]
    assert (fault["fault"], fault["part"], fault["order"]) == ("imbalance", "shaft", 1.0)
    other = recording(tmp_path / "other.npz", None, 0.0, seconds=8.0, seed=6)
    assert document("diagnose", other, "--speed-rpm", RPM, "--baseline", healthy)["faults"] == []


def test_a_speed_beside_the_samples_is_used_and_may_change(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rpm = np.linspace(1200.0, 1800.0, 6 * RATE)
    passage = 3.6 * np.cumsum(rpm) / 60 / RATE
    struck = np.diff(np.floor(passage), prepend=0.0) * 4.0
    time_s = np.arange(200) / RATE
    ringing = np.exp(-900 * time_s) * np.sin(2 * np.pi * 3000 * time_s)
    samples = np.convolve(struck, ringing)[: rpm.size] + rng.normal(size=rpm.size)
    file = tmp_path / "ramp.npz"
    np.savez(file, acceleration=samples, sampling_rate_hz=RATE, unit="m/s2", speed_rpm=rpm)
    [fault] = document("diagnose", file, "--bearing", FAN)["faults"]
    assert fault["fault"] == "outer race"
    assert document("diagnose", file, "--bearing", FAN, "--speed-rpm", "1500")["faults"] == []
    np.savez(file, acceleration=samples, sampling_rate_hz=RATE, unit="m/s2", speed_rpm=0 * rpm - 1)
    error = refusal(RecordingError, "diagnose", file, "--bearing", FAN)
    assert "a standing shaft has no orders" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bearing", "6299"), "'6299' is not known; known are 6205, 6203"),
        (("--bearing", "balls=9"), "ball_diameter, pitch_diameter is missing"),
        (("--bearing", "balls=nine"), "'balls=nine' is not NAME=NUMBER"),
        (("--bearing", "balls=9,balls=8"), "'balls' stands twice"),
        (("--bearing", "bpfo=3.5,bpfi=5.5,bsf=4.7,ftf=0.5"), "with 9 balls ftf is 0.3889"),
        (("--bearing", "6205", "--bearing", "6205"), "two bearings have the same name"),
        (("--speed-rpm", "0"), "--speed-rpm is 0; expected turns a minute above 0"),
        (("--speed-rpm", "-5"), "expected turns a minute above 0"),
        (("--speed-rpm", "nan"), "expected turns a minute above 0"),
        (("--speed-rpm", "90000", "--bearing", "6205"), "frequencies below 6000 Hz are measured"),
    ],
)
def test_facts_that_cannot_be_are_refused(healthy: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in refusal(ConfigurationError, "diagnose", healthy, *arguments)


def test_records_that_are_too_short_are_refused_or_say_what_is_missing(healthy: Path, tmp_path: Path) -> None:
    short = recording(tmp_path / "short.npz", None, 0.0, seconds=0.07)
    error = refusal(RecordingError, "diagnose", short, "--speed-rpm", RPM, "--bearing", FAN)
    assert "has 1.7 turns of the shaft at 1488 rpm, but 2 are needed" in error
    second = recording(tmp_path / "second.npz", None, 0.0, seconds=1.0)
    found = document("diagnose", second, "--speed-rpm", RPM, "--bearing", FAN)
    assert found["velocity_rms_mps"] is None
    assert "needs 2 s without a break" in found["reason"]
    assert (
        "too short for faults of the shaft"
        in document("diagnose", second, "--speed-rpm", RPM, "--baseline", healthy)["reason"]
    )


def test_a_constant_signal_and_one_without_a_unit_say_so(tmp_path: Path) -> None:
    flat = tmp_path / "flat.npz"
    np.savez(flat, acceleration=np.ones(30_000), sampling_rate_hz=RATE)
    result = invoke("diagnose", flat, "--speed-rpm", RPM, "--bearing", FAN, "--json")
    assert json.loads(result.stdout)["reason"] == "the signal is constant"
    noise = tmp_path / "noise.npz"
    np.savez(noise, acceleration=np.random.default_rng(0).normal(size=30_000), sampling_rate_hz=RATE)
    assert "say --unit" in document("diagnose", noise, "--speed-rpm", RPM)["reason"]


@pytest.mark.parametrize(
    ("name", "variable", "fault"),
    [
        ("OR007at6_0", "X130", "outer race"),
        ("OR021at6_0", "X234", "outer race"),
        ("IR007_0", "X105", "inner race"),
        ("IR021_0", "X209", "inner race"),
        ("B007_0", "X118", None),
        ("B021_0", "X222", "ball"),
        ("Normal_0", "X097", None),
    ],
)
def test_real_bearing_faults_are_named_right_or_not_at_all(name: str, variable: str, fault: str | None) -> None:
    address = f"{recording_file(f'cwru/{name}.mat')}#{variable}_DE_time"
    rate = ("--sampling-rate-hz", "48000", "--decimate", "4") if name == "Normal_0" else ("--sampling-rate-hz", "12000")
    found: dict[str, Any] = document(
        "diagnose", address, *rate, "--unit", "g", "--speed-rpm", "1797", "--bearing", "6205"
    )
    assert [one["fault"] for one in found["faults"]] == ([fault] if fault else [])
    assert bool(found["reason"]) == (fault is None)
    assert 0 < found["velocity_rms_mps"] < 0.1
