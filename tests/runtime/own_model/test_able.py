"""Whether a training may begin: the library, and the memory that a service may use."""

import importlib.util
from pathlib import Path

import pytest

from monitor.runtime.own_model import able
from monitor.runtime.own_model.able import room_bytes, unable


def limits(folder: Path, current: int, high: str, most: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in (("current", str(current)), ("high", high), ("max", most)):
        (folder / f"memory.{name}").write_text(f"{value}\n")


@pytest.fixture
def unit(tmp_path: Path) -> tuple[Path, Path]:
    """The unit as shipped in a slice without limits."""
    groups, cgroup = tmp_path / "fs", tmp_path / "cgroup"
    cgroup.write_text("0::/system.slice/vibration-monitor.service\n")
    limits(groups / "system.slice", 10**9, "max", "max")
    limits(groups / "system.slice" / "vibration-monitor.service", 300 * 2**20, str(768 * 2**20), str(2**30))
    return cgroup, groups


def test_the_tightest_limit_counts(unit: tuple[Path, Path]) -> None:
    assert room_bytes(*unit) == 468 * 2**20
    limits(unit[1] / "system.slice", 10**9, "max", str(10**9 + 5))
    assert room_bytes(*unit) == 5


def test_no_limit(tmp_path: Path, unit: tuple[Path, Path]) -> None:
    limits(unit[1] / "system.slice" / "vibration-monitor.service", 10**8, "max", "max")
    assert room_bytes(*unit) is None
    assert room_bytes(tmp_path / "nothing", unit[1]) is None
    unit[0].write_text("1:memory:/old\n")
    assert room_bytes(*unit) is None


def test_it_says_what_to_do(unit: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(able, "room_bytes", lambda: room_bytes(*unit))
    assert unable(0) == (
        "training takes up to 1000 MiB, the limits of this service leave 468 MiB: raise MemoryHigh and MemoryMax "
        "(systemd/vibration-monitor.service.d/own-model.conf)"
    )
    monkeypatch.setattr(able, "room_bytes", lambda: None)
    assert unable(10**8) == ""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert unable(0).startswith("learning.model: own needs the library tensorflow, which is not installed: ")
