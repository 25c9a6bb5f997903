"""The vibration of a rotating machine, simulated from textbook equations.

    a(t) = Σ A_k cos(k θ + φ_k)                       shaft harmonics: unbalance, misalignment, looseness
         + Σ M_j (1 + m cos θ) cos(j z θ + φ_j)       gear mesh with sidebands at the shaft's frequency
         + B cos(b θ + φ_b)                           blade passing
         + s(t) Σ_i w(θ_i) h(t - t_i)                 impacts of a defect, each exciting the housing
         + n(t)                                       coloured noise

θ is the shaft's angle, the integral of a slowly drifting frequency. h is the impulse response of a damped oscillator. w
is the weight of the load zone. Impacts occur once per defect passage. Rolling elements slip at random, about 1 % from
one impact to the next; the slip accumulates, so the impacts lose phase with the shaft (a gear tooth does not slip).
With several speeds (:mod:`monitor.simulation.speed`) the whole is multiplied by the square of the relative speed.
Components above half the sampling rate are left out, as an anti-alias filter would do.

:mod:`monitor.simulation.machine` lists the sources of the formulas. The signal is computed in chunks of fixed length,
each with its own random numbers, so it does not depend on how many samples a call asks for. Faults have separate random
numbers: until a fault starts, the signal is identical to that of the healthy machine.
"""

import math

import numpy as np
from scipy.signal import butter, lfilter

from monitor.core.arrays import Float32, Float64
from monitor.errors import ConfigurationError
from monitor.simulation.machine import Fault, FaultKind, Machine

CHUNK_SAMPLES = 4096
"""Samples computed at once; another number gives another random signal of the same machine."""

SLIP = 0.01
"""Relative standard deviation of the time between two impacts (Randall and Antoni: 1 to 2 %)."""

DRIFT_TIME_S = 5.0
"""Correlation time of the drift of the shaft's frequency."""


IMPACTS = frozenset({FaultKind.OUTER_RACE, FaultKind.INNER_RACE, FaultKind.BALL, FaultKind.GEAR_TOOTH})
"""Faults that cause impacts and make the housing ring."""


SHAFT_FAULTS: dict[FaultKind, dict[float, float]] = {
    FaultKind.UNBALANCE: {1: 1.0},
    FaultKind.MISALIGNMENT: {1: 0.4, 2: 1.0, 3: 0.3},
    FaultKind.LOOSENESS: {order: 0.5 / math.sqrt(order) for order in (0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6)},
}
"""Components of the faults without impacts: order to amplitude relative to the fault's size (ISO 13373-3: unbalance
once per turn; misalignment mostly twice; looseness many orders and half orders)."""


