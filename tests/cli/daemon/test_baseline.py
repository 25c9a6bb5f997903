"""``baseline`` on a state directory without a daemon."""

import os
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from monitor.core.scoring.calibration.calibration import Calibration
from monitor.model.calibration_file import ANY_REGIME, save_calibrations
from monitor.runtime.baselines.history import Source, slug_of
from monitor.runtime.baselines.store import Asked, Store
from monitor.runtime.state.file import locked
from tests.support.channels.healthy import at_load, blind, calibrated, healthy_calibration
from tests.support.commands import document, invoke, output, refusal
from tests.support.servers import free_port

MODEL = "ab" * 32
FAN, PUMP = {"machine": "fan-1", "axis": "x"}, {"machine": "pump", "axis": "y"}
WHO = ("--reason", "new bearing", "--by", "anna")


@pytest.fixture(scope="module")
def calibrations() -> list[Calibration]:
    """One condition, and several with a measured load."""
    loads = [blind(at_load(load, 600, 3 + number)) for number, load in enumerate((0.0, 0.5, 1.0))]
    values = [{"load": np.full(600, 100 * load)} for load in (0.0, 0.5, 1.0)]
    return [healthy_calibration(400), calibrated(loads, quantities=values)]


@pytest.fixture
def state(tmp_path: Path, calibrations: list[Calibration]) -> Path:
    """A state directory with two baselines of the fan, the second provisional, and one of the pump."""
    folder, clock = tmp_path / "state", count(1_700_000_000)
    store = Store(folder, lambda: float(next(clock)))
    day_s = 86400.0
    first = Source(1_690_000_000.0, 1_690_000_000.0 + day_s)
    second = Source(1_695_000_000.0, 1_695_000_000.0 + day_s, provisional=True)
    store.learned(FAN, calibrations[0], model_sha256=MODEL, source=first)
    store.learned(FAN, calibrations[1], model_sha256=MODEL, source=second)
    file = tmp_path / "pump.npz"
    save_calibrations(file, {ANY_REGIME: calibrations[0]}, model_sha256=MODEL, channel="pump", made={})
    store.bring(PUMP, file, Asked("bob", "from recordings"))
    return folder


def test_list_and_show_say_what_a_channel_was_learned_from(state: Path, calibrations: list[Calibration]) -> None:
    lines = output("baseline", "list", "--state-dir", state).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("fan-1/x  provisional  2: 2023-09-18 01:20 UTC to 2023-09-19 01:20 UTC, ")
    assert ", load 0 to 100; alarms on a rise of " in lines[0]
    assert lines[1].startswith("pump/y  locked  1: from recordings, ")
    assert output("baseline", "list", "pump*", "--state-dir", state).splitlines() == lines[1:]
    shown = output("baseline", "show", "fan-1/x", "--state-dir", state)
    assert "   baseline 1: 2023-07-22 04:26 UTC to " in shown
    assert " * baseline 2: 2023-09-18 01:20 UTC to " in shown
    assert "learned by learning (baseline 2): provisional" in shown
    picture = [line for line in shown.splitlines() if line.startswith("   [")]
    assert len(picture) == len(calibrations[1].prototypes) > 1
    assert all("] load " in line for line in picture)
    assert any("@" in line for line in picture)
    (found,) = document("baseline", "show", "fan-1/x", "--state-dir", state)["channels"]
    assert (found["state"], found["kept"], found["baseline"]["number"]) == ("provisional", [1, 2], 2)
    assert found["profiles"]["edges_hz"][-1] == 1000.0
    assert len(found["profiles"]["level_db"][0]) == len(found["profiles"]["edges_hz"]) - 1
    assert found["profiles"]["weights"] is None  # no daemon runs


