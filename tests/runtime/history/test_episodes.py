"""Alarms of the past: begin, peak, end, and the scores at which one is captured again."""

import logging
import math
from pathlib import Path

import pytest

from monitor.runtime.history.episodes import FILE_NAME, OF_ONE, Episodes

FAN = ("machine=fan",)
NAN = math.nan


def test_an_alarm_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    episodes = Episodes(tmp_path)
    story = [(1, 0.8), (1, 0.9), (2, 1.2), (2, 4.0), (2, 2.0), (2, 3.5), (2, 11.0), (1, 0.9), (0, 0.2), (0, 0.1)]
    captured = [episodes.see(FAN, state, score, 100.0 + at, 95.0, 1.2) for at, (state, score) in enumerate(story)]
    assert captured == [None, None, None, 3.0, None, None, 10.0, None, None, None]
    (one,) = episodes.of(FAN)
    assert (one.start_s, one.end_s, one.peak_score, one.peak_at_s, one.state) == (95.0, 108.0, 11.0, 106.0, "alarm")


def test_a_restart_in_the_middle_goes_on_with_the_same_alarm(tmp_path: Path) -> None:
    before = Episodes(tmp_path)
    before.see(FAN, 2, 3.2, 10.0, NAN, 3.1)
    before.save()
    after = Episodes(tmp_path)
    assert after.is_open(FAN)
    assert after.see(FAN, 2, 3.3, 20.0, 10.0, NAN) is None  # captured by the run before
    assert after.see(FAN, 0, 0.1, 30.0, NAN, NAN) is None
    (one,) = after.of(FAN)
    assert (one.start_s, one.end_s, one.peak_score) == (10.0, 30.0, 3.3)


def test_a_fault_that_has_grown_at_once_is_captured_once(tmp_path: Path) -> None:
    episodes = Episodes(tmp_path)
    assert episodes.see(FAN, 2, 20.0, 1.0, NAN, 14.0) is None  # as its alarm rose
    assert episodes.see(FAN, 2, 30.0, 2.0, NAN, 14.0) is None


def test_a_score_that_grows_within_the_first_second_is_captured_all_the_same(tmp_path: Path) -> None:
    episodes = Episodes(tmp_path)
    assert episodes.see(FAN, 2, 3.4, 1.0, NAN, 1.16) == 3.0
    assert episodes.see(FAN, 2, 3.5, 2.0, NAN, 1.16) is None


def test_a_channel_that_flickers_keeps_a_bounded_list(tmp_path: Path) -> None:
    episodes = Episodes(tmp_path)
    for at in range(3 * OF_ONE):
        episodes.see(FAN, 1, 0.8, 2.0 * at, NAN, NAN)
        episodes.see(FAN, 0, 0.1, 2.0 * at + 1, NAN, NAN)
    found = episodes.of(FAN)
    assert len(found) == OF_ONE
    assert found[0].start_s == 2.0 * (3 * OF_ONE - 1)


def test_an_interval_without_a_score_ends_nothing(tmp_path: Path) -> None:
    episodes = Episodes(tmp_path)
    episodes.see(FAN, 2, 1.5, 1.0, NAN, NAN)
    episodes.see(FAN, 2, NAN, 2.0, NAN, NAN)
    assert (episodes.of(FAN)[0].end_s, episodes.of(FAN)[0].peak_score) == (None, 1.5)
    episodes.see(FAN, -1, NAN, 3.0, NAN, NAN)  # its calibration is gone
    assert episodes.of(FAN)[0].end_s == 3.0


@pytest.mark.parametrize(
    "damage", [b"", b"{", b'{"format": 7}', b'{"format": 1, "channels": [[["a"], [{"start_s": "x"}]]]}', b"[]", b"null"]
)
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE_NAME).write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        assert Episodes(tmp_path).of(FAN) == []
    assert "alarm history starts empty" in caplog.text
    assert (tmp_path / f"{FILE_NAME}.bad").read_bytes() == damage
