"""A forecast some blocks ahead: each is the input of the next, and needs samples on both sides."""

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.errors import RecordingError
from monitor.model.forecast_ahead import forecast_ahead
from tests.support.networks.numpy_engine import LastBlock


def noise() -> Float32:
    return np.random.default_rng(0).normal(size=1000).astype(np.float32)


def test_a_forecast_ahead_feeds_forecasts_back() -> None:
    samples = noise()
    found = forecast_ahead(LastBlock(8, 4, 5), samples, 400, 3, 50)
    np.testing.assert_allclose(found.forecast, np.stack([samples[392:400]] * 3), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.observed.reshape(-1), samples[400:424])
    np.testing.assert_array_equal(found.context, samples[:400])
    residual = found.observed - found.forecast
    assert found.gap == pytest.approx(float(np.sqrt((residual**2).mean())))
    ratio = (residual**2).sum() / ((found.observed - found.mean) ** 2).sum()
    assert found.gap_ratio == pytest.approx(float(ratio), rel=1e-4)
    assert len(found.block_gap_ratios()) == 3


@pytest.mark.parametrize("at_sample", [39, 977, 10_000])
def test_a_forecast_ahead_needs_samples_before_and_after(at_sample: int) -> None:
    with pytest.raises(RecordingError, match=r"take one from 40 to 976"):
        forecast_ahead(LastBlock(8, 4, 5), noise(), at_sample, 3, 50)