def test_changes_have_a_name_and_a_reason_and_can_be_undone(state: Path) -> None:
    where = ("--state-dir", state)
    assert output("baseline", "accept", "fan-*", *where, *WHO) == "fan-1/x: done, baseline 2 is current\n"
    assert document("baseline", "revert", "fan-*", *where, *WHO) == {"changed": {"fan-1/x": 1}, "refused": {}}
    assert "  locked  1: " in output("baseline", "list", "fan-1/x", *where)
    assert "baseline 2 is current" in output("baseline", "revert", "fan-1/x", "--to", "2", *where, *WHO)
    assert "baseline 1 is current" in output("baseline", "learn", "pump/y", *where, *WHO)
    assert "asked to learn on " in output("baseline", "list", "pump/y", *where)
    (found,) = document("baseline", "show", "fan-1/x", *where)["channels"]
    assert [(one["what"], one["by"], one["reason"]) for one in found["changes"][2:]] == [
        (what, "anna", "new bearing") for what in ("accepted", "reverted", "reverted")
    ]


def test_what_cannot_be_done_is_said_and_costs_its_channel_only(state: Path, tmp_path: Path) -> None:
    where = ("--state-dir", state)
    result = invoke("baseline", "revert", "*", *where, *WHO)
    assert result.exit_code == 4
    assert result.stdout == "fan-1/x: done, baseline 1 is current\n"
    assert result.stderr == (
        "pump/y: cannot go back to an older one: baseline 1 is current, it has no other\n"
    )  # fmt: skip
    error = refusal("baseline", "accept", "pump/y", "fan-2/*", *where, *WHO)
    assert error.exit_code == 2
    assert "no channel fits 'fan-2/*': there are fan-1/x, pump/y; write" in str(error)
    assert "accepted" not in output("baseline", "show", "pump/y", *where)
    assert invoke("baseline", "accept", "*", *where).exit_code == 2
    assert "reason: it must be one line" in str(refusal("baseline", "accept", "*", *where, "--reason", "a\nb"))
    assert "there is no such folder" in str(refusal("baseline", "list", "--state-dir", tmp_path / "no"))
    both = refusal("baseline", "list", "--url", "http://localhost:1", *where)
    assert "give one of --url, --state-dir and --config" in str(both)
    empty = tmp_path / "of an older version"
    empty.mkdir()
    (empty / "state").write_bytes(b"vibration-monitor state 1 ")
    assert output("baseline", "list", "--state-dir", empty) == "no channel has a baseline yet\n"
    assert "there is no channel yet" in str(refusal("baseline", "accept", "*", "--state-dir", empty, *WHO))
    assert [path.name for path in empty.iterdir()] in (["state"], ["state", "lock"], ["lock", "state"])


def test_names_from_elsewhere_do_not_control_the_terminal(state: Path) -> None:
    file = state / "baselines" / f"{slug_of(FAN)}.json"
    before = file.read_text()
    file.write_text(before.replace('"learning"', '"\\u001b[2J"'))
    assert file.read_text() != before
    shown = output("baseline", "show", "fan-1/x", "--state-dir", state)
    assert "learned by \\x1b[2J (baseline 2)" in shown
    assert "\x1b" not in shown


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_writes_belongs_to_the_owner_of_the_folder(state: Path) -> None:
    os.chown(state, 65534, 65534)
    output("baseline", "accept", "fan-1/x", "--state-dir", state, *WHO)
    owners = {path.stat().st_uid for path in [state / "lock", *(state / "baselines").rglob("*"), state / "baselines"]}
    assert owners == {65534}


def test_a_folder_that_a_daemon_holds_is_read_and_not_changed(state: Path) -> None:
    with locked(state):
        assert len(output("baseline", "list", "--state-dir", state).splitlines()) == 2
        for what in ("accept", "revert", "learn", "extend"):
            error = refusal("baseline", what, "fan-1/x", "--state-dir", state, *WHO)
            assert error.exit_code == 4
            assert f"a daemon runs on {state} (it holds lock); ask it instead, with --url" in str(error)
        assert "a daemon runs on" in str(refusal("baseline", "import", state, "--state-dir", state, *WHO))
    assert "asked to" not in output("baseline", "list", "--state-dir", state)


