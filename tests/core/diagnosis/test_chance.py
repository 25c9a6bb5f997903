"""Tails of the Gamma distribution against SciPy's."""

import numpy as np
import pytest
from scipy.special import gammainccinv
from scipy.stats import gamma

from monitor.core.diagnosis.chance import MOST_SHAPE, log_tail, quantile


@pytest.mark.parametrize("shape", [1, 2, 7, 40, 300])
def test_the_tail_is_that_of_the_gamma_distribution(shape: int) -> None:
    value = np.array([[0.0, 0.3, 1.0], [shape, 2.0 * shape + 10, 3.0 * shape + 200]])
    assert log_tail(shape, value) == pytest.approx(gamma.logsf(value, shape), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("shape", [1, 9, 120])
def test_the_quantile_is_that_of_the_gamma_distribution(shape: int) -> None:
    assert quantile(shape, 0.9) * shape == pytest.approx(float(gammainccinv(shape, 0.1)), rel=1e-9)


def test_a_shape_beyond_the_largest_overstates_the_tail() -> None:
    value = np.array([1.2, 1.5]) * 5 * MOST_SHAPE
    assert (log_tail(5 * MOST_SHAPE, value) > gamma.logsf(value, 5 * MOST_SHAPE)).all()
