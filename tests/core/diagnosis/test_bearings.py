"""Orders of bearings against published ones, and facts that contradict each other."""

import pytest

from monitor.core.diagnosis.bearings import PUBLIC, from_facts, public_bearing
from monitor.errors import ConfigurationError


@pytest.mark.parametrize(
    ("designation", "inner", "outer", "cage", "ball"),
    [
        # The table of the Case Western Reserve University Bearing Data Center.
        ("6205", 5.4152, 3.5848, 0.39828, 4.7135),
        ("6203-2RS", 4.9469, 3.0530, 0.3817, 3.9874),
    ],
)
def test_public_bearings_have_the_published_orders(
    designation: str, inner: float, outer: float, cage: float, ball: float
) -> None:
    bearing = public_bearing(designation)
    assert bearing is not None
    found = (bearing.inner, bearing.outer, bearing.cage, bearing.ball)
    assert found == pytest.approx((inner, outer, cage, ball), rel=2e-3)
    assert found[:3] == pytest.approx((inner, outer, cage), rel=2e-4)


def test_every_public_bearing_is_possible_and_has_a_source() -> None:
    for designation, (_, source) in PUBLIC.items():
        bearing = public_bearing(designation)
        assert bearing is not None
        assert bearing.outer + bearing.inner == pytest.approx(bearing.balls)
        assert source
    assert public_bearing("6299") is None
    assert public_bearing("62051") is None


def test_orders_are_taken_with_the_spin_of_a_ball_or_its_double() -> None:
    orders = {"bpfo": 3.585, "bpfi": 5.415, "ftf": 0.398}
    double = from_facts("de", {**orders, "bsf": 4.714})
    spin = from_facts("de", {**orders, "bsf": 2.357})
    assert double.ball == 4.714
    assert spin.ball == pytest.approx(4.714)
    assert spin.balls == 9


def test_a_contact_angle_lowers_the_ratio() -> None:
    straight = from_facts("b", {"balls": 16, "ball_diameter": 0.331, "pitch_diameter": 2.815})
    angled = from_facts("b", {"balls": 16, "ball_diameter": 0.331, "pitch_diameter": 2.815, "contact_angle": 15.17})
    assert straight.outer < angled.outer < 8 < angled.inner < straight.inner
    # Published with the IMS data at 2000 rpm: BPFO 236.4 Hz, BPFI 296.9 Hz.
    assert angled.outer * 2000 / 60 == pytest.approx(236.4, rel=1e-3)
    assert angled.inner * 2000 / 60 == pytest.approx(296.9, rel=1e-3)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"balls": 9}, "ball_diameter, pitch_diameter is missing"),
        ({"balls": 9, "ball_diameter": 8}, "pitch_diameter is missing"),
        ({"bpfo": 3.585, "bpfi": 5.415}, "bsf, ftf is missing"),
        ({"balls": 9, "ball_diameter": 8, "pitch_diameter": 39, "bpfo": 3.6}, "one follows from the other"),
        ({"ball": 9}, "'ball' is not known"),
        ({"balls": 9.5, "ball_diameter": 8, "pitch_diameter": 39}, "a whole number from 3"),
        ({"balls": 9, "ball_diameter": -8, "pitch_diameter": 39}, "a length above 0"),
        ({"balls": 9, "ball_diameter": float("nan"), "pitch_diameter": 39}, "a length above 0"),
        ({"balls": 9, "ball_diameter": 14, "pitch_diameter": 39}, "do not fit"),
        ({"balls": 9, "ball_diameter": 8, "pitch_diameter": 39, "contact_angle": 80}, "degrees from 0 to 60"),
        ({"bpfo": 3.585, "bpfi": 5.2, "bsf": 4.714, "ftf": 0.398}, "make 8.785 together"),
        ({"bpfo": 5.415, "bpfi": 3.585, "bsf": 4.714, "ftf": 0.398}, "bpfi the larger"),
        ({"bpfo": 3.585, "bpfi": 5.415, "bsf": 4.714, "ftf": 0.45}, "with 9 balls ftf is 0.3983"),
        ({"bpfo": 3.585, "bpfi": 5.415, "bsf": 9.0, "ftf": 0.398}, "strikes 4.715 times a turn"),
        ({"bpfo": 0, "bpfi": 5.415, "bsf": 4.714, "ftf": 0.398}, "expected a multiple of the shaft's speed"),
    ],
)
def test_half_a_geometry_and_contradicting_facts_are_refused(facts: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message.replace("(", r"\(")):
        from_facts("de", facts)
