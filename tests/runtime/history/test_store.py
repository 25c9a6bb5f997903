"""The store over days: what comes back after restarts, kills, damaged files, and with a clock that jumps."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from monitor.runtime.history import cells, ring_file
from monitor.runtime.history.cells import QUANTITIES, TIERS
from monitor.runtime.history.places import Places
from monitor.runtime.history.store import Series, Store

NOON_S = 1_750_000_000.0 // 21_600 * 21_600
FAN, PUMP = ("machine=fan",), ("machine=pump",)
SCORE = QUANTITIES.index("score")


def opened(folder: Path, channels: int = 2) -> Store:
    return Store(folder / "history", channels)


def fill(store: Store, start_s: float, minutes: int, score: float | None = None) -> None:
    """One figure each 20 s for both channels: the score is that given, or the minute's number modulo 10."""
    for at in range(3 * minutes):
        now_s = start_s + 20.0 * at
        values = np.full((2, len(QUANTITIES)), np.nan, np.float32)
        values[0, SCORE] = score if score is not None else now_s // 60 % 10
        values[1, SCORE] = 0.5
        store.add(store.places([FAN, PUMP], now_s), values, now_s)


def read(store: Store, over: str, now_s: float) -> Series:
    found = store.read(FAN, over, now_s)
    assert found is not None
    return found


