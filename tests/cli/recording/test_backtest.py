"""``calibrate`` and ``backtest`` on a simulated machine: what they say, write, and refuse."""

import csv
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from monitor.errors import ArtefactError, ConfigurationError, RecordingError
from monitor.extras import install_line
from monitor.recording.source import open_recording
from monitor.recording.write import write_recording
from monitor.shipped import shipped
from tests.support.commands import document, invoke, output, refusal

MODEL = shipped("models/demo")
RATE = 12000
BLOCK = 100
WARMUP_S = 25 * BLOCK / RATE
FAULT_S = 4.0
BURST = 2560
BURST_SCORED_FROM_S = 5 * BLOCK / RATE
"""A burst's own warm-up is five blocks."""
HEALTHY_BURSTS = 12
BURST_STARTS = [60.0 * number + (1000.0 if number >= 20 else 0.0) for number in range(HEALTHY_BURSTS + 20)]
"""Once a minute, but for one long pause while the fault is there."""


@dataclass(frozen=True)
class Machine:
    """Recordings of one machine, and what ``calibrate`` made of the healthy one."""

    healthy: Path
    faulty: Path
    calibration: Path
    calibrated: dict[str, Any]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    folder = tmp_path_factory.mktemp("machine")
    healthy, faulty, calibration = (folder / name for name in ("healthy.npz", "faulty.npz", "fan.calibration"))
    output("simulate", "--out", healthy, "--duration", "20s", "--seed", "1")
    fault = ("--fault", "outer-race", "--fault-start", f"{FAULT_S}s", "--fault-growth", "1s")
    output("simulate", "--out", faulty, "--duration", "10s", "--seed", "2", *fault)
    calibrated = document("calibrate", MODEL, healthy, "--out", calibration)
    return Machine(healthy, faulty, calibration, calibrated)


@pytest.fixture(scope="module")
def bursts(tmp_path_factory: pytest.TempPathFactory, machine: Machine) -> Machine:
    """The same machine, measured in bursts."""
    folder = tmp_path_factory.mktemp("bursts")
    healthy, faulty, calibration = (folder / name for name in ("healthy.npz", "faulty.npz", "fan.calibration"))
    [good], [bad] = open_recording(str(machine.healthy)).load(), open_recording(str(machine.faulty)).load()
    many = good[: 90 * BURST].reshape(90, BURST)
    write_recording(healthy, many, RATE, "m/s2", start_s=[60.0 * number for number in range(90)])
    run = np.concatenate([bad[: HEALTHY_BURSTS * BURST], bad[-20 * BURST :]]).reshape(-1, BURST)
    write_recording(faulty, run, RATE, "m/s2", start_s=BURST_STARTS)
    calibrated = document("calibrate", MODEL, healthy, "--out", calibration)
    return Machine(healthy, faulty, calibration, calibrated)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_calibrate_says_what_it_learned(machine: Machine) -> None:
    found = machine.calibrated
    assert 0.0 <= found["linear_trust"] <= found["trust"] < 1.0
    assert found["trust"] == pytest.approx(1.0 - found["gap_ratio"], abs=0.05)
    assert found["file"] == str(machine.calibration)
    assert machine.calibration.stat().st_size > 10_000
    assert (found["interval_blocks"], found["warmup_blocks"], found["intervals"]) == (120, 25, 19)
    assert found["healthy_s"] == pytest.approx(20.0 - WARMUP_S)
    [samples] = open_recording(str(machine.healthy)).load()
    assert found["level_mps2"] == pytest.approx(np.sqrt(np.mean(np.square(samples))), rel=0.03)
    assert 0.05 < found["gap_ratio"] < 0.4
    sensitivity = found["sensitivity_db"]
    assert 0.0 < sensitivity["all"]["1d"] <= sensitivity["all"]["1m"] < 10.0
    assert len(sensitivity["bands"]) == 20
    assert sensitivity["bands"][-1]["to_hz"] == RATE / 2
    limits = found["limit_surprise"]
    assert 3.0 < limits["30 a month"] < limits["1 a month"] < 100.0


