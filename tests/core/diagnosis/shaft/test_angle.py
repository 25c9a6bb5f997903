"""The shaft's angle from a line of it, and no angle where the line is not clear or not the only one."""

import numpy as np
import pytest

from monitor.core.arrays import Float64
from monitor.core.diagnosis.shaft.angle import shaft_angle

RATE = 4000.0
SHAFT_HZ = 25.0
TIME_S = np.arange(round(12 * RATE)) / RATE


def wandering() -> Float64:
    """Turns of a shaft whose speed wanders by 0.3 %."""
    return np.cumsum(1.002 * SHAFT_HZ * (1.0 + 0.003 * np.sin(2 * np.pi * TIME_S / 6.0))) / RATE


def noise() -> Float64:
    return 0.3 * np.random.default_rng(1).normal(size=TIME_S.size)


@pytest.mark.parametrize("orders", [(1,), (1, 2), (3, 23)])
def test_it_is_followed_though_its_speed_wanders(orders: tuple[int, ...]) -> None:
    turns = wandering()
    lines = sum(np.cos(2 * np.pi * order * turns + order) for order in orders)
    found = shaft_angle(lines + noise(), RATE, SHAFT_HZ, (23,))
    assert found is not None
    off = found.turns - turns
    inside = off[round(RATE) : -round(RATE)]
    assert np.ptp(inside) < 0.02
    assert found.sure == (len(orders) > 1)
    assert (np.diff(found.turns) >= 0).all()


def test_two_lines_that_beat_are_not_followed() -> None:
    """A motor's shaft at 24.8 Hz beside the half of a supply of 50 Hz."""
    both = np.cos(2 * np.pi * 24.8 * TIME_S) + 0.7 * np.cos(2 * np.pi * 25.0 * TIME_S)
    assert shaft_angle(both + noise(), RATE, SHAFT_HZ) is None


def test_multiples_that_do_not_agree_are_not_sure() -> None:
    lines = np.cos(2 * np.pi * 24.8 * TIME_S) + np.cos(2 * np.pi * 50.0 * TIME_S)
    found = shaft_angle(lines + noise(), RATE, SHAFT_HZ)
    assert found is not None
    assert not found.sure


def test_noise_turns_no_shaft() -> None:
    assert shaft_angle(noise(), RATE, SHAFT_HZ) is None
