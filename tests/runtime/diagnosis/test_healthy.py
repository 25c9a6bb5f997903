"""What is kept of healthy channels: over a restart, for its key and speed only; a damaged file costs its channel."""

from pathlib import Path

import numpy as np
import pytest

from monitor.core.diagnosis.diagnose import Diagnosis
from monitor.core.diagnosis.envelope import Lines
from monitor.core.diagnosis.figures import Figures
from monitor.core.diagnosis.shaft.faults import KNOWN_LOOKS, ORDERS, Levels
from monitor.core.diagnosis.together import Together
from monitor.runtime.diagnosis.healthy import APART_S, MOST_APART, HealthyLooks


def look(db: float, shaft_hz: float = 24.8) -> Diagnosis:
    """The last of six looks, at a level of the shaft's lines."""
    found = Diagnosis("fan/x", Figures(1.0, 4.0, 3.0, 8.0), "m/s²", shaft_hz=shaft_hz)
    rows = np.full((6, len(ORDERS)), db)
    rows[:, -1] = -np.inf
    found.levels = Levels(rows, np.full(len(ORDERS), 12.0))
    nothing = np.zeros((1, 9), np.float16)
    found.together = Together(6, 60, 75.0, ((0.0, 1000.0),), 1, nothing, nothing, found.levels)
    return found


def lines(depth: float, order: float = 3.585) -> Lines:
    return Lines(np.array([3, 17]), np.array([order, 7.16]), np.array([depth, 0.05]), np.array([0.0, 0.012]))


def test_the_lines_of_all_looks_are_known_after_a_restart_the_deepest_of_each_place(tmp_path: Path) -> None:
    first = HealthyLooks(tmp_path / "diagnosis")
    first.load()
    assert not first.has("fan/x", "key")
    first.keep("fan/x", "key", [lines(0.1), lines(0.3, 3.583), lines(0.2, 3.7)], look(3.0), 5.0)
    again = HealthyLooks(tmp_path / "diagnosis")
    again.load()
    for looks in (first, again):
        assert looks.has("fan/x", "key")
        assert not looks.has("fan/x", "another calibration")
        assert looks.of("fan/x", "another calibration", 24.8) is None
        found = looks.of("fan/x", "key", 25.0)
        assert found is not None
        assert found.lines is not None
        assert found.lines.band.tolist() == [3, 3, 17]
        assert found.lines.order == pytest.approx([3.583, 3.7, 7.16])
        assert found.lines.error == pytest.approx([0.0, 0.0, 0.012])
        assert found.lines.depth == pytest.approx([0.3, 0.2, 0.05])
        assert found.segments == 60
        assert found.levels is not None
        assert found.levels.db.shape == (6, len(ORDERS))
        assert np.isnan(found.levels.db[:, -1]).all(), "an order that was not measured stays unknown"
        assert not found.apart
        other_speed = looks.of("fan/x", "key", 30.0)
        assert other_speed is not None
        assert other_speed.levels is None
        assert other_speed.lines is not None


def test_looks_hours_apart_tell_how_the_lines_of_the_shaft_wander(tmp_path: Path) -> None:
    looks = HealthyLooks(tmp_path)
    looks.keep("fan/x", "key", [lines(0.1)], look(0.0), 0.0)
    at_s = 0.0
    while not looks.apart_due("fan/x", at_s):
        at_s += 60.0
    assert at_s == APART_S
    found = None
    for number in range(1, MOST_APART):
        assert looks.apart_due("fan/x", number * APART_S)
        shaft_hz = 30.0 if number == 2 else 24.8
        looks.keep_apart("fan/x", look(float(number), shaft_hz), number * APART_S)
        again = HealthyLooks(tmp_path)
        again.load()
        found = again.of("fan/x", "key", 24.8)
        assert found is not None
        assert found.apart == (number >= KNOWN_LOOKS)
    assert found is not None
    assert found.levels is not None
    levels = found.levels.db[:, 0].tolist()
    assert levels == [0.0, 1.0, *range(3, MOST_APART)], "the look at another speed is left out"
    assert not looks.apart_due("fan/x", 1e9), "it has been looked at often enough"


def test_a_clock_that_was_far_ahead_at_a_look_does_not_end_the_looks(tmp_path: Path) -> None:
    looks = HealthyLooks(tmp_path / "diagnosis")
    looks.keep("fan/x", "key", [lines(0.1)], look(3.0), 4e9)  # the clock was not set yet
    assert looks.apart_due("fan/x", 1.8e9)
    looks.keep_apart("fan/x", look(3.0), 1.8e9)
    assert not looks.apart_due("fan/x", 1.8e9 + APART_S - 1)
    assert looks.apart_due("fan/x", 1.8e9 + APART_S)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"lines": [[1]]}', b"\xff\xfe", b'{"channel": "x"}'])
def test_a_damaged_file_costs_its_channel_only(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    kept = HealthyLooks(tmp_path)
    for name in ("fan/x", "fan/y"):
        kept.keep(name, "key", [lines(0.1)], look(3.0), 5.0)
    next(tmp_path.glob("fan_x*.json")).write_bytes(damage)
    again = HealthyLooks(tmp_path)
    again.load()
    assert not again.has("fan/x", "key")
    assert again.has("fan/y", "key")
    assert "another will be made" in caplog.text


def test_without_a_folder_it_is_kept_in_memory() -> None:
    looks = HealthyLooks(None)
    looks.load()
    looks.keep("fan/x", "key", [lines(0.1)], look(3.0), 5.0)
    assert looks.has("fan/x", "key")