def test_backtest_document(machine: Machine) -> None:
    found = document("backtest", MODEL, machine.healthy, machine.faulty, "--calibration", machine.calibration)
    assert found.keys() == {"channels"}
    healthy, faulty = found["channels"]
    for channel, name, seconds in ((healthy, "healthy.npz", 20), (faulty, "faulty.npz", 10)):
        assert channel.keys() == {
            "name", "sampling_rate_hz", "duration_s", "blocks_scored", "blocks_skipped", "intervals", "score",
            "gap_ratio", "gap_whitened", "alarms", "first_alarm_s",
        }  # fmt: skip
        assert (channel["name"], channel["sampling_rate_hz"], channel["duration_s"]) == (name, RATE, seconds)
        assert channel["blocks_skipped"] == {"warm_up": 25}
        assert channel["blocks_scored"] == seconds * RATE // BLOCK - 25
        assert channel["intervals"] == seconds - 1
        assert channel["score"].keys() == {"median", "p95", "max"}
        assert channel["score"]["median"] <= channel["score"]["p95"] <= channel["score"]["max"]
        assert channel["gap_ratio"].keys() == channel["gap_whitened"].keys() == {"median"}
    assert 0.0 <= healthy["score"]["max"] < 0.7
    assert healthy["gap_ratio"]["median"] == pytest.approx(machine.calibrated["gap_ratio"], rel=0.01)
    assert healthy["gap_whitened"]["median"] == pytest.approx(1.0, abs=0.1)
    assert (healthy["alarms"], healthy["first_alarm_s"]) == ([], None)
    [alarm] = faulty["alarms"]
    assert alarm == {"start_s": faulty["first_alarm_s"], "end_s": None, "peak_score": faulty["score"]["max"]}
    assert FAULT_S - 1.0 < alarm["start_s"] < FAULT_S + 2.0
    assert alarm["peak_score"] > 2.0
    assert faulty["gap_whitened"]["median"] > 10.0


def test_without_calibration_there_are_gaps_and_no_score(machine: Machine) -> None:
    [channel] = document("backtest", MODEL, machine.faulty, "--interval", "500ms")["channels"]
    assert channel["intervals"] == 19
    assert channel["gap_ratio"]["median"] > 0.3
    assert set(channel["score"].values()) == {None}
    assert (channel["alarms"], channel["first_alarm_s"]) == ([], None)


@pytest.mark.parametrize(("cut", "seconds"), [((), 3.005), (("--from", "1s"), 2.005), (("--until", "1.001s"), 1.001)])
def test_the_duration_is_that_of_all_samples(tmp_path: Path, cut: tuple[str, ...], seconds: float) -> None:
    odd = tmp_path / "odd.csv"  # a format that does not say how long it is
    output("simulate", "--out", odd, "--duration", "3.005s")
    [channel] = document("backtest", MODEL, odd, *cut)["channels"]
    assert channel["duration_s"] == pytest.approx(seconds)
    error = refusal("backtest", MODEL, odd, "--from", "1h")
    assert str(error) == "odd.csv: there is no block between --from and --until; it is 3.005 s long"


def test_csv_has_one_row_an_interval(tmp_path: Path, machine: Machine) -> None:
    table = tmp_path / "table.csv"
    recordings = (machine.healthy, machine.faulty)
    found = document("backtest", MODEL, *recordings, "--calibration", machine.calibration, "--csv", table)
    header = table.read_text().splitlines()[0]
    assert header == "channel,start_s,score,alarm_state,gap,gap_ratio,gap_whitened,rms"
    lines = rows(table)
    assert [line["channel"] for line in lines] == ["healthy.npz"] * 19 + ["faulty.npz"] * 9
    starts = [float(line["start_s"]) for line in lines]
    assert starts == pytest.approx([WARMUP_S + second for second in (*range(19), *range(9))])
    for line in lines:
        assert float(line["gap_ratio"]) == pytest.approx((float(line["gap"]) / float(line["rms"])) ** 2, rel=1e-3)
    faulty, document_of = lines[19:], found["channels"][1]
    for name in ("score", "gap_ratio", "gap_whitened"):
        values = [float(line[name]) for line in faulty]
        assert np.median(values) == pytest.approx(document_of[name]["median"])
    alarmed = [float(line["start_s"]) for line in faulty if line["alarm_state"] == "2"]
    assert alarmed[0] == pytest.approx(document_of["first_alarm_s"])


