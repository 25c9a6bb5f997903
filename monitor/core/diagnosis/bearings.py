"""Rolling bearings: from the geometry to the orders at which a damaged part strikes.

An order is a multiple of the shaft's frequency. With n balls of diameter d on a pitch circle D, contact angle a and
r = d/D cos a, outer race fixed and inner race turning:

    cage (FTF)         1/2 (1 - r)
    outer race (BPFO)  n/2 (1 - r)
    inner race (BPFI)  n/2 (1 + r)
    ball               D/d (1 - r²), twice the spin (BSF), since a spot on a ball strikes both races once a turn

Source: Randall and Antoni, "Rolling element bearing diagnostics - a tutorial", Mechanical Systems and Signal Processing
25 (2011). The four orders are not independent: BPFO + BPFI = n, and BPFO = n FTF. Facts that contradict this are
refused, because a wrong order names a wrong part.

Does not handle: a turning outer race, double rows with different geometry.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from monitor.errors import ConfigurationError

GEOMETRY = ("balls", "ball_diameter", "pitch_diameter", "contact_angle")
"""Facts of a geometry; diameters in any one unit, the contact angle in degrees (0 if it is left out)."""

ORDERS = ("bpfo", "bpfi", "bsf", "ftf")
"""Facts that give the orders themselves."""

AGREES = 0.02
"""Relative difference up to which orders count as those of one bearing. Lower: tables that round to two digits are
refused. Higher: mixed-up orders are taken."""

MOST_BALLS = 200

MOST_CONTACT_DEGREES = 60.0


@dataclass(frozen=True)
class Bearing:
    """The orders of a bearing, as multiples of the shaft's frequency."""

    name: str
    """What the user calls it, or its designation."""
    outer: float
    """Passages of balls over a spot of the outer race, in one turn of the shaft."""
    inner: float
    """Passages over a spot of the inner race."""
    ball: float
    """Strikes of a spot on a ball, both races counted."""
    cage: float
    """Turns of the cage."""

    @property
    def balls(self) -> int:
        """Number of balls."""
        return round(self.outer + self.inner)


def from_geometry(
    name: str, balls: float, ball_diameter: float, pitch_diameter: float, contact_angle: float = 0.0
) -> Bearing:
    """The orders of a bearing from its geometry.

    Args:
        name: of the bearing, also for the message.
        balls: number of rolling elements in a row.
        ball_diameter: their diameter, in any unit.
        pitch_diameter: of the circle of their centres, in the same unit.
        contact_angle: in degrees.

    Raises:
        ConfigurationError: no bearing is like that.
    """
    if not (balls == int(balls) and 3 <= balls <= MOST_BALLS):
        raise ConfigurationError(f"bearing {name}: balls is {balls:g}; expected a whole number from 3 to {MOST_BALLS}")
    for fact, value in (("ball_diameter", ball_diameter), ("pitch_diameter", pitch_diameter)):
        if not 0 < value < math.inf:
            raise ConfigurationError(f"bearing {name}: {fact} is {value:g}; expected a length above 0")
    if not 0 <= contact_angle <= MOST_CONTACT_DEGREES:
        raise ConfigurationError(
            f"bearing {name}: contact_angle is {contact_angle:g}; expected degrees from 0 to {MOST_CONTACT_DEGREES:g}"
        )
    # Neighbouring balls must not overlap on the pitch circle.
    if ball_diameter >= pitch_diameter * math.sin(math.pi / balls):
        raise ConfigurationError(
            f"bearing {name}: {balls:g} balls of diameter {ball_diameter:g} do not fit on a pitch diameter of "
            f"{pitch_diameter:g}; check both, in the same unit"
        )
    ratio = ball_diameter / pitch_diameter * math.cos(math.radians(contact_angle))
    return Bearing(
        name,
        outer=balls / 2 * (1 - ratio),
        inner=balls / 2 * (1 + ratio),
        ball=pitch_diameter / ball_diameter * (1 - ratio**2),
        cage=(1 - ratio) / 2,
    )


