"""The slopes of the soak: a leak is found below its noise, what is only used for a moment is none."""

import numpy as np
import pytest

from tests.benchmarks.soak import slope


@pytest.mark.parametrize(("leak_an_hour", "verdict"), [(0.0, "pass"), (20.0, "fail"), (5.0, "undecided")])
def test_an_hour_of_memory(leak_an_hour: float, verdict: str) -> None:
    rng = np.random.default_rng(1)
    at_s = np.arange(0.0, 3600.0, 10.0)
    wandering = np.cumsum(rng.normal(scale=0.05, size=at_s.size))
    used_for_a_moment = np.where(rng.random(at_s.size) < 0.2, 30.0, 0.0)
    found = slope(at_s, 200.0 + leak_an_hour * at_s / 3600.0 + wandering + used_for_a_moment)
    assert found.per_hour == pytest.approx(leak_an_hour, abs=max(3.0, 4 * found.error))
    assert found.verdict({"undecided": found.per_hour}.get(verdict, 10.0)) == verdict


def test_too_few_samples_decide_nothing() -> None:
    found = slope(np.array([0.0, 10.0]), np.array([1.0, 2.0]))
    assert found.verdict(1.0) == "undecided"
