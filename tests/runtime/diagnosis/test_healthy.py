"""What is kept of healthy channels: over a restart, for its key and speed only; a damaged file costs its channel."""

from pathlib import Path

import numpy as np
import pytest

from monitor.core.diagnosis.diagnose import Diagnosis
from monitor.core.diagnosis.envelope import Lines
from monitor.core.diagnosis.figures import Figures
from monitor.core.diagnosis.shaft_faults import ORDERS, Levels
from monitor.runtime.diagnosis.healthy import HealthyLooks


def look(depth: float) -> Diagnosis:
    found = Diagnosis("fan/x", Figures(1.0, 4.0, 3.0, 8.0), "m/s²", shaft_hz=24.8)
    found.lines = Lines(np.array([3, 17]), np.array([3.58, 7.16]), np.array([depth, 0.05]), np.array([0.0, 0.012]))
    db = np.full((5, len(ORDERS)), 3.0)
    db[:, -1] = -np.inf
    found.levels = Levels(db, np.full(len(ORDERS), 12.0))
    return found


def test_the_lines_of_all_looks_are_known_after_a_restart(tmp_path: Path) -> None:
    first = HealthyLooks(tmp_path / "diagnosis")
    first.load()
    assert not first.has("fan/x", "key")
    first.keep("fan/x", "key", [look(0.1), look(0.3)], 5.0)
    again = HealthyLooks(tmp_path / "diagnosis")
    again.load()
    for looks in (first, again):
        assert looks.has("fan/x", "key")
        assert not looks.has("fan/x", "another calibration")
        assert looks.of("fan/x", "another calibration", 24.8) is None
        found = looks.of("fan/x", "key", 25.0)
        assert found is not None
        assert found.lines is not None
        assert found.lines.band.tolist() == [3, 17, 3, 17]
        assert found.lines.order == pytest.approx([3.58, 7.16, 3.58, 7.16])
        assert found.lines.error == pytest.approx([0.0, 0.012, 0.0, 0.012])
        assert found.lines.depth == pytest.approx([0.1, 0.05, 0.3, 0.05])
        assert found.levels is not None
        assert found.levels.db.shape == (10, len(ORDERS))
        assert np.isnan(found.levels.db[:, -1]).all(), "an order that was not measured stays unknown"
        other_speed = looks.of("fan/x", "key", 30.0)
        assert other_speed is not None
        assert other_speed.levels is None
        assert other_speed.lines is not None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"lines": [[1]]}', b"\xff\xfe", b'{"channel": "x"}'])
def test_a_damaged_file_costs_its_channel_only(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    kept = HealthyLooks(tmp_path)
    for name in ("fan/x", "fan/y"):
        kept.keep(name, "key", [look(0.1)], 5.0)
    next(tmp_path.glob("fan_x*.json")).write_bytes(damage)
    again = HealthyLooks(tmp_path)
    again.load()
    assert not again.has("fan/x", "key")
    assert again.has("fan/y", "key")
    assert "another will be made" in caplog.text


def test_without_a_folder_it_is_kept_in_memory() -> None:
    looks = HealthyLooks(None)
    looks.load()
    looks.keep("fan/x", "key", [look(0.1)], 5.0)
    assert looks.has("fan/x", "key")
