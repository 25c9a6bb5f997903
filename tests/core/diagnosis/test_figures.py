"""Velocity and the usual figures against known amplitudes and another computation."""

import numpy as np
import pytest
from scipy.integrate import cumulative_simpson
from scipy.signal import firwin, oaconvolve

from monitor.core.diagnosis.figures import usual_figures, velocity_refusal, velocity_rms, zone
from monitor.recording.options import RecordingOptions
from monitor.recording.source import open_recording
from tests.support.recordings import recording_file

RATE = 12000.0


@pytest.mark.parametrize("duration_s", [2.0, 2.37, 10.16])
@pytest.mark.parametrize("frequency_hz", [10.0, 10.03, 17.3, 50.0, 333.3, 999.0, 1000.0])
def test_sines_are_within_one_per_cent_whatever_the_offset(frequency_hz: float, duration_s: float) -> None:
    time_s = np.arange(round(duration_s * RATE)) / RATE
    for phase in (0.0, 0.9, 2.1):
        samples = 3.0 * np.sin(2 * np.pi * frequency_hz * time_s + phase) + 300.0
        expected = 3.0 / np.sqrt(2) / (2 * np.pi * frequency_hz)
        assert velocity_rms(samples, RATE) == pytest.approx(expected, rel=0.01)


def test_the_band_ends_at_its_edges() -> None:
    time_s = np.arange(round(10 * RATE)) / RATE
    outside = sum(np.sin(2 * np.pi * f * time_s) for f in (3.0, 8.0, 1010.0, 3000.0))
    inside = 0.1 * np.sin(2 * np.pi * 100 * time_s)
    assert velocity_rms(outside + inside, RATE) == pytest.approx(0.1 / np.sqrt(2) / (2 * np.pi * 100), rel=1e-3)


def test_noise_has_the_velocity_of_a_filter_and_an_integral_in_the_time_domain() -> None:
    rng = np.random.default_rng(3)
    taps = firwin(24001, (20.0, 900.0), pass_zero=False, fs=RATE)
    samples = oaconvolve(rng.normal(size=round(60 * RATE)), taps, mode="valid")
    integral = np.cumsum(samples) / RATE
    assert velocity_rms(samples, RATE) == pytest.approx(float(np.std(integral)), rel=1e-3)


def test_what_has_no_velocity_says_why() -> None:
    assert velocity_refusal(24000, 12000.0) == ""
    assert "needs 2 s without a break" in velocity_refusal(2560, 25600.0)
    assert "the sampling rate is 150 Hz" in velocity_refusal(100_000, 150.0)


def test_usual_figures() -> None:
    figures = usual_figures(np.array([99.0, 101.0, 99.0, 101.0]))
    assert figures == pytest.approx((1.0, 1.0, 1.0, 2.0))
    noise = usual_figures(np.random.default_rng(0).normal(size=200_000))
    assert noise.kurtosis == pytest.approx(3.0, abs=0.05)
    assert np.isnan(usual_figures(np.ones(5)).crest_factor)


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("cwru/IR021_0.mat#X209_DE_time", RecordingOptions(sampling_rate_hz=12000, unit="g")),
        ("cwru/Normal_0.mat#X097_DE_time", RecordingOptions(sampling_rate_hz=48000, unit="g")),
        ("uestc/healthy_1000rpm.npz#acceleration", RecordingOptions()),
    ],
)
def test_recordings_have_the_velocity_of_a_filter_and_an_integral_in_the_time_domain(
    address: str, options: RecordingOptions
) -> None:
    """Two seconds repeated, so that the filter has no ends; the integral is Simpson's."""
    recording = open_recording(
        str(recording_file(address.partition("#")[0])) + "#" + address.partition("#")[2], options
    )
    rate = recording.sampling_rate_hz
    piece = recording.load()[0][: 2 * round(rate)].astype(np.float64)
    taps = firwin(40 * round(rate) + 1, (9.75, 1000.25), pass_zero=False, fs=rate, window=("kaiser", 6.0))
    samples = oaconvolve(np.tile(piece, 23), taps, mode="valid")
    integral = cumulative_simpson(samples, dx=1 / rate)
    assert velocity_rms(piece, rate) == pytest.approx(float(np.std(integral)), rel=1e-3)


def test_a_zone_begins_at_its_limit() -> None:
    limits = (0.0023, 0.0045, 0.0071)
    assert [zone(velocity, limits) for velocity in (0.0, 0.0022, 0.0023, 0.0046, 0.0071, 1.0)] == [0, 0, 1, 2, 3, 3]