class Simulation:
    """One measuring point of one machine; :meth:`next` returns the next samples."""

    def __init__(
        self,
        machine: Machine,
        sampling_rate_hz: float,
        seed: int = 0,
        faults: tuple[Fault, ...] = (),
        *,
        shaft_seed: int | None = None,
    ) -> None:
        """Start at time 0.

        Args:
            machine: the healthy machine.
            sampling_rate_hz: sampling rate of the signal.
            seed: random seed, not negative; another seed is another day of the same machine.
            faults: the faults, with start and growth.
            shaft_seed: random seed of the drift of the shaft's frequency, the same for all measuring points of a
                machine. None: derived from ``seed``.

        Raises:
            ConfigurationError: the rate is not a positive number, a seed is negative, or the rate is too low for the
                resonance that a fault excites.
        """
        if not 0 < sampling_rate_hz < math.inf:
            raise ConfigurationError(f"simulating at {sampling_rate_hz} Hz: the sampling rate must be above 0 Hz")
        if seed < 0 or (shaft_seed or 0) < 0:
            raise ConfigurationError(f"simulating with seed {min(seed, shaft_seed or 0)}: a seed is 0 or above")
        resonance_hz = machine.bearing.resonance_hz
        if resonance_hz > 0.45 * sampling_rate_hz and any(fault.kind in IMPACTS for fault in faults):
            raise ConfigurationError(
                f"simulating a fault whose impacts ring at {resonance_hz:g} Hz, sampled at {sampling_rate_hz:g} Hz: "
                f"it would not be seen; sample at {math.ceil(resonance_hz / 0.45)} Hz or faster"
            )
        self.machine = machine
        self.sampling_rate_hz = sampling_rate_hz
        self.faults = faults
        self._seed = seed
        self._shaft_seed = shaft_seed
        self._chunk = 0
        self._rest: Float32 = np.empty(0, np.float32)
        self._angle_turns = 0.0
        self._drift = 0.0
        nyquist = sampling_rate_hz / 2
        self._highest_order = nyquist / (machine.shaft_hz * (1 + 3 * machine.speed_drift))
        rng = np.random.default_rng([machine.build, 1])
        self._phases = rng.uniform(0.0, 2 * math.pi, 64)
        b, a = butter(1, min(0.9, machine.noise_corner_hz / nyquist))
        self._noise_filter = (np.asarray(b, np.float64), np.asarray(a, np.float64))
        # Filtered white noise of unit power has the power of the filter's impulse response.
        impulse = np.zeros(4096)
        impulse[0] = 1.0
        self._noise_gain = machine.noise_mps2 / math.sqrt(float(np.sum(lfilter(b, a, impulse) ** 2)))
        self._noise_state: Float64 = np.zeros(max(len(a), len(b)) - 1)
        self._ringing = _oscillator(resonance_hz, machine.bearing.damping, sampling_rate_hz)
        self._ringing_state = [np.zeros(2) for _ in faults]
        self._slipped = [0.0 for _ in faults]
        self._passages = [0.0 for _ in faults]

    def next(self, samples: int) -> Float32:
        """The next samples, (samples,) float32 in m/s²; they do not depend on the sizes of earlier calls."""
        out = np.empty(samples, np.float32)
        filled = 0
        while filled < samples:
            if not self._rest.size:
                self._rest = self._make_chunk()
            taken = self._rest[: samples - filled]
            out[filled : filled + taken.size] = taken
            filled += taken.size
            self._rest = self._rest[taken.size :]
        return out

    def _make_chunk(self) -> Float32:
        rng = np.random.default_rng([self._seed, 2, self._chunk])
        shaft = rng if self._shaft_seed is None else np.random.default_rng([self._shaft_seed, 4, self._chunk])
        time_s = (self._chunk * CHUNK_SAMPLES + np.arange(CHUNK_SAMPLES)) / self.sampling_rate_hz
        speeds = self.machine.speeds
        speed = np.ones(CHUNK_SAMPLES) if speeds is None else speeds.at(time_s)
        turns = self._turns(shaft, speed)
        signal = self._rotation(2 * math.pi * turns)
        for number in range(len(self.faults)):
            signal += self._fault(number, time_s, turns)
        b, a = self._noise_filter
        noise, self._noise_state = lfilter(b, a, rng.normal(size=CHUNK_SAMPLES), zi=self._noise_state)
        self._chunk += 1
        result: Float64 = speed**2 * (signal + self._noise_gain * noise)
        return result.astype(np.float32)

    def _turns(self, rng: np.random.Generator, speed: Float64) -> Float64:
        """The shaft's angle in turns at each sample; its frequency drifts as an Ornstein-Uhlenbeck process.

        Args:
            rng: random numbers of the drift.
            speed: relative speed at each sample, (n,).
        """
        machine = self.machine
        span_s = CHUNK_SAMPLES / self.sampling_rate_hz
        decay = math.exp(-span_s / DRIFT_TIME_S)
        before = self._drift
        self._drift = decay * before + math.sqrt(1 - decay**2) * machine.speed_drift * float(rng.normal())
        drift = np.clip(
            np.linspace(before, self._drift, CHUNK_SAMPLES), -3 * machine.speed_drift, 3 * machine.speed_drift
        )
        steps = machine.shaft_hz * speed * (1 + drift) / self.sampling_rate_hz
        turns: Float64 = self._angle_turns + np.cumsum(steps)
        self._angle_turns = float(turns[-1])
        return turns

    def _rotation(self, theta: Float64) -> Float64:
        machine, phases = self.machine, self._phases
        signal = np.zeros(theta.size)
        for k, amplitude in enumerate(machine.harmonics_mps2, 1):
            if k < self._highest_order:
                signal += amplitude * np.cos(k * theta + phases[k])
        if machine.teeth:
            modulation = 1 + machine.mesh_modulation * np.cos(theta + phases[20])
            for j, amplitude in enumerate(machine.mesh_mps2, 1):
                if j * machine.teeth + 1 < self._highest_order:
                    signal += amplitude * modulation * np.cos(j * machine.teeth * theta + phases[20 + j])
        if 0 < machine.blades < self._highest_order:
            signal += machine.blade_mps2 * np.cos(machine.blades * theta + phases[40])
        return signal

    def _fault(self, number: int, time_s: Float64, turns: Float64) -> Float64:
        fault = self.faults[number]
        if fault.growth_s > 0:
            severity = np.clip((time_s - fault.start_s) / fault.growth_s, 0.0, 1.0)
        else:
            severity = (time_s >= fault.start_s).astype(np.float64)
        size = fault.size_mps2 * severity
        if fault.kind in IMPACTS:
            return self._impacts(number, size, turns)
        phase = self._phases[50 + number % 10]
        parts = [
            amplitude * np.cos(2 * math.pi * order * turns + order * phase)
            for order, amplitude in SHAFT_FAULTS[fault.kind].items()
            if order < self._highest_order
        ]
        signal: Float64 = size * np.sum(parts, axis=0)
        return signal

    def _impacts(self, number: int, size: Float64, turns: Float64) -> Float64:
        """Impacts once per defect passage, weighted by the load zone, ringing the housing.

        The defect's phase in passages is its order times the shaft's angle, plus a random walk for the slip. An impact
        occurs when the phase first passes an integer.
        """
        kind, bearing = self.faults[number].kind, self.machine.bearing
        rng = np.random.default_rng([self._seed, 3, number, self._chunk])
        order, weight_order = {
            FaultKind.OUTER_RACE: (bearing.outer_race_order, 0.0),
            FaultKind.INNER_RACE: (bearing.inner_race_order, 1.0),
            FaultKind.BALL: (bearing.ball_order, bearing.cage_order),
            FaultKind.GEAR_TOOTH: (1.0, 0.0),
        }[kind]
        passage = order * turns
        if kind is not FaultKind.GEAR_TOOTH:
            step = SLIP * math.sqrt(order * self.machine.shaft_hz / self.sampling_rate_hz)
            slipped = self._slipped[number] + np.cumsum(step * rng.normal(size=turns.size))
            self._slipped[number] = float(slipped[-1])
            passage += slipped
        # The walk may step back over an integer: only the first passage counts.
        passages = np.maximum.accumulate(np.maximum(np.floor(passage), self._passages[number]))
        at = np.flatnonzero(np.diff(passages, prepend=self._passages[number]))
        self._passages[number] = float(passages[-1])
        weight = 0.5 * (1 + np.cos(2 * math.pi * weight_order * turns[at])) if weight_order else np.ones(at.size)
        strength = weight * (1 + 0.1 * rng.normal(size=at.size))
        impulses = np.zeros(turns.size)
        impulses[at] = size[at] * strength
        b, a = self._ringing
        ringing, self._ringing_state[number] = lfilter(b, a, impulses, zi=self._ringing_state[number])
        result: Float64 = ringing
        return result


def _oscillator(resonance_hz: float, damping: float, sampling_rate_hz: float) -> tuple[Float64, Float64]:
    """Filter with the impulse response of a damped oscillator, exp(-d w t) sin(w' t), with a peak of about 1."""
    omega = 2 * math.pi * resonance_hz / sampling_rate_hz
    decay = math.exp(-damping * omega)
    damped = omega * math.sqrt(1 - damping**2)
    return np.array([0.0, decay * math.sin(damped)]), np.array([1.0, -2 * decay * math.cos(damped), decay**2])