def test_baselines_move_between_machines_as_files(state: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    assert output("baseline", "export", "--out", out, "--state-dir", state) == f"{out}: 2 baselines\n"
    names = {f"{slug_of(FAN)}.json", f"{slug_of(FAN)}.2.npz", f"{slug_of(PUMP)}.json", f"{slug_of(PUMP)}.1.npz"}
    assert {path.name for path in out.iterdir()} == names
    (out / f"{slug_of(PUMP)}.json").write_text("{}")
    result = invoke("baseline", "import", out, "--state-dir", other, *WHO)
    assert result.exit_code == 4
    assert result.stdout == "fan-1/x: done\n"
    assert "is not a history of baselines, or is damaged" in result.stderr
    here, there = Store(state, float).history(FAN), Store(other, float).history(FAN)
    assert here is not None
    assert there is not None
    assert here.baseline is not None
    assert there.baseline is not None
    changed = {"number": 1, "made_at_s": there.baseline.made_at_s}
    assert there.baseline == here.baseline.model_copy(update=changed)
    assert [(one.what, one.by) for one in there.changes] == [
        ("learned", "learning"), ("learned", "learning"), ("imported", "anna"),
    ]  # fmt: skip
    assert Store(other, float).current(FAN, MODEL) is not None
    # A calibration file of ``calibrate``, which names no channel.
    labels = ("--labels", "machine=fan-1,axis=x")
    assert output("baseline", "import", tmp_path / "pump.npz", *labels, "--state-dir", other, *WHO) == "fan-1/x: done\n"
    assert "  locked  2: from recordings, " in output("baseline", "list", "--state-dir", other)
    assert "is not of the form machine=" in str(
        refusal("baseline", "import", tmp_path / "pump.npz", "--labels", "fan-1", "--state-dir", other, *WHO)
    )
    assert "expected a folder that 'baseline export' wrote" in str(
        refusal("baseline", "import", tmp_path / "pump.npz", "--state-dir", other, *WHO)
    )


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ("machine=fan-1,hall=3", "sensors[0]: the label 'axis' is missing; name machine, axis"),
        ("machine=fan-1,axes=x,hall=3", "sensors[0]: this sensor has no label 'axes'; it has machine, axis, hall"),
        ("machine=fan-1,axis=x", "sensors[0]: the label 'hall' is missing; name machine, axis, hall"),
        ("machine=fan-1,axis=x,hall=4", "sensors[0]: the label 'hall' is '3' for all channels of this sensor"),
    ],
)
def test_a_baseline_is_of_a_channel_that_the_configuration_can_have(
    state: Path, tmp_path: Path, labels: str, problem: str
) -> None:
    config = tmp_path / "config.yaml"
    sensor = (
        "{topic: 'plant/{machine}/{axis}', payload: {format: float32}, sampling_rate_hz: 12000, labels: {hall: '3'}}"
    )
    config.write_text(f"sensors: [{sensor}]\nstate_dir: {state}\n")
    command = ("baseline", "import", tmp_path / "pump.npz", "--config", config, *WHO, "--labels")
    before = output("baseline", "list", "--state-dir", state)
    error = refusal(*command, labels)
    assert error.exit_code == 2
    assert str(error) == f"import: no sensor of the configuration has a channel with these labels: {problem}"
    assert output("baseline", "list", "--state-dir", state) == before
    assert output(*command, "machine=fan-1,axis=x,hall=3") == "fan-1/x/3: done\n"


def test_a_daemon_that_does_not_answer_is_named(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    error = refusal("baseline", "list", "--url", url)
    assert error.exit_code == 4
    assert f"{url}: no answer from a daemon ([Errno 111] Connection refused); is it running there?" in str(error)
    assert "is not the address of a daemon" in str(refusal("baseline", "list", "--url", "file:///etc/passwd"))
    assert "--user goes with --password-file" in str(refusal("baseline", "list", "--url", url, "--user", "anna"))
    token = tmp_path / "none"
    assert "--token-file: cannot read" in str(refusal("baseline", "list", "--url", url, "--token-file", token))
