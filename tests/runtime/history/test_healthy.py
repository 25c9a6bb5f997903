"""The healthy picture: a mean of stretches that become rare and then stop."""

from pathlib import Path

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.runtime.history.healthy import FIRST_S, SAMPLES, STRETCHES, HealthyPictures

RATE_HZ = 12_000.0


def sine(amplitude: float, seed: int = 0) -> Float32:
    phase = np.random.default_rng(seed).uniform(0, 6)
    samples: Float32 = (amplitude * np.sin(phase + 2 * np.pi * 600 / RATE_HZ * np.arange(SAMPLES))).astype(np.float32)
    return samples


def test_the_mean_covers_seconds_and_days_and_then_stays(tmp_path: Path) -> None:
    pictures, now_s, taken = HealthyPictures(tmp_path), 1e9, []
    while now_s < float("inf"):
        taken.append(now_s)
        now_s = pictures.take(3, "a", RATE_HZ, sine(2.0, len(taken)), now_s)
    assert len(taken) == STRETCHES
    assert taken[1] - taken[0] < 15
    assert taken[-1] - taken[0] > 4 * 86400
    found = pictures.read(3, "a")
    assert found is not None
    assert found.amplitude[int(600 / (RATE_HZ / (SAMPLES // 2)))] == pytest.approx(2.0, rel=1e-2)
    assert pictures.take(3, "a", RATE_HZ, sine(50.0), taken[-1] + 1e8) == float("inf")
    again = pictures.read(3, "a")
    assert again is not None
    np.testing.assert_array_equal(again.power, found.power)


def test_it_survives_a_restart_and_belongs_to_its_calibration(tmp_path: Path) -> None:
    pictures = HealthyPictures(tmp_path)
    pictures.take(0, "a", RATE_HZ, sine(1.0), 100.0)
    pictures.close()
    again = HealthyPictures(tmp_path)
    found = again.read(0, "a")
    assert found is not None
    np.testing.assert_array_equal(found.samples, sine(1.0))
    assert again.read(0, "b") is None
    again.take(0, "b", RATE_HZ, sine(7.0), 200.0)
    assert again.read(0, "a") is None
    assert again.read(1, "b") is None


def test_a_clock_that_was_ahead_delays_nothing_for_long(tmp_path: Path) -> None:
    pictures = HealthyPictures(tmp_path)
    pictures.take(0, "a", RATE_HZ, sine(1.0), 9e9)
    assert pictures.take(0, "a", RATE_HZ, sine(1.0), 1e9) < 1e9 + 2 * FIRST_S


def test_a_file_of_another_version_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "healthy").write_bytes(b"vibration-monitor healthy 9\n" * 1000)
    assert HealthyPictures(tmp_path).read(0, "a") is None
    assert "healthy spectra start empty" in caplog.text
    assert (tmp_path / "healthy.bad").is_file()
