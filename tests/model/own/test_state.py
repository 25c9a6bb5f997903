"""The file that says what became of a plant's own model."""

import os
import threading
from pathlib import Path

import pytest

from monitor.errors import ArtefactError, MonitorError
from monitor.model.own.state import OwnState, Phase, read_state, training_locked, write_state

STATE = OwnState(model="default", base="/models/reference", base_sha256="a" * 64, phase=Phase.SAMPLING)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    taken = STATE.model_copy(
        update={"phase": Phase.TAKEN, "sha256": "b" * 64, "channels": 3, "foreseen": 0.5, "foreseen_before": 0.4}
    )
    write_state(tmp_path, taken)
    found = read_state(tmp_path)
    assert found == taken
    assert found is not None
    assert found.gain == pytest.approx(0.1)
    assert found.directory(tmp_path) == tmp_path / ("model-" + "b" * 12)
    assert "50.0%" in found.judged
    assert "40.0% (mean over 3 channels)" in found.judged


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"format": "other"}', STATE.model_dump_json().replace('"format_version":1', '"format_version":2')],
)
def test_a_damaged_one_or_another_version_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.json").write_text(text)
    with pytest.raises(ArtefactError, match=r"own\.json: is damaged or of another version: .* restore it .* or delete"):
        read_state(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(MonitorError, match="check folder and free space"):
        write_state(tmp_path, STATE)


def test_one_training_waits_for_another(tmp_path: Path) -> None:
    waits, entered = threading.Event(), threading.Event()

    def second() -> None:
        with training_locked(tmp_path, waits.set):
            entered.set()

    with training_locked(tmp_path, lambda: None):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(10)
        assert not entered.is_set()
    thread.join(10)
    assert entered.is_set()
