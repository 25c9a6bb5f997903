"""Simulated faults at the size at which the score alarms: random machines, calibrated, damaged, named as by the daemon.

A machine is drawn from a seed: its speed, lines, gear, noise, resonance and bearing. It is calibrated on healthy data.
A fault is then lowered until the alarm only just comes within a minute of it. At that size, and some dB above, other
days of the machine are diagnosed as the daemon does it: from its looks at the healthy channel, and the looks at the
alarm, of the length that it listens, each on another day, taken together by its case of the alarm.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Bool, Float32, Float64
from monitor.core.diagnosis.bearings import from_geometry
from monitor.core.diagnosis.diagnose import Facts, Healthy
from monitor.core.diagnosis.together import Together
from monitor.core.forecasting.forecaster import Engine
from monitor.core.learning.fit import calibrate
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.runtime.diagnosis.case import Case
from monitor.runtime.diagnosis.desk import HEALTHY_LOOKS, SOON_LOOKS
from monitor.runtime.diagnosis.diagnoser import answer
from monitor.runtime.diagnosis.healthy import APART_S, MOST_APART, HealthyLooks
from monitor.runtime.diagnosis.listening import LISTEN_S, LISTEN_TURNS, LONGEST_LISTEN_S
from monitor.runtime.diagnosis.messages import Look, Seen
from monitor.simulation.machine import Bearing, Fault, FaultKind, Machine
from monitor.simulation.simulator import Simulation
from tests.benchmarks import detection_data as data
from tests.benchmarks.detection_figures import own_surprise, raw_series

RATE = 12000.0
NAMES = {
    FaultKind.OUTER_RACE: "outer race",
    FaultKind.INNER_RACE: "inner race",
    FaultKind.BALL: "ball",
    FaultKind.GEAR_TOOTH: "gear mesh",
    FaultKind.UNBALANCE: "imbalance",
    FaultKind.MISALIGNMENT: "misalignment",
    FaultKind.LOOSENESS: "looseness",
}
FLOOR_MPS2 = 0.003, 0.05
"""RMS of the noise of sensors, from good to cheap ones; the simulator's machines have none above their own noise."""

HEALTHY_S = 240
BEFORE_S = 10
"""Healthy seconds before the fault, in which the averages of the score settle."""

WITHIN_S = 60
"""Seconds of the fault within which the alarm must come."""

INTERVAL_BLOCKS = 120
FAINTEST_DB, LOUDEST_DB = -48.0, 16.0
"""Fault over healthy signal, RMS, between which the alarm is looked for."""

STEPS = 6
"""Halvings between them: the size at the alarm is found within 1 dB."""

LOOKS = {0.0: (1, 4, 12, SOON_LOOKS), 3.0: (1, 4, 12), 6.0: (1, 4)}
"""Looks at an alarm after which it is counted what is named, by dB over the size at the alarm."""

PER_MONTH = 1.0


def random_machine(seed: int) -> Machine:
    """A machine that nobody has seen."""
    rng = np.random.default_rng([seed, 77])
    balls = int(rng.integers(7, 17))
    bearing = Bearing(
        balls,
        float(rng.uniform(0.12, 0.8 * math.sin(math.pi / balls))),
        math.radians(float(rng.choice([0.0, 0.0, rng.uniform(5, 30)]))),
        float(rng.uniform(1500, 5000)),
        float(rng.uniform(0.02, 0.1)),
    )
    geared = bool(rng.random() < 0.5)
    return Machine(
        f"machine {seed}",
        shaft_hz=float(np.exp(rng.uniform(np.log(10.0), np.log(60.0)))),
        speed_drift=float(rng.uniform(0.0, 0.003)),
        harmonics_mps2=tuple((rng.uniform(0.2, 1.0) * 0.5 ** np.arange(5) * rng.exponential(1.0, 5)).tolist()),
        teeth=int(rng.integers(17, 60)) if geared else 0,
        mesh_mps2=tuple((rng.uniform(0.3, 1.5) * 0.5 ** np.arange(3)).tolist()) if geared else (),
        mesh_modulation=float(rng.uniform(0.05, 0.3)),
        blades=int(rng.choice([0, 5, 6, 7, 8])),
        blade_mps2=float(rng.uniform(0.1, 1.0)),
        bearing=bearing,
        noise_mps2=float(rng.uniform(0.1, 0.5)),
        noise_corner_hz=float(rng.uniform(1000, 5000)),
        build=seed,
    )


def measured(machine: Machine, seed: int, seconds: float, *faults: Fault) -> Float32:
    """A day of a machine as a sensor measures it, which adds a floor of its own."""
    samples = Simulation(machine, RATE, seed, faults).next(round(seconds * RATE))
    rng = np.random.default_rng([machine.build, 78])
    floor_mps2 = np.exp(rng.uniform(np.log(FLOOR_MPS2[0]), np.log(FLOOR_MPS2[1])))
    noise = np.random.default_rng([machine.build, seed, 79]).normal(scale=floor_mps2, size=samples.size)
    return samples + noise.astype(np.float32)


class Alone(NamedTuple):
    """A day of a machine, and what a fault of size 1 adds to it."""

    healthy: Float32
    fault: Float32

    def at(self, size: float, before: int = 0) -> Float32:
        """The machine with the fault, which begins after some samples."""
        found = self.healthy + np.float32(size) * self.fault
        found[:before] = self.healthy[:before]
        return found


def day(machine: Machine, kind: FaultKind, seed: int, seconds: float) -> Alone:
    """A day of a machine."""
    healthy = measured(machine, seed, seconds)
    return Alone(healthy, measured(machine, seed, seconds, Fault(kind, 0.0, 0.0, 1.0)) - healthy)


