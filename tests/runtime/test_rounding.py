"""Rounding of figures for documents."""

import math

import numpy as np

from monitor.runtime.rounding import significant


def test_significant_digits() -> None:
    values = np.array([0.0, 1234.5, -0.00123456, math.nan, math.inf, 9.999, 1e-9], np.float64)
    assert significant(values) == [0.0, 1230.0, -0.00123, None, None, 10.0, 1e-9]
    assert significant(np.array([0.30624, 2.0], np.float32)) == [0.306, 2.0]
    assert significant(np.array([], np.float32)) == []
