import json
import shutil
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.atomic_file import write_atomically
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.errors import ArtefactError, MonitorError
from monitor.model.calibration_file import ANY_REGIME, save_calibrations
from monitor.runtime.baselines import store as module
from monitor.runtime.baselines.history import KEPT_CHANGES, History, Source, slug_of
from monitor.runtime.baselines.store import Asked, Store
from monitor.runtime.learning.one_channel import asked_at_s
from tests.support.channels.healthy import healthy_calibration
from tests.support.full_disk import full_disk

MODEL = "ab" * 32
FAN = {"machine": "fan-1", "sensor": "de", "axis": "x"}
PUMP = {"machine": "pump", "sensor": "", "axis": "y"}
ANNA = Asked("anna", "new bearing")


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return healthy_calibration(400)


@pytest.fixture(scope="module")
def other() -> Calibration:
    return healthy_calibration(400, seed=2)


def opened(folder: Path) -> Store:
    clock = count(1_000)
    return Store(folder, lambda: float(next(clock)))


def learn(store: Store, calibration: Calibration, labels: dict[str, str] = FAN, *, provisional: bool = False) -> int:
    source = Source(10.0, 20.0, provisional, aside=((12.0, 13.0, 4.0),), steadiness=(0.5, 0.7))
    found = store.learned(labels, calibration, model_sha256=MODEL, source=source)
    return found.number


def numbers(store: Store, labels: dict[str, str] = FAN) -> tuple[int | None, list[int]]:
    history = store.history(labels)
    assert history is not None
    return history.current, [one.number for one in history.baselines]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "baselines").iterdir())


def test_a_file_of_the_command_calibrate_becomes_a_baseline_as_it_is(tmp_path: Path, calibration: Calibration) -> None:
    file = tmp_path / "fan.npz"
    save_calibrations(file, {ANY_REGIME: calibration}, model_sha256=MODEL, channel="a", made={"recordings": ["a"]})
    store = opened(tmp_path / "state")
    assert store.current(FAN, MODEL) is None
    store.bring(FAN, file, ANNA)
    found = store.current(FAN, MODEL)
    assert found is not None
    assert found is store.current({**FAN, "room": ""}, MODEL)
    assert found.healthy_s == calibration.healthy_s
    assert store.current(PUMP, MODEL) is None
    again = opened(tmp_path / "state")
    (history,) = again.histories
    assert history == store.history(FAN)
    assert (history.name, history.current) == ("fan-1/de/x", 1)
    assert history.baseline is not None
    assert history.baseline.sensitivity_db["1m"] == calibration.sensitivity[-1, 0]
    assert [(one.what, one.by, one.reason, one.baseline) for one in history.changes] == [
        ("imported", "anna", "new bearing", 1)
    ]
    assert (tmp_path / "state" / "baselines" / history.file_name(1)).read_bytes() == file.read_bytes()
    assert again.current(dict(reversed(FAN.items())), MODEL) is not None


def test_the_last_five_are_kept_and_the_current_one_always(tmp_path: Path, calibration: Calibration) -> None:
    store = opened(tmp_path)
    for _ in range(6):
        learn(store, calibration)
    assert numbers(store) == (6, [2, 3, 4, 5, 6])
    assert len(names(tmp_path)) == 6
    store.revert(FAN, ANNA, to=2)
    learn(store, calibration, provisional=True)
    assert numbers(store) == (7, [2, 4, 5, 6, 7])
    assert learn(opened(tmp_path), calibration) == 8
    assert numbers(opened(tmp_path)) == (8, [2, 4, 5, 6, 8])


def test_a_provisional_one_takes_the_place_of_the_one_before(tmp_path: Path, calibration: Calibration) -> None:
    store = opened(tmp_path)
    learn(store, calibration)
    store.ask(FAN, "learn", ANNA)
    for _ in range(3):
        learn(store, calibration, provisional=True)
    assert numbers(store) == (4, [1, 4])
    history = store.history(FAN)
    assert history is not None
    assert history.request is not None
    assert [(one.what, one.reason) for one in history.changes] == [
        ("learned", "complete"),
        ("learn", "new bearing"),
        ("learned", "provisional"),
    ]
    learn(store, calibration)
    assert numbers(store) == (5, [1, 5])
    history = store.history(FAN)
    assert history is not None
    assert history.request is None
    # A person may want the provisional one back that was current: it is no other baseline's provisional one.
    store.revert(FAN, ANNA)
    learn(store, calibration, provisional=True)
    assert numbers(store) == (6, [1, 5, 6])


