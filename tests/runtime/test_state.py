"""The state file: what is written is read, what is damaged is set aside, and a kill leaves the old file or the new."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from monitor.runtime.state import ChannelState, Kept, State, load, pack, save, unpack

SAVER = """
import sys
from pathlib import Path
import numpy as np
from monitor.runtime.state import ChannelState, save
path = Path(sys.argv[1])
print("ready", flush=True)
number = 0
while True:
    number += 1
    channel = ChannelState("k", {"n": np.array([number]), "x": np.full(200, number)})
    save(path, {("m", str(i)): channel for i in range(50)})
"""


def example() -> State:
    return {
        ("fan", "x"): ChannelState("t1", {"alarm": np.array([2, 0, 1, 5]), "mean": np.arange(6.0).reshape(2, 3)}),
        ("fan", "y"): ChannelState("t2", {"alarm": np.array([0, 0, 0, 0]), "mean": np.arange(4.0).reshape(2, 2)}),
        ("pump", ""): ChannelState("t3", {}),
    }


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(
        one[k].key == other[k].key
        and one[k].arrays.keys() == other[k].arrays.keys()
        and all((one[k].arrays[name] == other[k].arrays[name]).all() for name in one[k].arrays)
        for k in one
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    save(tmp_path / "deep" / "state", example())
    kept = load(tmp_path / "deep" / "state")
    assert same(kept.channels, example())
    assert not kept.final
    save(tmp_path / "deep" / "state", example(), final=True)
    assert load(tmp_path / "deep" / "state").final
    assert load(tmp_path / "none") == Kept({}, final=False)


@pytest.mark.parametrize("damage", ["empty", "short", "flipped", "other version", "text"])
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    good = pack(example())
    bad = {
        "empty": b"",
        "short": good[:-50],
        "flipped": good[:-5] + bytes([good[-5] ^ 1]) + good[-4:],
        "other version": good.replace(b"state 1", b"state 9", 1),
        "text": b"hello\n",
    }[damage]
    with pytest.raises(ValueError, match=r"not a state file|checksum"):
        unpack(bad)
    (tmp_path / "state").write_bytes(bad)
    assert load(tmp_path / "state") == Kept({}, final=False)
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
        numbers = {int(channel.arrays["n"][0]) for channel in load(path).channels.values()}
        assert len(numbers) <= 1
        seen |= numbers
        assert not list(tmp_path.glob("state.bad-*"))
    assert len(seen) > 1
