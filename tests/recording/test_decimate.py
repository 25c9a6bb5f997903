"""Decimation: no aliasing, no delay, and no dependence on the sizes of the pieces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.arrays import Float64, Numbers
from monitor.recording.decimate import Decimator, low_pass


def decimate(samples: Numbers, factor: int, cuts: list[int] | None = None) -> Float64:
    decimator = Decimator(factor)
    outputs = [decimator.push(part) for part in np.split(samples, sorted(cuts or []))]
    return np.concatenate([*outputs, decimator.finish()])


def slow_twin(samples: Float64, factor: int) -> Float64:
    coefficients = low_pass(factor)
    half = coefficients.size // 2
    continued = np.pad(samples, half, mode="reflect", reflect_type="odd")
    return np.array([coefficients @ continued[at : at + 2 * half + 1] for at in range(0, samples.size, factor)])


@settings(deadline=None, derandomize=True)
@given(
    length=st.integers(1, 700),
    factor=st.integers(2, 7),
    cuts=st.lists(st.integers(0, 700), max_size=8),
    seed=st.integers(0, 100),
)
def test_any_split_gives_the_same_bits_and_equals_the_slow_twin(
    length: int, factor: int, cuts: list[int], seed: int
) -> None:
    samples = np.random.default_rng(seed).normal(size=length).astype(np.float32)
    whole = decimate(samples, factor)
    np.testing.assert_array_equal(decimate(samples, factor, [cut for cut in cuts if cut <= length]), whole)
    np.testing.assert_allclose(whole, slow_twin(samples.astype(np.float64), factor), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("factor", [2, 4, 5, 16])
def test_pass_band_is_flat_and_nothing_folds_back(factor: int) -> None:
    coefficients = low_pass(factor)
    response = np.abs(np.fft.rfft(coefficients, 2**16))
    nyquist = 1 / factor
    frequency = np.linspace(0, 1, response.size)
    assert np.abs(response[frequency <= 0.8 * nyquist] - 1).max() < 1e-4
    assert response[frequency >= nyquist].max() < 10 ** (-88 / 20)


def test_outputs_stand_where_their_input_samples_stood() -> None:
    time = np.arange(4000)
    signal = np.sin(2 * np.pi * 0.03 * time)
    outputs = decimate(signal, 4)
    assert outputs.size == 1000
    inner = slice(30, -30)
    np.testing.assert_allclose(outputs[inner], signal[::4][inner], atol=1e-4)


def test_level_and_slope_are_kept_up_to_the_ends() -> None:
    line = 9.81 + 0.01 * np.arange(999)
    np.testing.assert_allclose(decimate(line, 3), line[::3], atol=1e-9)
    np.testing.assert_allclose(decimate(np.full(7, 2.5), 4), [2.5, 2.5], atol=1e-12)
    np.testing.assert_allclose(decimate(np.array([2.5]), 4), [2.5], atol=1e-12)


def test_a_decimator_starts_afresh_after_the_end_of_a_record() -> None:
    samples = np.random.default_rng(0).normal(size=500)
    decimator = Decimator(3)
    first = np.concatenate((decimator.push(samples), decimator.finish()))
    second = np.concatenate((decimator.push(samples), decimator.finish()))
    np.testing.assert_array_equal(first, second)
    assert not decimator.finish().size


def test_nan_spoils_only_what_is_near() -> None:
    samples = np.ones(2000)
    samples[1000] = np.nan
    bad = np.flatnonzero(np.isnan(decimate(samples, 4)))
    half = low_pass(4).size // 2
    assert bad.min() >= (1000 - half) / 4
    assert bad.max() <= (1000 + half) / 4
