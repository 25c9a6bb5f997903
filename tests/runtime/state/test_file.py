"""The state file: what is written is read, what is damaged is set aside, and a kill leaves the old file or the new."""

import errno
import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import MonitorError
from monitor.runtime.state.file import Kept, Known, Table, load, locked, pack, save, unpack

SAVER = """
import sys
from pathlib import Path
import numpy as np
from monitor.errors import MonitorError
from monitor.runtime.state.file import Known, Table, save
path = Path(sys.argv[1])
print("ready", flush=True)
channels = [Known(("m=" + str(i),), "k", "t", "x", 0.0, "").line() for i in range(50)]
number = 0
while True:
    number += 1
    save(path, [Table(channels, {"n": np.full(50, number), "x": np.full((50, 200), number)})])
"""


def known(*labels: str) -> str:
    return Known(labels, f"key of {labels}", "plant/fan/\u00e4", "x", 1.75e9, '{"state": "alarm"}').line()


def example() -> list[Table]:
    fans = {"alarm": np.array([[2, 0, 1, 5], [0, 0, 0, 0]]), "mean": np.arange(12.0).reshape(2, 2, 3)}
    return [Table([known("fan", "x"), known("fan", "y")], fans), Table([known("pump", "\udc80\n")], {})]


def same(one: Sequence[Table], other: Sequence[Table]) -> bool:
    return len(one) == len(other) and all(
        list(a.channels) == list(b.channels)
        and a.arrays.keys() == b.arrays.keys()
        and all(np.array_equal(a.arrays[name], b.arrays[name]) for name in a.arrays)
        for a, b in zip(one, other, strict=True)
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    save(tmp_path / "deep" / "state", example())
    kept = load(tmp_path / "deep" / "state")
    assert same(kept.tables, example())
    assert not kept.final
    save(tmp_path / "deep" / "state", example(), final=True)
    assert load(tmp_path / "deep" / "state").final
    assert load(tmp_path / "none") == Kept()


def test_some_channels_of_a_table() -> None:
    some = example()[0].take([1])
    assert (some.channels, some.arrays["mean"].tolist()) == ([known("fan", "y")], [[[6, 7, 8], [9, 10, 11]]])


@pytest.mark.parametrize("damage", ["empty", "short", "flipped", "other version", "text"])
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    good = b"".join(pack(example()))
    bad = {
        "empty": b"",
        "short": good[:-50],
        "flipped": good[:-5] + bytes([good[-5] ^ 1]) + good[-4:],
        "other version": good.replace(b"state 2", b"state 9", 1),
        "text": b"hello\n",
    }[damage]
    with pytest.raises(ValueError, match=r"not a state file|checksum"):
        unpack(bad)
    (tmp_path / "state").write_bytes(bad)
    assert load(tmp_path / "state") == Kept()
    assert not (tmp_path / "state").exists()
    assert [file.read_bytes() for file in tmp_path.glob("state.bad-*")] == [bad]
    assert "the state is not used" in caplog.text


def test_fifty_kills_while_writing_leave_the_old_or_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "state"
    chance = random.Random(1)
    seen = set()
    for _ in range(50):
        with subprocess.Popen([sys.executable, "-c", SAVER, path], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()  # from here on it does nothing but write
            time.sleep(chance.uniform(0.0, 0.03))
            child.send_signal(signal.SIGKILL)
        numbers = {number for table in load(path).tables for number in table.arrays["n"].tolist()}
        assert len(numbers) <= 1
        seen |= numbers
        assert not list(tmp_path.glob("state.bad-*"))
    assert len(seen) > 1


def test_a_state_directory_has_one_owner(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with (
        locked(folder),
        pytest.raises(MonitorError, match=f"state_dir {folder} is in use by another daemon"),
        locked(folder),
    ):
        pass
    with locked(folder), locked(None), locked(None):
        pass


def test_a_folder_that_cannot_be_used_is_no_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    with locked(tmp_path / "file"):
        pass
    assert "the state directory cannot be used, and until it can nothing is learned" in caplog.text


def test_a_folder_without_locks_is_used_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:  # noqa: ARG001 - as flock
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with locked(tmp_path):
        pass
    assert f"the state directory is not locked: folder={tmp_path} reason=No locks available" in caplog.text


KILLED = """
import os, sys
from pathlib import Path
from monitor.atomic_file import replacing
with replacing(Path(sys.argv[1])) as fresh:
    fresh.write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""


def test_what_killed_processes_left_half_written_goes_with_the_lock(tmp_path: Path) -> None:
    folders = [tmp_path, *(tmp_path / name for name in ("baselines", "learning", "diagnosis", "own/default"))]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "whole").write_bytes(b"whole")
        subprocess.run([sys.executable, "-c", KILLED, folder / "file.json"], check=False)
        assert len(list(folder.glob(".file.json.*.part"))) == 1
    (tmp_path / f".mine.{os.getpid()}.part").write_bytes(b"of an earlier container")
    others = tmp_path / "own" / "default" / f".own.json.{os.getppid()}.part"
    others.write_bytes(b"a training writes it")
    with locked(tmp_path):
        found = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"whole", "lock", others.name}