def from_orders(name: str, bpfo: float, bpfi: float, bsf: float, ftf: float) -> Bearing:
    """A bearing from its orders, as catalogues and makers' programs give them.

    Makers give as BSF either the spin of a ball or twice that; which of the two it is follows from the other orders.

    Raises:
        ConfigurationError: they are not the orders of one bearing.
    """
    for fact, value in zip(ORDERS, (bpfo, bpfi, bsf, ftf), strict=True):
        if not 0 < value < MOST_BALLS:
            raise ConfigurationError(f"bearing {name}: {fact} is {value:g}; expected a multiple of the shaft's speed")
    total = bpfo + bpfi
    balls = round(total)
    if not 3 <= balls <= MOST_BALLS or abs(total - balls) > AGREES * balls or bpfi <= bpfo:
        raise ConfigurationError(
            f"bearing {name}: bpfo {bpfo:g} and bpfi {bpfi:g} make {total:g} together; expected the number of balls, "
            "with bpfi the larger. Give multiples of the shaft's speed, not Hz"
        )
    if abs(bpfo - balls * ftf) > AGREES * bpfo:
        raise ConfigurationError(
            f"bearing {name}: bpfo is {bpfo:g} and ftf {ftf:g}, but with {balls} balls ftf is {bpfo / balls:.4g}"
        )
    ratio = (bpfi - bpfo) / total
    straight = (1 - ratio**2) / ratio
    least = math.cos(math.radians(MOST_CONTACT_DEGREES)) - AGREES
    for ball in (bsf, 2 * bsf):
        if least * straight <= ball <= (1 + AGREES) * straight and (ball > bsf or bsf > 0.75 * straight):
            return Bearing(name, bpfo, bpfi, ball, ftf)
    raise ConfigurationError(
        f"bearing {name}: bsf is {bsf:g}, but bpfo {bpfo:g} and bpfi {bpfi:g} belong to a ball that strikes "
        f"{straight:.4g} times a turn at contact angle 0 (spin {straight / 2:.4g})"
    )


def from_facts(name: str, facts: Mapping[str, float]) -> Bearing:
    """A bearing from a complete geometry, or from all four orders.

    Raises:
        ConfigurationError: a fact is unknown, missing or impossible, or both kinds are mixed.
    """
    unknown = [fact for fact in facts if fact not in GEOMETRY + ORDERS]
    known = f"give {', '.join(GEOMETRY)}, or {', '.join(ORDERS)}"
    if unknown:
        raise ConfigurationError(f"bearing {name}: '{unknown[0]}' is not known; {known}")
    shapes = [fact for fact in GEOMETRY if fact in facts]
    orders = [fact for fact in ORDERS if fact in facts]
    if shapes and orders:
        raise ConfigurationError(
            f"bearing {name}: has {shapes[0]} of a geometry and {orders[0]} of the orders; one follows from the other, "
            f"so {known}"
        )
    needed = ORDERS if orders else GEOMETRY[:3]
    missing = [fact for fact in needed if fact not in facts]
    if missing:
        raise ConfigurationError(f"bearing {name}: {', '.join(missing)} is missing; {known}")
    return from_orders(name, **facts) if orders else from_geometry(name, **facts)


PUBLIC: Mapping[str, tuple[Mapping[str, float], str]] = {
    "6205": (
        {"balls": 9, "ball_diameter": 0.3126, "pitch_diameter": 1.537},
        "SKF 6205-2RS JEM in inches, Case Western Reserve University Bearing Data Center, bearing information",
    ),
    "6203": (
        {"balls": 8, "ball_diameter": 0.2656, "pitch_diameter": 1.122},
        "SKF 6203-2RS JEM in inches, Case Western Reserve University Bearing Data Center, bearing information",
    ),
    "UER204": (
        {"balls": 8, "ball_diameter": 7.92, "pitch_diameter": 34.55},
        "LDK UER204 in mm, XJTU-SY bearing data sets, description (Wang et al., IEEE Trans. Reliability 2020)",
    ),
    "ZA-2115": (
        {"balls": 16, "ball_diameter": 0.331, "pitch_diameter": 2.815, "contact_angle": 15.17},
        "Rexnord ZA-2115 in inches, IMS bearing data, University of Cincinnati, description",
    ),
    "PRONOSTIA": (
        {"balls": 13, "ball_diameter": 3.5, "pitch_diameter": 25.6},
        "the bearing of the PRONOSTIA rig in mm, IEEE PHM 2012 challenge (FEMTO-ST), description",
    ),
}
"""Bearings whose geometry is published, by designation: the geometry and where it stands. Makers of the same
designation may use other balls, which changes the orders by some per cent."""


def public_bearing(designation: str) -> Bearing | None:
    """The bearing of this designation; suffixes after the designation are ignored (``6205-2RS``). None: not known."""
    wanted = designation.upper().replace(" ", "")
    for known, (facts, _) in PUBLIC.items():
        if wanted == known or wanted.startswith((f"{known}-", f"{known}/")):
            return from_facts(designation, facts)
    return None


def above_half_the_rate(bearing: Bearing, shaft_hz: float, sampling_rate_hz: float) -> str:
    """Which frequency of the bearing cannot be measured at a sampling rate; empty if all can."""
    for what, order in (("bpfo", bearing.outer), ("bpfi", bearing.inner), ("bsf", bearing.ball)):
        if order * shaft_hz >= sampling_rate_hz / 2:
            return (
                f"bearing {bearing.name}: {what} is {order * shaft_hz:g} Hz at {60 * shaft_hz:g} rpm, "
                f"but at {sampling_rate_hz:g} Hz frequencies below {sampling_rate_hz / 2:g} Hz are measured; is it a "
                "multiple of the shaft's speed?"
            )
    return ""
