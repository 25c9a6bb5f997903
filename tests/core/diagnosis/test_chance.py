"""Tails of the Gamma distribution and of Student's against SciPy's."""

import numpy as np
import pytest
from scipy.special import gammainccinv
from scipy.stats import gamma, norm
from scipy.stats import t as student

from monitor.core.diagnosis.chance import MOST_SHAPE, TABLE, log_tail, quantile, upper_tail


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


@pytest.mark.parametrize("degrees", [1, 5, 15, 47])
@pytest.mark.parametrize("value", [-2.0, 0.0, 1.0, 4.0, 12.0])
def test_the_upper_tail_is_that_of_students_distribution(degrees: int, value: float) -> None:
    assert upper_tail(value, degrees) == pytest.approx(float(student.sf(value, degrees)), rel=1e-6)


def test_without_degrees_the_upper_tail_is_that_of_the_normal_distribution() -> None:
    assert upper_tail(5.0, None) == pytest.approx(float(norm.sf(5.0)), rel=1e-9)


def test_many_values_are_looked_up_as_they_are_computed() -> None:
    for shape in (1, 9, 120, 400):
        many = np.random.default_rng(shape).gamma(shape, size=(3, TABLE)) * np.linspace(0.5, 3.0, TABLE)
        assert np.abs(log_tail(shape, many) - gamma.logsf(many, shape)).max() < 1e-3