def test_a_person_accepts_and_goes_back(tmp_path: Path, calibration: Calibration, other: Calibration) -> None:
    store = opened(tmp_path)
    with pytest.raises(MonitorError, match="pump/y: has no baseline yet; let it learn, or import one"):
        store.accept(PUMP, ANNA)
    with pytest.raises(MonitorError, match="pump/y: has no baseline yet"):
        store.ask(PUMP, "extend", ANNA)
    assert store.ask(PUMP, "learn", ANNA).request is not None
    learn(store, calibration)
    with pytest.raises(MonitorError, match="cannot go back to an older one: baseline 1 is current, it has no other"):
        store.revert(FAN, ANNA)
    learn(store, other, provisional=True)
    newest = store.current(FAN, MODEL)
    accepted = store.accept(FAN, ANNA)
    assert accepted.baseline is not None
    assert not accepted.baseline.provisional
    assert store.current(FAN, MODEL) is newest
    with pytest.raises(MonitorError, match="cannot go back to baseline 7: baseline 2 is current, it also has 1"):
        store.revert(FAN, ANNA, to=7)
    store.revert(FAN, Asked("bob", "wrong"))
    before = store.current(FAN, MODEL)
    assert before is not newest
    assert before is not None
    assert before.level_mps2 == calibration.level_mps2
    store.revert(FAN, ANNA, to=2)
    history = opened(tmp_path).history(FAN)
    assert history is not None
    assert history.current == 2
    assert [(one.what, one.by, one.baseline) for one in history.changes[2:]] == [
        ("accepted", "anna", 2),
        ("reverted", "bob", 1),
        ("reverted", "anna", 2),
    ]


