"""Facts of a machine in the configuration: what turns in it, and how fast. All of them are optional.

They name faults and judge the velocity; no score depends on them. A wrong fact names a wrong part, so facts that
contradict each other, or that no machine has, are refused.
"""

from functools import cached_property
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from monitor.config.section import Section
from monitor.core.diagnosis.bearings import (
    GEOMETRY,
    ORDERS,
    PUBLIC,
    Bearing,
    above_half_the_rate,
    from_facts,
    public_bearing,
)
from monitor.core.diagnosis.figures import velocity_refusal
from monitor.errors import ConfigurationError

BEARINGS_A_MACHINE = 8
"""Most bearings of a sensor's machine. Fewer: a gearbox does not fit. More: one of so many orders fits by accident."""

GEARS_A_MACHINE = 8
"""Most gears on the shaft; the same."""

LONGEST_NAME = 64
"""Characters of the name of a bearing."""


class BearingFacts(Section):
    """A bearing: its designation, its geometry, or its orders."""

    designation: str | int | None = Field(default=None, examples=["6205"])
    """Designation of a bearing whose geometry is published: 6203, 6205, UER204, ZA-2115 or PRONOSTIA."""
    balls: int | None = Field(default=None, ge=3, examples=[9])
    """Number of rolling elements in a row."""
    ball_diameter: float | None = Field(default=None, gt=0, examples=[7.94])
    """Their diameter, in any unit."""
    pitch_diameter: float | None = Field(default=None, gt=0, examples=[39.04])
    """Diameter of the circle of their centres, in the same unit."""
    contact_angle: float | None = Field(default=None, ge=0, examples=[15])
    """Contact angle in degrees; 0 if it is left out."""
    bpfo: float | None = Field(default=None, gt=0, examples=[3.585])
    """Passages of balls over a spot of the outer race, in one turn of the shaft."""
    bpfi: float | None = Field(default=None, gt=0, examples=[5.415])
    """Passages over a spot of the inner race."""
    bsf: float | None = Field(default=None, gt=0, examples=[2.357])
    """Turns of a ball about itself, or twice that."""
    ftf: float | None = Field(default=None, gt=0, examples=[0.398])
    """Turns of the cage."""

    def bearing(self, name: str) -> Bearing:
        """The bearing.

        Raises:
            ConfigurationError: facts are missing, mixed, or impossible.
        """
        facts = {fact: value for fact in GEOMETRY + ORDERS if (value := getattr(self, fact)) is not None}
        if self.designation is None:
            return from_facts(name, facts)
        if facts:
            raise ConfigurationError(
                f"bearing {name}: has a designation and {next(iter(facts))}; the designation says it all, so drop one"
            )
        known = public_bearing(str(self.designation))
        if known is None:
            raise ConfigurationError(
                f"bearing {name}: the designation '{str(self.designation)[:40]}' is not known; known are "
                f"{', '.join(PUBLIC)}. Give {', '.join(GEOMETRY)}, or {', '.join(ORDERS)}"
            )
        return Bearing(name, known.outer, known.inner, known.ball, known.cage)


class Zones(Section):
    """Limits of the velocity, such as those of a standard for this kind of machine: zone A is below ``b``."""

    b: float = Field(gt=0, le=1000, examples=[2.3])
    """RMS of the velocity in mm/s at which zone B begins."""
    c: float = Field(gt=0, le=1000, examples=[4.5])
    """Where zone C begins: not for long."""
    d: float = Field(gt=0, le=1000, examples=[7.1])
    """Where zone D begins: damage."""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not self.b < self.c < self.d:
            raise ValueError(f"b ({self.b:g}), c ({self.c:g}) and d ({self.d:g}) must rise; they are in mm/s")
        return self

    @property
    def limits_mps(self) -> tuple[float, float, float]:
        """The limits in m/s."""
        return self.b / 1000, self.c / 1000, self.d / 1000


class Machine(Section):
    """Facts of the machine that a sensor is mounted on."""

    speed_rpm: float | None = Field(default=None, gt=0, le=1e6, examples=[1480])
    """Speed of the shaft, if it is fixed. A speed that is measured is ``conditions.speed_rpm``."""
    bearings: dict[str, BearingFacts] = Field(default={})
    """Bearings on the shaft, by name, such as ``drive end``."""
    gears: tuple[Annotated[int, Field(ge=5, le=2000)], ...] = Field(default=(), examples=[[23]])
    """Teeth of the gears on the shaft."""
    blades: int | None = Field(default=None, ge=2, le=1000, examples=[7])
    """Blades or vanes on the shaft."""
    line_frequency_hz: float | None = Field(default=None, ge=1, le=1000, examples=[50])
    """Frequency of the electrical supply of its motor."""
    zones: Zones | None = None
    """Limits of the velocity."""

    @field_validator("bearings")
    @classmethod
    def _bearings(cls, bearings: dict[str, BearingFacts]) -> dict[str, BearingFacts]:
        if len(bearings) > BEARINGS_A_MACHINE:
            raise ValueError(f"{len(bearings)} bearings are named; at most {BEARINGS_A_MACHINE}")
        problems = []
        for name, facts in bearings.items():
            if not (0 < len(name) <= LONGEST_NAME and name.isprintable()):
                problems.append(f"'{name[:LONGEST_NAME]!r}' is not a name; at most {LONGEST_NAME} printable characters")
                continue
            try:
                facts.bearing(name)
            except ConfigurationError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("\n".join(problems))
        return bearings

    @field_validator("gears")
    @classmethod
    def _gears(cls, gears: tuple[int, ...]) -> tuple[int, ...]:
        if len(gears) > GEARS_A_MACHINE:
            raise ValueError(f"{len(gears)} gears are named; at most {GEARS_A_MACHINE}")
        return gears

    @cached_property
    def named_bearings(self) -> tuple[Bearing, ...]:
        """Its bearings, with their orders."""
        return tuple(facts.bearing(name) for name, facts in self.bearings.items())

    @property
    def has_orders(self) -> bool:
        """Whether there are facts that need the speed of the shaft."""
        return bool(self.bearings or self.gears or self.blades)

    def problems(self, sampling_rate_hz: float, *, measures_speed: bool) -> list[str]:
        """What contradicts the rest of the sensor.

        Args:
            sampling_rate_hz: of the sensor.
            measures_speed: whether it has a measured quantity ``speed_rpm``.
        """
        found = []
        if measures_speed and self.speed_rpm is not None:
            found.append("machine.speed_rpm: the speed is measured (conditions.speed_rpm); drop the fixed one")
        if self.speed_rpm is not None:
            shaft_hz = self.speed_rpm / 60
            found += [
                f"machine.bearings: {problem}"
                for bearing in self.named_bearings
                if (problem := above_half_the_rate(bearing, shaft_hz, sampling_rate_hz))
            ]
            passing = {f"gears: {teeth} teeth pass": teeth for teeth in self.gears}
            if self.blades is not None:
                passing[f"blades: {self.blades} pass"] = self.blades
            found += [
                f"machine.{what} at {count * shaft_hz:g} Hz at {self.speed_rpm:g} rpm, but at {sampling_rate_hz:g} Hz "
                f"frequencies below {sampling_rate_hz / 2:g} Hz are measured"
                for what, count in passing.items()
                if count * shaft_hz >= sampling_rate_hz / 2
            ]
        if self.zones is not None and (refusal := velocity_refusal(10**9, sampling_rate_hz)):
            found.append(f"machine.zones: {refusal}")
        return found