def test_minutes_become_quarters_and_quarters_six_hours(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, NOON_S, 13 * 60)
    end_s = NOON_S + 13 * 3600
    minutes = read(store, "hours", end_s - 1)
    assert minutes.start_s == NOON_S
    expected = (minutes.start_s // 60 + np.arange(13 * 60)) % 10
    np.testing.assert_allclose(minutes.mean["score"], expected, rtol=4e-4)
    assert np.isnan(minutes.mean["rms"]).all()
    quarters = read(store, "days", end_s - 1)
    assert (quarters.period_s, quarters.mean["score"].size) == (900, 52)
    np.testing.assert_allclose(quarters.mean["score"], expected.reshape(52, 15).mean(axis=1), rtol=1e-3)
    np.testing.assert_allclose(quarters.top["score"], expected.reshape(52, 15).max(axis=1), rtol=1e-3)
    coarse = read(store, "weeks", end_s - 1)
    # Two complete cells and one that is open, of the quarters that it has so far and the minutes after them.
    np.testing.assert_allclose(coarse.mean["score"], [4.5, 4.5, 4.5], rtol=0.02)
    np.testing.assert_allclose(coarse.top["score"], [9.0, 9.0, 9.0], rtol=1e-3)


def test_a_restart_goes_on_and_a_kill_loses_the_open_minute_only(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, NOON_S, 20)
    store.close(NOON_S + 20 * 60 - 1)
    again = opened(tmp_path)
    before = read(again, "hours", NOON_S + 20 * 60 - 1)
    assert before.mean["score"].size == 20
    assert np.isfinite(before.mean["score"]).all()
    fill(again, NOON_S + 22 * 60, 3)  # and is then killed
    killed = opened(tmp_path)
    after = read(killed, "hours", NOON_S + 25 * 60).mean["score"]
    missing = np.flatnonzero(np.isnan(after)).tolist()
    assert missing == [20, 21, 24, 25]  # what was not running, what was open, and the present


def test_a_restart_within_a_minute_keeps_both_halves(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, NOON_S, 1, score=2.0)
    store.close(NOON_S + 40)
    again = opened(tmp_path)
    values = np.full((2, len(QUANTITIES)), 4.0, np.float32)
    again.add(again.places([FAN, PUMP], NOON_S + 50), values, NOON_S + 50)
    assert read(again, "hours", NOON_S + 55).mean["score"] == pytest.approx([3.0], rel=1e-3)
    again.close(NOON_S + 60)
    assert read(opened(tmp_path), "hours", NOON_S + 59).top["score"] == pytest.approx([4.0], rel=1e-3)


def test_a_coarse_cell_whose_end_was_missed_is_made_at_the_next_start(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, NOON_S, 10)
    store.close(NOON_S + 10 * 60)
    later = opened(tmp_path)
    fill(later, NOON_S + 26 * 3600, 1)  # by now the minutes are out of reach
    quarters = read(later, "days", NOON_S + 26 * 3600 + 59).mean["score"]
    assert quarters[0] == pytest.approx(4.5, rel=0.01)
    assert np.isnan(quarters[1:-1]).all()
    assert read(later, "weeks", NOON_S + 26 * 3600 + 59).mean["score"][0] == pytest.approx(4.5, rel=0.01)


def test_after_months_away_old_minutes_replace_no_newer_cell(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, NOON_S, 20, score=1.0)
    store.close(NOON_S + 20 * 60)
    back_s = NOON_S + TIERS[1].cells * TIERS[1].period_s  # the quarters of then and now share their rows
    later = opened(tmp_path)
    fill(later, back_s, 40, score=3.0)
    quarters = read(later, "days", back_s + 40 * 60).mean["score"]
    np.testing.assert_allclose(quarters[-3:], 3.0, rtol=1e-3)


def test_a_clock_that_jumps_loses_little(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, NOON_S, 60, score=1.0)
    fill(store, NOON_S + 3e7, 3, score=7.0)  # a year ahead
    fill(store, NOON_S + 3600, 30, score=2.0)
    fill(store, NOON_S + 3600 + 25 * 60, 10, score=3.0)  # five minutes back
    fill(store, 1_577_836_800.0, 2, score=9.0)  # the clock has lost its battery
    fill(store, NOON_S + 3600 + 35 * 60, 5, score=4.0)
    found = read(store, "hours", NOON_S + 3600 + 40 * 60 - 1).mean["score"]
    assert found.size == 100
    kept, counts = np.unique(np.round(found[np.isfinite(found)]), return_counts=True)
    assert kept.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert counts.sum() >= 95  # five rows were written by the wrong clocks
    quarters = read(store, "days", NOON_S + 3600 + 40 * 60 - 1)
    assert np.nanmax(quarters.top["score"]) == pytest.approx(4.0, rel=1e-3)


def test_a_day_round_the_oldest_minute_is_replaced(tmp_path: Path) -> None:
    tier = TIERS[0]
    file = ring_file.RingFile(tmp_path / "hours", tier, 4, ("score",))
    for number in (100, 100 + tier.cells):
        file.write(number, cells.encode(np.full((4, 1, 2), float(number))))
    assert file.row(100) is None
    assert cells.decode(file.column(np.array([100, 100 + tier.cells]), 3))[:, 0, 0].tolist() == pytest.approx(
        [np.nan, 100 + tier.cells], rel=1e-3, nan_ok=True
    )
    file.close()


@pytest.mark.parametrize("damage", [b"", b"nonsense\xff", b'{"format": 99}', b'{"format": 1}', b"[1, 2]", b"null"])
def test_a_file_that_is_not_understood_is_set_aside_with_its_reason(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened(tmp_path)
    fill(store, NOON_S, 5)
    store.close(NOON_S + 300)
    for name in ("hours", "channels.json"):
        (tmp_path / "history" / name).write_bytes(damage)
        with caplog.at_level(logging.WARNING):
            again = opened(tmp_path)
        assert "starts empty" in caplog.text
        assert name in caplog.text
        caplog.clear()
        fill(again, NOON_S + 600, 2)
        again.close(NOON_S + 720)
        assert read(opened(tmp_path), "hours", NOON_S + 719).mean["score"].size >= 2


def test_a_file_that_is_cut_off_gives_what_it_has(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, NOON_S, 30)
    store.close(NOON_S + 30 * 60)
    path = tmp_path / "history" / "hours"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 20_000)
    found = opened(tmp_path).read(FAN, "hours", NOON_S + 30 * 60 - 1)
    assert found is not None
    assert 0 < np.isfinite(found.mean["score"]).sum() < 30


def test_more_channels_or_figures_carry_the_old_ones_over(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, NOON_S, 5)
    store.close(NOON_S + 300)
    bigger = opened(tmp_path, channels=3000)
    assert np.isfinite(read(bigger, "hours", NOON_S + 299).mean["score"]).all()
    bigger.close(NOON_S + 300)
    folder, tier = tmp_path / "history", TIERS[0]
    file = ring_file.RingFile(folder / "hours", tier, 4096, ("velocity", "score"))
    numbers = int(NOON_S // 60) + np.arange(5)
    found = cells.decode(file.column(numbers, 0))
    assert np.isnan(found[:, 0]).all()
    np.testing.assert_allclose(found[:, 1, 0], numbers % 10, rtol=4e-4)
    file.close()


def test_a_channel_that_came_first_and_is_away_makes_room(tmp_path: Path) -> None:
    places = Places(tmp_path, 3)
    assert places.take([("a",), ("b",)], 1.0)
    assert places.take([("c",)], 2.0)
    assert places.take([("b",), ("c",), ("d",)], 3.0)
    assert places.of.keys() == {("b",), ("c",), ("d",)}
    assert places.of["d",] == (0, 3.0)
    assert not places.take([("d",)], 4.0)
    places.save()
    assert Places(tmp_path, 3).of == places.of


def test_the_place_of_another_channel_does_not_show_its_history(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, NOON_S, 5)
    content = json.loads((tmp_path / "history" / "channels.json").read_bytes())
    (fan,) = (one for one in content["channels"] if one[0] == FAN[0])
    fan[0], fan[-1] = "machine=new", NOON_S + 300
    store.close(NOON_S + 300)
    (tmp_path / "history" / "channels.json").write_text(json.dumps(content))
    found = opened(tmp_path).read(("machine=new",), "hours", NOON_S + 360)
    assert found is not None
    assert np.isnan(found.mean["score"]).all()
    assert opened(tmp_path).read(FAN, "hours", NOON_S + 360) is None


def test_what_it_takes_on_disk(tmp_path: Path) -> None:
    """A row is as large as its channels need; the room of those that never came takes none."""
    store = opened(tmp_path, channels=16_384)
    fill(store, NOON_S, 120)
    store.close(NOON_S + 7200)
    taken = sum(file.stat().st_blocks * 512 for file in (tmp_path / "history").iterdir())
    assert taken < 130 * 8192 + 100_000  # two sectors and a page of the file system a row
    per_channel = sum(tier.cells for tier in TIERS) * len(QUANTITIES) * 4
    assert per_channel < 120_000
