"""Rotating machines and their faults: the parameters of the simulator, and the textbook formulas for them.

Sources: kinematics of rolling bearings and the amplitude-modulated impact model, Randall and Antoni, "Rolling element
bearing diagnostics - a tutorial", Mechanical Systems and Signal Processing 25 (2011); signatures of unbalance,
misalignment, looseness and gear mesh with sidebands, ISO 13373-1 and ISO 13373-3. Every measuring point measures one
radial direction. Does not handle: axial vibration.
"""

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum

from monitor.simulation.speed import SpeedTurns

POINTS = ("drive-end", "fan-end", "foot")
"""Names of a machine's measuring points."""

FELT = (1.0, 0.35, 0.15)
"""Fraction of a fault's amplitude that reaches each measuring point; faults are at the drive end."""


class FaultKind(StrEnum):
    """Kinds of faults."""

    OUTER_RACE = "outer-race"
    INNER_RACE = "inner-race"
    BALL = "ball"
    GEAR_TOOTH = "gear-tooth"
    UNBALANCE = "unbalance"
    MISALIGNMENT = "misalignment"
    LOOSENESS = "looseness"


@dataclass(frozen=True)
class Bearing:
    """A rolling-element bearing. Its frequencies are orders: multiples of the shaft's frequency."""

    balls: int = 9
    """Number of rolling elements."""
    ball_to_pitch: float = 0.2
    """Ball diameter divided by pitch diameter."""
    contact_angle_rad: float = 0.0
    """Contact angle in radians."""
    resonance_hz: float = 3200.0
    """Resonance of the housing, which rings when a ball hits a defect."""
    damping: float = 0.05
    """Damping ratio of this resonance."""

    @property
    def _ratio(self) -> float:
        return self.ball_to_pitch * math.cos(self.contact_angle_rad)

    @property
    def outer_race_order(self) -> float:
        """BPFO / shaft: n/2 (1 - d/D cos a)."""
        return self.balls / 2 * (1 - self._ratio)

    @property
    def inner_race_order(self) -> float:
        """BPFI / shaft: n/2 (1 + d/D cos a)."""
        return self.balls / 2 * (1 + self._ratio)

    @property
    def ball_order(self) -> float:
        """2 BSF / shaft, since a defect of a ball hits both races: D/d (1 - (d/D cos a)²)."""
        return (1 - self._ratio**2) / self.ball_to_pitch

    @property
    def cage_order(self) -> float:
        """FTF / shaft: 1/2 (1 - d/D cos a)."""
        return (1 - self._ratio) / 2


@dataclass(frozen=True)
class Machine:
    """A healthy machine at one measuring point; amplitudes are in m/s²."""

    name: str = "machine"
    """Name of the machine."""
    shaft_hz: float = 24.8
    """Mean frequency of the shaft; with several speeds, the highest."""
    speed_drift: float = 0.002
    """Relative standard deviation of the slow drift of the shaft's frequency."""
    speeds: SpeedTurns | None = None
    """The speeds at which it runs in turn; None: one speed."""
    harmonics_mps2: tuple[float, ...] = (0.6, 0.25, 0.12, 0.06)
    """Amplitudes at 1, 2, 3 … times the shaft's frequency."""
    teeth: int = 0
    """Teeth of the gear on the shaft; 0: no gear."""
    mesh_mps2: tuple[float, ...] = ()
    """Amplitudes at 1, 2 … times the mesh frequency."""
    mesh_modulation: float = 0.15
    """Depth of the modulation of the mesh by the shaft, which causes sidebands."""
    blades: int = 0
    """Blades of a fan or an impeller; 0: none."""
    blade_mps2: float = 0.0
    """Amplitude at the blade-passing frequency."""
    bearing: Bearing = field(default_factory=Bearing)
    """The bearing."""
    noise_mps2: float = 0.25
    """RMS of the broad-band noise."""
    noise_corner_hz: float = 2500.0
    """Frequency above which the noise falls off."""
    build: int = 0
    """Number of the copy of the machine and the measuring point; selects the constant phases of the components."""


@dataclass(frozen=True)
class Fault:
    """A growing fault: zero before its start, then linear growth to full size."""

    kind: FaultKind
    """Kind of the fault."""
    start_s: float = 0.0
    """Start of the fault, in seconds of the simulation."""
    growth_s: float = 60.0
    """Seconds from its start to its full size; 0: at once."""
    size_mps2: float = 6.0
    """Amplitude of its impacts or of its main component at full size."""

    def felt_at(self, number: int) -> "Fault":
        """The fault as measured at point ``number``, attenuated along the path."""
        return replace(self, size_mps2=self.size_mps2 * FELT[number % len(FELT)])


def catalogue() -> dict[str, Machine]:
    """Predefined machines by name."""
    fan = Machine("fan", 24.8, blades=8, blade_mps2=0.5)
    pump = Machine(
        "pump", 49.3, harmonics_mps2=(0.9, 0.5, 0.2, 0.1), blades=6, blade_mps2=0.9, noise_mps2=0.4,
        bearing=Bearing(balls=8, ball_to_pitch=0.24, resonance_hz=2900.0),
    )  # fmt: skip
    motor = Machine(
        "motor", 24.6, harmonics_mps2=(0.3, 0.35, 0.08, 0.05, 0.03), noise_mps2=0.15,
        bearing=Bearing(balls=9, ball_to_pitch=0.199, resonance_hz=3400.0),
    )  # fmt: skip
    gearbox = Machine(
        "gearbox", 18.2, harmonics_mps2=(0.4, 0.2, 0.1), teeth=31, mesh_mps2=(1.4, 0.7, 0.3), noise_mps2=0.35,
        bearing=Bearing(balls=11, ball_to_pitch=0.18, resonance_hz=2600.0),
    )  # fmt: skip
    return {machine.name: machine for machine in (fan, pump, motor, gearbox)}


def measuring_point(machine: Machine, number: int) -> Machine:
    """The machine as measured at another point: with other phases, amplitudes and resonance."""
    gain = (1.0, 0.7, 0.45)[number % 3]
    return replace(
        machine,
        build=3 * machine.build + number,
        harmonics_mps2=tuple(gain * a for a in machine.harmonics_mps2),
        mesh_mps2=tuple(gain * a for a in machine.mesh_mps2),
        blade_mps2=gain * machine.blade_mps2,
        noise_mps2=machine.noise_mps2 * (1.0, 0.9, 0.8)[number % 3],
        bearing=replace(machine.bearing, resonance_hz=machine.bearing.resonance_hz * (1.0, 1.12, 0.9)[number % 3]),
    )