def test_an_alarm_ends_when_the_machine_has_been_well_for_a_while(tmp_path: Path, machine: Machine) -> None:
    repaired, table = tmp_path / "repaired.npz", tmp_path / "table.csv"
    [bad], [good] = open_recording(str(machine.faulty)).load(), open_recording(str(machine.healthy)).load()
    write_recording(repaired, np.concatenate([bad[: 6 * RATE], good]), RATE, "m/s2")
    calibration = ("--calibration", machine.calibration, "--csv", table)
    [channel] = document("backtest", MODEL, repaired, *calibration)["channels"]
    [alarm] = channel["alarms"]
    assert 6.0 < alarm["end_s"] < 26.0
    states = {float(row["start_s"]): row["alarm_state"] for row in rows(table)}
    assert {state for start_s, state in states.items() if alarm["start_s"] <= start_s < alarm["end_s"]} == {"2"}
    assert states[alarm["end_s"]] != "2"


def test_plot_is_a_picture(tmp_path: Path, machine: Machine) -> None:
    picture = tmp_path / "run.png"
    text = output("backtest", MODEL, machine.faulty, "--calibration", machine.calibration, "--plot", picture)
    assert text.startswith("faulty.npz: 9 intervals, gap ratio 0.")
    assert "1 alarm, the first at " in text
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = imread(picture)
    assert min(pixels.shape[:2]) > 300
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 20


def test_bursts_are_scored_one_by_one_at_their_own_times(tmp_path: Path, bursts: Machine) -> None:
    calibrated = bursts.calibrated
    assert (calibrated["interval_blocks"], calibrated["warmup_blocks"], calibrated["intervals"]) == (20, 5, 90)
    assert calibrated["healthy_s"] == pytest.approx(90 * 20 * BLOCK / RATE)
    table = tmp_path / "table.csv"
    found = document("backtest", MODEL, bursts.faulty, "--calibration", bursts.calibration, "--csv", table)
    [channel] = found["channels"]
    assert channel["intervals"] == len(BURST_STARTS)
    assert channel["blocks_scored"] == 20 * len(BURST_STARTS)
    assert channel["blocks_skipped"] == {"warm_up": 5 * len(BURST_STARTS)}
    assert channel["duration_s"] == pytest.approx(len(BURST_STARTS) * BURST / RATE)
    lines = rows(table)
    starts = [float(line["start_s"]) for line in lines]
    assert starts == pytest.approx([start + BURST_SCORED_FROM_S for start in BURST_STARTS])
    assert max(float(line["score"]) for line in lines[:HEALTHY_BURSTS]) < 1.0
    # Three bursts must agree.
    assert channel["first_alarm_s"] == pytest.approx(BURST_STARTS[HEALTHY_BURSTS + 2] + BURST_SCORED_FROM_S)
    assert channel["score"]["max"] > 2.0


def test_record_interval_is_the_clock_of_bursts_without_one(tmp_path: Path, bursts: Machine) -> None:
    plain, table = tmp_path / "plain.npz", tmp_path / "table.csv"
    write_recording(plain, np.stack(open_recording(str(bursts.faulty)).load()[:5]), RATE, "m/s2")
    calibration = ("--calibration", bursts.calibration, "--csv", table)
    output("backtest", MODEL, plain, *calibration, "--record-interval", "10m")
    starts = [float(line["start_s"]) for line in rows(table)]
    assert starts == pytest.approx([600.0 * number + BURST_SCORED_FROM_S for number in range(5)])


def test_too_little_healthy_data_is_refused_with_the_number_needed(tmp_path: Path, machine: Machine) -> None:
    out = tmp_path / "fan.calibration"
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "calibrate", MODEL, machine.healthy, "--until", "5s", "--out", out],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("vibration-monitor: calibration: there are 4 healthy intervals of 1 s ")
    assert "(120 blocks after 25 of warm-up), at least 5 are needed; bring " in line
    assert not out.exists()


def test_too_few_bursts_are_refused(tmp_path: Path, bursts: Machine) -> None:
    out = tmp_path / "fan.calibration"
    error = refusal("calibrate", MODEL, bursts.healthy, "--until", "4m", "--out", out)
    assert isinstance(error, RecordingError)
    assert "there are 4 healthy intervals of 0.166667 s (20 blocks after 5 of warm-up), at least 5 are" in str(error)
    assert not out.exists()