def learned(engine: Engine, healthy: Float32) -> Calibration:
    """The calibration of a healthy channel."""
    return calibrate(
        data.forecast_each(engine, [healthy]).contexts,
        interval_blocks=INTERVAL_BLOCKS,
        warmup_blocks=25,
        sampling_rate_hz=RATE,
    )


def sizes_at_alarm(engine: Engine, machine: Machine) -> dict[FaultKind, tuple[float, float]]:
    """For each fault the smallest size that raises the alarm, and its RMS in dB relative to the healthy signal's RMS.

    A fault that never alarms is left out, and every fault where the healthy day has a false alarm. All faults are
    forecast together, since a network takes a batch nearly as fast as one of it.
    """
    calibration = learned(engine, measured(machine, 1, HEALTHY_S))
    kinds = [kind for kind in NAMES if machine.teeth or kind is not FaultKind.GEAR_TOOTH]
    days = [day(machine, kind, 2, BEFORE_S + WITHIN_S) for kind in kinds]
    before = round(BEFORE_S * RATE)
    unit = np.array([float(one.healthy.std() / one.fault[before:].std()) for one in days])

    def alarm(levels_db: Float64) -> Bool:
        sizes = unit * 10 ** (levels_db / 20)
        each = [one.at(size, before) for one, size in zip(days, sizes, strict=True)]
        raw = raw_series(calibration, data.forecast(engine, np.stack(each)), [0])
        limit = calibration.limit(PER_MONTH)
        series = [own_surprise(calibration, one) for one in raw]
        return np.array([bool((one[BEFORE_S:] >= limit).any()) for one in series])

    low, high = np.full(len(kinds), FAINTEST_DB), np.full(len(kinds), LOUDEST_DB)
    found = alarm(high) & ~alarm(np.full(len(kinds), -np.inf))
    for _ in range(STEPS):
        middle = (low + high) / 2
        over = alarm(middle)
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    sizes = unit * 10 ** (high / 20)
    return {
        kind: (size, float(20 * np.log10(size * one.fault.std() / one.healthy.std())))
        for kind, one, size, alarms in zip(kinds, days, sizes.tolist(), found.tolist(), strict=True)
        if alarms
    }


@dataclass
class Daemon:
    """What the daemon knows of a channel, and how it looks at it."""

    machine: Machine

    def __post_init__(self) -> None:
        bearing = self.machine.bearing
        made = from_geometry(
            "bearing", bearing.balls, bearing.ball_to_pitch, 1.0, math.degrees(bearing.contact_angle_rad)
        )
        self.facts = Facts((made,), (self.machine.teeth,) if self.machine.teeth else ())
        self.rpm = float(round(60 * self.machine.shaft_hz))
        self.listens_s = float(np.clip(LISTEN_TURNS * 60 / self.rpm, LISTEN_S, LONGEST_LISTEN_S))

    def look(self, samples: Float32, healthy: Healthy | None, before: Together | None = None) -> Seen:
        """One look."""
        speeds = [np.full(samples.size, self.rpm)]
        found = answer(Look("channel", [samples], RATE, speeds, self.facts, healthy, before))
        assert isinstance(found, Seen)
        return found

    def healthy(self) -> Healthy:
        """What is kept of looks at the healthy channel: some at once, and single ones on other days."""
        length = round(self.listens_s * RATE)
        well = measured(self.machine, 5, HEALTHY_LOOKS * self.listens_s)
        kept, seen, lines = HealthyLooks(None), None, []
        for start in range(0, well.size - length + 1, length):
            seen = self.look(well[start : start + length], None, None if seen is None else seen.together).diagnosis
            assert seen.lines is not None
            lines.append(seen.lines)
        assert seen is not None
        kept.keep("channel", "key", lines, seen, 0.0)
        for number in range(1, MOST_APART):
            one = self.look(measured(self.machine, 100 + number, self.listens_s), None).diagnosis
            kept.keep_apart("channel", one, number * APART_S)
        found = kept.of("channel", "key", self.rpm / 60)
        assert found is not None
        return found

    def named(self, looks: Iterable[Float32], healthy: Healthy) -> Iterator[list[str]]:
        """The faults that are named after each look."""
        case = Case("channel", 0.0, alarmed=True)
        for number, one in enumerate(looks):
            case.add(self.look(one, healthy, case.together), float(number), with_healthy=True)
            yield [finding.fault for finding in case.named()]


Counted = dict[tuple[str, float, int], Counter[str]]
"""Verdicts of each fault, dB above the alarm, and number of looks."""


def name_at_alarm(machine: Machine, sizes: Mapping[FaultKind, float], counted: Counted) -> None:
    """Name the faults of a machine on other days, and count what is right."""
    daemon = Daemon(machine)
    healthy = daemon.healthy()
    for kind, size in sizes.items():
        for above_db, counted_looks in LOOKS.items():
            grown = size * 10 ** (above_db / 20)
            looks = (day(machine, kind, 20 + look, daemon.listens_s).at(grown) for look in range(counted_looks[-1]))
            for look, found in enumerate(daemon.named(looks, healthy), 1):
                if look in counted_looks:
                    counted.setdefault((NAMES[kind], above_db, look), Counter())[verdict(found, NAMES[kind])] += 1


def verdict(found: Sequence[str], fault: str | None) -> str:
    """``right``, ``wrong`` or ``not named``."""
    if not found:
        return "not named"
    return "right" if list(found) == [fault] else "wrong"
