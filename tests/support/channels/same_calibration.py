"""Whether two calibrations are the same within rounding."""

import numpy as np
import pytest

from monitor.core.scoring.calibration.calibration import Calibration

ARRAYS = ("prototypes", "healthy", "noise", "values", "ranges", "low", "high", "centre", "spread", "kind_scale")


def same(one: Calibration, other: Calibration) -> None:
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=2e-3, atol=2e-3, err_msg=name)
    assert one.tail.surprise(np.array([30.0]))[0] == pytest.approx(other.tail.surprise(np.array([30.0]))[0], rel=1e-3)
    assert one.limit(1.0) == pytest.approx(other.limit(1.0), rel=1e-3)
    np.testing.assert_allclose(one.sensitivity, other.sensitivity, atol=0.12)  # two steps of its bisection
    assert one.healthy_s == pytest.approx(
        other.healthy_s, abs=one.interval_blocks * one.block_samples / one.sampling_rate_hz
    )  # less than an interval is left
    for name in ("intervals", "aside_intervals", "interval_blocks", "quantities"):
        assert getattr(one, name) == getattr(other, name), name
