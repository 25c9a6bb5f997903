"""The file of what a channel has kept: whole after any kill, bounded, and refused when it is not what it should be."""

from pathlib import Path

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.core.learning.head_fit import Fitted
from monitor.core.learning.thinning import MOST_INTERVALS, kept
from monitor.core.scoring.interval.head import SUMMARY_NUMBERS, Head
from monitor.runtime.learning.kept_file import About, KeptFile, Records
from tests.support.full_disk import full_disk

SIZE = 100
RAW = 28
ABOUT = About("key", ("speed_rpm",), RAW)
MOST_BYTES = 285_000
"""What a channel may take."""


def head() -> Fitted:
    rng = np.random.default_rng(0)
    summary: Float32 = rng.normal(size=(2 * SIZE, SUMMARY_NUMBERS)).astype(np.float32)
    ahead, carried = rng.normal(size=(2, SUMMARY_NUMBERS, SIZE)).astype(np.float32)
    return Fitted(Head(rng.normal(size=SIZE), np.ones(SIZE), np.ones(SIZE), summary, ahead, carried), 0.5, 0.4)


def records(first: int, count: int) -> Records:
    place = np.arange(first, first + count)
    raw = (place[:, None] + np.arange(RAW) / 100).astype(np.float32)
    return Records(place, 1.7e9 + place.astype(np.float64), raw, place[:, None].astype(np.float32))


def test_what_was_appended_comes_back_with_its_head(tmp_path: Path) -> None:
    path = tmp_path / "a.learning"
    file = KeptFile.create(path, ABOUT, head(), 1.5)
    file.append(records(0, 30), 30)
    file.append(records(30, 5), 35)
    again = KeptFile.open(path)
    assert (again.about, again.level_mps2, again.count, again.following) == (ABOUT, 1.5, 35, 35)
    np.testing.assert_array_equal(again.fitted().head.summary, head().head.summary)
    assert again.fitted()[1:] == (0.5, 0.4)
    for found, wanted in zip(again.read(), records(0, 35), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_torn_record_is_removed_and_the_next_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.learning"
    KeptFile.create(path, ABOUT, head(), 1.5).append(records(0, 10), 10)
    whole = path.read_bytes()
    for end in (-1, -50, -ABOUT.record.itemsize + 1):
        path.write_bytes(whole[:end])
        again = KeptFile.open(path)
        assert again.following == 9
        again.append(records(9, 3), 12)
        assert KeptFile.open(path).read().place.tolist() == list(range(12))
    # A machine that lost power may leave zeros.
    path.write_bytes(whole[:-100] + bytes(100))
    assert KeptFile.open(path).following == 9


def test_it_stays_within_its_bound_and_keeps_what_thinning_keeps(tmp_path: Path) -> None:
    path = tmp_path / "a.learning"
    file = KeptFile.create(path, About("k" * 300, tuple("abcdef"), RAW), head(), 1.5)
    largest = 0
    for first in range(0, 6 * MOST_INTERVALS, 100):
        wanted = records(first, 100)
        wanted = Records(*wanted[:3], np.zeros((100, 6), np.float32)).of(kept(wanted.place, wanted.place + 1))
        file.append(wanted.of(kept(wanted.place, first + 100)), first + 100)
        largest = max(largest, path.stat().st_size)
    assert largest <= MOST_BYTES + 24 * MOST_INTERVALS - 20 * MOST_INTERVALS
    place = KeptFile.open(path).read().place
    seen = int(place[-1]) + 1
    np.testing.assert_array_equal(place, np.flatnonzero(kept(np.arange(seen), seen)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data.replace(b"learning 3 ", b"learning 2 "), "not a learning file of this version"),
        (lambda data: data[:200] + b"x" + data[201:], "its head is damaged"),
        (lambda data: data[:40], "not a learning file of this version"),
        (lambda _: b"", "not a learning file of this version"),
    ],
)
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, change, reason: str) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    path = tmp_path / "a.learning"
    KeptFile.create(path, ABOUT, head(), 1.5)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=reason):
        KeptFile.open(path)


def test_a_disk_that_becomes_full_within_a_record_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.learning"
    file = KeptFile.create(path, ABOUT, head(), 1.5)
    file.append(records(0, 10), 10)
    before = path.read_bytes()
    with full_disk(len(before) + ABOUT.record.itemsize + 50), pytest.raises(OSError, match="too large"):
        file.append(records(10, 5), 15)
    assert path.read_bytes() == before
    file.append(records(15, 5), 20)  # there is room again
    for each in (file, KeptFile.open(path)):
        assert each.read().place.tolist() == [*range(10), *range(15, 20)]