def test_another_rate_is_refused(tmp_path: Path, machine: Machine) -> None:
    slow, fast, out = tmp_path / "slow.npz", tmp_path / "fast.npz", tmp_path / "fan.calibration"
    output("simulate", "--out", slow, "--duration", "1s", "--sampling-rate-hz", "8000")
    output("simulate", "--out", fast, "--duration", "1s", "--sampling-rate-hz", "24000")
    error = refusal("calibrate", MODEL, machine.healthy, slow, "--out", out)
    assert isinstance(error, RecordingError)
    assert str(error) == (
        f"{slow}: has 8000 Hz, but the calibration with healthy.npz needs 12000 Hz; use a recording made at 12000 Hz "
        "or a whole multiple of it, or one meant for 8000 Hz"
    )
    assert not out.exists()
    error = refusal("backtest", MODEL, fast, "--calibration", machine.calibration)
    assert str(error) == f"{fast}: has 24000 Hz, but the calibration needs 12000 Hz; use --decimate 2"
    calibration = ("--calibration", machine.calibration)
    [channel] = document("backtest", MODEL, fast, *calibration, "--decimate", "2")["channels"]
    assert channel["sampling_rate_hz"] == RATE


def test_the_calibration_of_another_model_is_refused(machine: Machine) -> None:
    other = shipped("models/reference")
    error = refusal("backtest", other, machine.faulty, "--calibration", machine.calibration)
    assert isinstance(error, ArtefactError)
    assert str(error).startswith(f"{machine.calibration}: was made with model ")
    assert str(error).endswith("hold for that model only, run 'vibration-monitor calibrate' with this one")


def test_a_calibration_is_not_replaced_without_force(tmp_path: Path, machine: Machine) -> None:
    out = tmp_path / "fan.calibration"
    out.write_bytes(b"precious")
    error = refusal("calibrate", MODEL, machine.healthy, "--out", out)
    assert isinstance(error, ConfigurationError)
    assert str(error) == (
        f"--out {out}: exists, and the channels that use it would be scored by other limits; give another name, or "
        "--force to replace it"
    )
    assert out.read_bytes() == b"precious"
    output("calibrate", MODEL, machine.healthy, "--out", out, "--force", "--until", "8s")


def test_a_recording_without_a_unit_is_asked_for_one(tmp_path: Path, machine: Machine) -> None:
    plain = tmp_path / "plain.npz"
    write_recording(plain, open_recording(str(machine.healthy)).load()[0], RATE, None)
    for command in (("calibrate", "--out", tmp_path / "a"), ("backtest", "--calibration", machine.calibration)):
        error = refusal(command[0], MODEL, plain, *command[1:])
        assert isinstance(error, RecordingError)
        assert str(error).startswith(f"{plain}: does not say its unit, and ")
        assert ": add --unit g (or mg, m/s2), or to this recording alone plain.npz?unit=g." in str(error)
    told = invoke("backtest", MODEL, plain)
    assert told.exit_code == 0
    assert "warning: plain.npz: does not say its unit; level and gap are in the unit of the file" in told.stderr


def test_regimes_are_added_to_one_file_and_asked_for_by_name(tmp_path: Path, machine: Machine) -> None:
    out = tmp_path / "fan.calibration"
    for regime, until in (("slow", "8s"), ("fast", "9s")):
        output("calibrate", MODEL, machine.healthy, "--out", out, "--regime", regime, "--until", until)
    asked = ("backtest", MODEL, machine.faulty, "--calibration", out, "--regime")
    scores = [document(*asked, regime)["channels"][0]["score"]["max"] for regime in ("slow", "fast")]
    assert scores[0] != scores[1]
    again = refusal("calibrate", MODEL, machine.healthy, "--out", out, "--regime", "fast")
    assert f"--out {out}: has a regime 'fast', and the channels that use it would be scored by other limits" in str(
        again
    )
    assert str(refusal(*asked, "idle")) == f"{out}: has no regime 'idle'; known are slow, fast"


def test_the_amount_that_is_asked_for_suffices(tmp_path: Path, machine: Machine) -> None:
    out = tmp_path / "fan.calibration"
    asked = str(refusal("calibrate", MODEL, machine.healthy, "--until", "5s", "--out", out))
    enough = asked.partition("bring ")[2].partition(" of healthy")[0].replace(" ", "")
    assert document("calibrate", MODEL, machine.healthy, "--until", enough, "--out", out)["intervals"] == 5
    # Five hours and the warm-up: more digits than a rounded number has.
    asked = str(refusal("calibrate", MODEL, machine.healthy, "--interval", "1h", "--out", tmp_path / "hours"))
    assert f"bring {math.ceil(100 * (5 * 3600 + WARMUP_S)) / 100:.2f} s of healthy signal or choose" in asked


