"""Random simulated machines of two kinds, made from seeds that no training uses.

Machines of :mod:`monitor.simulation.machine` with random parts (shaft, gear, fan, noise, sampling rate) are of another
kind than what a universal model is trained on, so they are the better judges. Those of
:mod:`monitor.simulation.random_vibration` are of the kind that it is trained on.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Float32
from monitor.simulation.machine import Machine
from monitor.simulation.random_vibration import RandomVibration
from monitor.simulation.simulator import Simulation

SEED = 20_261_126
"""First of the seeds; trainings and their reports have others (``test_forecast_parts.py``)."""

COUNT = 200
"""Number of machines."""

SAMPLES = 60_000
"""Length of each recording. Shorter: an AR model of 400 coefficients is fitted to too little. Longer: slower."""


@dataclass(frozen=True)
class Simulated:
    """One random machine."""

    name: str
    """Number, and sampling rate if it has one."""
    first: list[Float32]
    """Its first half, one record."""
    last: list[Float32]
    """Its second half, one record."""


def random_machine(number: int) -> tuple[Machine, float]:
    """A random machine, always the same for a number, and a sampling rate in Hz."""
    rng = np.random.default_rng([SEED, number])
    rate_hz = float(rng.choice([2560, 5120, 10_240, 12_000, 12_800, 20_000, 25_600, 51_200]))
    shaft_hz = float(np.exp(rng.uniform(np.log(5), np.log(100))))
    harmonics = rng.uniform(0.1, 1.0, rng.integers(1, 9))
    mesh = rng.uniform(0.1, 1.5, rng.integers(1, 4)) if rng.random() < 0.5 else np.zeros(0)
    blades = int(rng.integers(3, 16)) if rng.random() < 0.5 else 0
    power = float((harmonics**2).sum() + (mesh**2).sum())
    noise_db = rng.uniform(-30, 15)
    return (
        Machine(
            name=f"machine {number}",
            shaft_hz=shaft_hz,
            speed_drift=float(np.exp(rng.uniform(np.log(1e-4), np.log(1e-2)))),
            harmonics_mps2=tuple(map(float, harmonics)),
            teeth=int(rng.integers(11, 80)) if mesh.size else 0,
            mesh_mps2=tuple(map(float, mesh)),
            mesh_modulation=float(rng.uniform(0, 0.8)),
            blades=blades,
            blade_mps2=float(rng.uniform(0.1, 1.5)) if blades else 0.0,
            noise_mps2=float(np.sqrt(power / 2) * 10 ** (noise_db / 20)),
            noise_corner_hz=float(rng.uniform(0.02, 0.45)) * rate_hz,
            build=int(rng.integers(2**31)),
        ),
        rate_hz,
    )


def random_machines(count: int = COUNT) -> list[Simulated]:
    """The first ``count`` machines with random parts."""
    found = []
    for number in range(count):
        machine, rate_hz = random_machine(number)
        found.append(_halves(f"{number}, {rate_hz:g} Hz", Simulation(machine, rate_hz, SEED + number).next(SAMPLES)))
    return found


def random_vibration(count: int = COUNT) -> list[Simulated]:
    """The first ``count`` signals of random vibration."""
    source = RandomVibration(SEED)
    return [_halves(str(number), source.signals(1, SAMPLES)[0]) for number in range(count)]


def _halves(name: str, samples: Float32) -> Simulated:
    half = samples.size // 2
    return Simulated(name, [samples[:half]], [samples[half:]])
