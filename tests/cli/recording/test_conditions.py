"""``calibrate`` and ``backtest`` on one real channel under several conditions."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.errors import ConfigurationError, RecordingError
from monitor.model.calibration_file import load_calibrations
from monitor.shipped import shipped
from tests.support.commands import document, invoke, output, refusal
from tests.support.recordings import recording_file

MODEL = shipped("models/reference")
UNIT = ("--unit", "m/s2")
"""The files do not say theirs."""


def uestc(speed_rpm: int) -> Path:
    return recording_file(f"uestc/healthy_{speed_rpm}rpm.npz")


def test_recordings_at_several_speeds_make_one_calibration(tmp_path: Path) -> None:
    out, measured, table = tmp_path / "bearing.calibration", tmp_path / "measured.npz", tmp_path / "table.csv"
    with np.load(uestc(1000)) as stored:
        samples = stored["acceleration"][:80_000]
    speed = np.repeat([990.0, 1000.0, 1010.0, np.nan], 20_000)
    np.savez(measured, acceleration=samples, speed_rpm=speed, sampling_rate_hz=20_000.0)
    addresses = (f"{uestc(800)}?speed_rpm=800", f"{uestc(1200)}?speed_rpm=1200", measured)
    text = invoke("calibrate", MODEL, *UNIT, *addresses, "--until", "4s", "--out", out)
    assert text.exit_code == 0, text.output
    assert "healthy conditions: speed_rpm 800 to 1200\n" in text.stdout
    # The last second is unknown: 200 blocks.
    assert "healthy_800rpm.npz: speed_rpm is not known of 200 of 2,325 healthy blocks" in text.stderr
    file = load_calibrations(out)
    assert file.header.made == {"recordings": ["healthy_800rpm.npz", "healthy_1200rpm.npz", "measured.npz"]}
    [calibration] = file.regimes.values()
    assert calibration.intervals == 9
    assert calibration.healthy_s == pytest.approx(3 * (4 - 0.125))

    shown = document("backtest", MODEL, *UNIT, f"{measured}?speed_rpm", addresses[0], "--until", "4s",
                     "--calibration", out, "--csv", table)  # fmt: skip
    assert [channel["intervals"] for channel in shown["channels"]] == [3, 3]
    with table.open(newline="", encoding="utf-8") as lines:
        values = [row["speed_rpm"] for row in csv.DictReader(lines)]
    assert [float(value) for value in values[:2]] == pytest.approx([990 + 10 / 8, 1000 + 10 / 8])
    assert values[2:] == ["", "800.0", "800.0", "800.0"]


def test_without_quantities_nothing_is_said_of_them(tmp_path: Path) -> None:
    arguments = (
        "calibrate",
        MODEL,
        *UNIT,
        uestc(800),
        uestc(1200),
        "--until",
        "4s",
        "--out",
        tmp_path / "a",
        "--force",
    )
    assert document(*arguments)["conditions"] == {}
    assert "healthy conditions" not in output(*arguments)
    assert document(*arguments[:4], f"{uestc(800)}?load=0.5", *arguments[5:])["conditions"] == {
        "load": {"min": 0.5, "max": 0.5}
    }


def test_a_score_needs_learned_conditions_and_says_what_is_missing(tmp_path: Path) -> None:
    out = tmp_path / "bearing.calibration"
    cut = ("--until", "3s")
    made = invoke("calibrate", MODEL, *UNIT, f"{uestc(800)}?speed_rpm=800&load=0", f"{uestc(1000)}?load=0",
                  f"{uestc(1200)}?speed_rpm=1200&load=0", *cut, "--interval", "100ms", "--out", out)  # fmt: skip
    assert made.exit_code == 0, made.output
    assert "healthy_1000rpm.npz: has no speed_rpm, unlike other recordings; its blocks count as unknown" in made.stderr
    assert "load is 0 in all healthy data, so any other value will count as an unknown condition" in made.stderr
    [calibration] = load_calibrations(out).regimes.values()
    assert calibration.quantities == ("speed_rpm", "load")
    assert calibration.ranges.tolist() == [[800.0, 1200.0], [0.0, 0.0]]
    assert np.isfinite(calibration.values).all()

    def tested(*queries: str) -> tuple[list[dict[str, Any]], str]:
        addresses = [f"{uestc(1000)}{query}" for query in queries]
        result = invoke(
            "backtest", MODEL, *UNIT, *addresses, "--from", "3s", "--until", "5s", "--calibration", out, "--json"
        )
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)["channels"], result.stderr

    channels, told = tested("?speed_rpm=1000&load=0", "?speed_rpm=1261&load=0", "?speed_rpm=1259&load=0", "?load=1")
    withheld = [channel["blocks_skipped"].get("unknown_condition", 0) for channel in channels]
    assert withheld == [0, channels[1]["intervals"] * 20, 0, channels[3]["intervals"] * 20]
    assert [channel["score"]["max"] is None for channel in channels] == [False, True, False, True]
    assert "the calibration was learned with" not in told
    channels, told = tested("?pressure=7")
    assert "unknown_condition" not in channels[0]["blocks_skipped"]
    for warning in (
        "the calibration was learned with speed_rpm, which is not given; scored without it",
        "the calibration was learned with load, which is not given; scored without it",
        "the calibration was learned without pressure, so it changes no score",
    ):
        assert f"warning: {warning}\n" in told


def test_too_many_quantities_are_refused(tmp_path: Path) -> None:
    query = "&".join(f"q{number}=1" for number in range(7))
    error = refusal("calibrate", MODEL, *UNIT, f"{uestc(800)}?{query}", "--until", "2s", "--interval", "100ms",
                    "--out", tmp_path / "a")  # fmt: skip
    assert isinstance(error, RecordingError)
    assert str(error) == (
        "calibration: 7 measured quantities are given (q0, q1, q2, q3, q4, q5, q6), at most 6 can be learned; leave "
        "out those that say least about how the machine runs"
    )


def test_recordings_that_cannot_be_one_channel_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "a"
    error = refusal("calibrate", MODEL, *UNIT, uestc(800), f"{uestc(1200)}?speed_rpm=1200&decimate=2", "--out", out)
    assert isinstance(error, RecordingError)
    assert str(error) == (
        f"{uestc(1200)}: has 10000 Hz, but the calibration with healthy_800rpm.npz needs 20000 Hz; leave --decimate out"
    )
    error = refusal("calibrate", MODEL, f"{uestc(800)}?unit=g", uestc(1200), "--out", out)
    assert str(error) == (
        f"{uestc(1200)}: does not say its unit, and a calibration holds levels in m/s^2: add --unit g (or mg, m/s2), "
        "or to this recording alone healthy_1200rpm.npz?unit=g. With m/s2 the numbers are taken as they are"
    )
    assert not out.exists()


@pytest.mark.parametrize("command", ["calibrate", "backtest"])
def test_a_mistake_in_the_address_is_told(tmp_path: Path, command: str) -> None:
    out = ("--out", tmp_path / "a") if command == "calibrate" else ()
    for query, message in (
        ("decimat=2", "did you mean 'decimate'?"),
        ("load=high", "load is 'high'; a measured quantity is a finite number"),
    ):
        error = refusal(command, MODEL, *UNIT, f"{uestc(800)}?{query}", *out)
        assert isinstance(error, ConfigurationError)
        assert message in str(error)
    error = refusal(command, MODEL, *UNIT, f"{uestc(800)}?speed_rpm", *out)
    assert str(error) == (
        f"{uestc(800)}: there is no array or column 'speed_rpm' beside the samples; correct the name, or state the "
        "quantity: ?speed_rpm=NUMBER"
    )