@pytest.mark.parametrize("brought", [1, 4])
def test_as_many_bursts_are_asked_for_as_suffice(tmp_path: Path, bursts: Machine, brought: int) -> None:
    out = tmp_path / "fan.calibration"
    asked = str(refusal("calibrate", MODEL, bursts.healthy, "--until", f"{brought}m", "--out", out))
    assert "--interval" not in asked  # bursts are not cut by it
    enough = int(asked.partition("bring ")[2].partition(" bursts as long as these")[0])
    assert document("calibrate", MODEL, bursts.healthy, "--until", f"{enough}m", "--out", out)["intervals"] == enough


def test_times_count_from_the_recordings_start_wherever_it_is_cut(
    tmp_path: Path, machine: Machine, bursts: Machine
) -> None:
    table = tmp_path / "table.csv"
    output("backtest", MODEL, bursts.faulty, "--calibration", bursts.calibration, "--csv", table, "--from", "1500s")
    late = [start for start in BURST_STARTS if start >= 1500]
    assert [float(line["start_s"]) for line in rows(table)] == pytest.approx(
        [start + BURST_SCORED_FROM_S for start in late]
    )
    output("backtest", MODEL, machine.faulty, "--csv", table, "--from", "6s", "--force")
    assert float(rows(table)[0]["start_s"]) == pytest.approx(6.0 + WARMUP_S)
    error = refusal("backtest", MODEL, machine.faulty, "--from", "1h")
    assert str(error) == "faulty.npz: there is no block between --from and --until; it is 10 s long"
    error = refusal("backtest", MODEL, bursts.faulty, "--from", "1d")
    # 31 minutes and a pause up to the last burst.
    assert str(error).endswith("; it is 2860.21 s long")


@pytest.mark.parametrize(
    ("option", "name", "reason"),
    [
        ("--csv", "missing/table.csv", "No such file or directory"),
        ("--csv", "full.csv", "No space left on device"),
        ("--plot", "missing/picture.png", "No such file or directory"),
        ("--plot", "full.png", "No space left on device"),
        ("--out", "file/fan.calibration", "File exists"),
    ],
)
def test_a_file_that_cannot_be_written_is_one_line(
    tmp_path: Path, machine: Machine, option: str, name: str, reason: str
) -> None:
    (tmp_path / "file").touch()
    for full in ("full.csv", "full.png"):
        (tmp_path / full).symlink_to("/dev/full")
    before = sorted(tmp_path.rglob("*"))
    does = "calibrate" if option == "--out" else "backtest"
    done = subprocess.run(
        [sys.executable, "-m", "monitor", does, MODEL, machine.healthy, option, tmp_path / name],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 4
    assert done.stderr == (
        f"vibration-monitor: {tmp_path / name}: cannot be written: {reason}; check folder and free space\n"
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_figure_without_matplotlib_says_what_to_install(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    error = refusal("backtest", MODEL, machine.faulty, "--plot", tmp_path / "run.png")
    assert isinstance(error, ConfigurationError)
    needs = "--plot: drawing needs the library matplotlib, which is not installed: "
    assert str(error) == needs + install_line("plot")


def test_a_figure_has_a_format_that_is_drawn(tmp_path: Path, machine: Machine) -> None:
    result = invoke("backtest", MODEL, machine.faulty, "--plot", tmp_path / "picture.xyz")
    assert result.exit_code == 2
    assert "must end in one of .png, .svg, .pdf" in result.stderr


def test_a_rate_that_the_model_does_not_know_is_told(tmp_path: Path, machine: Machine) -> None:
    slow = tmp_path / "slow.npz"
    output("simulate", "--out", slow, "--duration", "8s", "--sampling-rate-hz", "8000")
    for command in (("calibrate", MODEL, slow, "--out", tmp_path / "a"), ("backtest", MODEL, slow)):
        assert invoke(*command).stderr == (
            "warning: slow.npz: has 8000 Hz, the model was trained at 12000 Hz; its forecasts may be poor\n"
        )
    assert invoke("backtest", MODEL, machine.faulty).stderr == ""