def test_a_request_to_learn_outlives_a_restart(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.ask(FAN, "learn", ANNA)
    asked = opened(tmp_path).history(FAN)
    assert asked is not None
    assert asked.request is not None
    assert (asked.request.what, asked.request.by) == ("learn", "anna")


def of(folder: Path, labels: dict[str, str], suffix: str) -> Path:
    return folder / "baselines" / f"{slug_of(labels)}{suffix}"


def damage(folder: Path, how: str) -> None:
    history, file = of(folder, FAN, ".json"), of(folder, FAN, ".1.npz")
    match how:
        case "cut":
            history.write_bytes(history.read_bytes()[:100])
        case "huge":
            history.write_bytes(b"[" * 300_000)
        case "newer":
            history.write_text(history.read_text().replace('"format_version": 1', '"format_version": 2'))
        case "foreign":
            history.write_bytes(of(folder, PUMP, ".json").read_bytes())
        case "a current one that is not there":
            history.write_text(history.read_text().replace('"current": 1', '"current": 3'))
        case "no calibration":
            file.unlink()
        case "damaged calibration":
            file.write_bytes(file.read_bytes()[:-2000])
        case "another calibration":
            file.write_bytes(of(folder, PUMP, ".1.npz").read_bytes())
        case "a folder":
            history.unlink()
            history.mkdir()


@pytest.mark.parametrize(
    ("how", "said"),
    {
        "cut": "is not a history of baselines, or is damaged",
        "huge": "has more than 262144 bytes",
        "newer": "is of another version of the format; it is left alone",
        "foreign": f"is the history of pump/y, whose file is {slug_of(PUMP)}.json",
        "a current one that is not there": "there is no baseline 3, which it says is current",
        "no calibration": "No such file or directory",
        "damaged calibration": "is not a calibration, or is damaged",
        "another calibration": "is not the calibration of baseline 1, it was replaced; import it",
        "a folder": "Is a directory",
    }.items(),
)
def test_a_file_that_cannot_be_used_costs_its_channel_only(
    tmp_path: Path, calibration: Calibration, other: Calibration, how: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened(tmp_path)
    learn(store, calibration)
    learn(store, other, PUMP)
    damage(tmp_path, how)
    again = opened(tmp_path)
    assert again.current(FAN, MODEL) is None
    assert again.current(FAN, MODEL) is None
    assert again.current(PUMP, MODEL) is not None
    (line,) = caplog.messages
    assert said in line
    assert list(again.problems.values()) == [line]
    # The channel can learn again; what could not be read stays beside it.
    learn(again, calibration)
    assert again.current(FAN, MODEL) is not None
    assert opened(tmp_path).current(FAN, MODEL) is not None
    assert not again.problems
    assert of(tmp_path, FAN, ".json.bad").exists() == (again.history(FAN) is not None and numbers(again) == (1, [1]))


def test_a_baseline_of_another_model_gives_no_score(
    tmp_path: Path, calibration: Calibration, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened(tmp_path)
    learn(store, calibration)
    assert store.current(FAN, "cd" * 32) is None
    assert "baseline 1 was learned with model abababababab, this is cdcdcdcdcdcd; learn again, or" in caplog.text
    assert store.current(FAN, MODEL) is not None


@pytest.mark.parametrize("most_bytes", [0, 100, 1000])
def test_a_full_disk_changes_nothing(
    tmp_path: Path, calibration: Calibration, other: Calibration, most_bytes: int
) -> None:
    store = opened(tmp_path)
    learn(store, calibration)
    learn(store, other)
    before, kept, current = store.history(FAN), names(tmp_path), store.current(FAN, MODEL)
    with (
        full_disk(most_bytes),
        pytest.raises(MonitorError, match=r"cannot be written: .*; check folder and free space"),
    ):
        learn(store, calibration)
    if most_bytes <= 100:
        with full_disk(most_bytes), pytest.raises(MonitorError, match=r"cannot be written: .*; nothing is changed"):
            store.revert(FAN, ANNA)
    assert store.history(FAN) is before
    assert names(tmp_path) == kept
    assert store.current(FAN, MODEL) is current
    assert opened(tmp_path).history(FAN) == before


def test_a_kill_between_two_files_leaves_the_old_baseline(
    tmp_path: Path, calibration: Calibration, other: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path / "state")
    learn(store, calibration)
    before = store.history(FAN)

    def killed_here(path: Path, *parts: bytes | memoryview) -> None:
        shutil.copytree(tmp_path / "state", tmp_path / "killed")  # the calibration is written, the history is not
        write_atomically(path, *parts)

    monkeypatch.setattr(module, "write_atomically", killed_here)
    learn(store, other)
    monkeypatch.undo()
    assert len(names(tmp_path / "killed")) == 3
    again = opened(tmp_path / "killed")
    assert again.history(FAN) == before
    assert learn(again, other) == 2
    assert len(names(tmp_path / "killed")) == 3
    found = opened(tmp_path / "killed").current(FAN, MODEL)
    assert found is not None
    assert found.level_mps2 == other.level_mps2


def test_what_is_no_calibration_is_not_imported(tmp_path: Path, calibration: Calibration) -> None:
    junk, regimes = tmp_path / "junk.npz", tmp_path / "regimes.npz"
    junk.write_bytes(b"PK\x03\x04")
    save_calibrations(regimes, {"slow": calibration}, model_sha256=MODEL, channel="a", made={})
    store = opened(tmp_path)
    with pytest.raises(ArtefactError, match=r"junk.npz: is not a calibration, or is damaged"):
        store.bring(FAN, junk, ANNA)
    with pytest.raises(ArtefactError, match=r"regimes.npz has no regime '', only slow"):
        store.bring(FAN, regimes, ANNA)
    store.bring({**FAN, "regime": "slow"}, regimes, ANNA)
    assert not (tmp_path / "baselines" / f"{slug_of(FAN)}.json").exists()
    with pytest.raises(MonitorError, match="baselines need a state_dir"):
        Store(None, lambda: 0.0).bring({**FAN, "regime": "slow"}, regimes, ANNA)


def test_a_full_history_is_far_below_its_bound(tmp_path: Path, calibration: Calibration) -> None:
    labels = {f"label_{n}": "\U0001f600" * 128 for n in range(8)}
    store = opened(tmp_path)
    for _ in range(5):
        learn(store, calibration, labels)
    for _ in range(40):
        store.accept(labels, Asked("\U0001f600" * 100, "\U0001f600" * 500))
    history = opened(tmp_path).history(labels)
    assert history is not None
    assert len(history.changes) == 30
    assert len(history.text()) < 131_072
    sizes = {path.suffix: path.stat().st_size for path in (tmp_path / "baselines").iterdir()}
    assert 5 * sizes[".npz"] + sizes[".json"] < 400_000


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=300), min_size=1, max_size=4))
def test_any_labels_have_a_file_name_of_their_own(labels: dict[str, str]) -> None:
    slug = slug_of(labels)
    assert len(f"{slug}.2147483648.npz") < 120
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert slug_of(dict(reversed(labels.items()))) == slug
    assert slug_of({**labels, "": "another"}) != slug


def test_labels_that_cannot_be_written_are_refused() -> None:
    with pytest.raises(ValueError, match="labels"):
        History.model_validate_json(json.dumps({"labels": {"machine": "x" * 301}}))


def test_what_a_channel_learned_anew_can_be_extended_however_often(tmp_path: Path, calibration: Calibration) -> None:
    """What is kept of a channel belongs to the time at which it was last learned anew."""
    store = opened(tmp_path)
    since_s = asked_at_s(store.ask(FAN, "learn", ANNA))
    learn(store, calibration)
    for _ in range(KEPT_CHANGES):
        store.ask(FAN, "extend", ANNA)
        store.learned(FAN, calibration, model_sha256=MODEL, source=Source(), extended=True)
    for history in (store.history(FAN), opened(tmp_path).history(FAN)):
        assert history is not None
        assert asked_at_s(history) == since_s
        assert len(history.changes) == KEPT_CHANGES
        assert [one.what for one in history.changes[-2:]] == ["extend", "extended"]
    assert asked_at_s(store.ask(FAN, "learn", ANNA)) > since_s
