"""The vibration of a rotating machine, sample after sample, from the textbook's equations.

    a(t) = Σ A_k cos(k θ + φ_k)                       shaft harmonics: unbalance, misalignment, looseness
         + Σ M_j (1 + m cos θ) cos(j z θ + φ_j)       gear mesh with sidebands at the shaft's frequency
         + B cos(b θ + φ_b)                           blades passing
         + s(t) Σ_i w(θ_i) h(t - t_i)                 impacts of a defect, each making the housing ring
         + n(t)                                       coloured noise

θ is the shaft's angle, the integral of a frequency that drifts slowly and within bounds; h is the impulse response of a
damped oscillator; impacts come once per defect passage with a random slip of about 1 %; w is the load zone's weight.
The formulas' sources stand in :mod:`monitor.recording.machine`. The signal is made in chunks of fixed length, each with
random numbers of its own, so it does not depend on how it is asked for. Refuses to know: files, clocks, MQTT.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, lfilter

from monitor.recording.machine import Fault, FaultKind, Machine

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

CHUNK_SAMPLES = 4096
"""Samples made at once; another number makes another signal of the same machine."""

SLIP = 0.01
"""Standard deviation of the instant of an impact, relative to the time between two (Randall and Antoni: 1 to 2 %)."""

DRIFT_TIME_S = 5.0
"""Correlation time of the drift of the shaft's frequency."""


class Simulation:
    """One measuring point of one machine; :meth:`next` gives as many samples as are asked for."""

    def __init__(
        self, machine: Machine, sampling_rate_hz: float, seed: int = 0, faults: tuple[Fault, ...] = ()
    ) -> None:
        """Start at time 0.

        Args:
            machine: the healthy machine.
            sampling_rate_hz: of the samples.
            seed: of everything random; two seeds are two days of the same machine.
            faults: what breaks, and when.
        """
        self.machine = machine
        self.sampling_rate_hz = sampling_rate_hz
        self.faults = faults
        self._seed = seed
        self._chunk = 0
        self._rest: Float64 = np.empty(0)
        self._angle_turns = self._turns_before = 0.0
        self._drift = 0.0
        rng = np.random.default_rng([machine.build, 1])
        self._phases = rng.uniform(0.0, 2 * math.pi, 64)
        nyquist = sampling_rate_hz / 2
        b, a = butter(1, min(0.9, machine.noise_corner_hz / nyquist))
        self._noise_filter = (np.asarray(b, np.float64), np.asarray(a, np.float64))
        # White noise of unit power keeps the power of the filter's impulse response.
        impulse = np.zeros(4096)
        impulse[0] = 1.0
        self._noise_gain = machine.noise_mps2 / math.sqrt(float(np.sum(lfilter(b, a, impulse) ** 2)))
        self._noise_state: Float64 = np.zeros(max(len(a), len(b)) - 1)
        self._ringing = _oscillator(machine.bearing.resonance_hz, machine.bearing.damping, sampling_rate_hz)
        self._ringing_state = [np.zeros(2) for _ in faults]

    def next(self, samples: int) -> Float32:
        """The next samples: (samples,) float32 in m/s²."""
        while self._rest.size < samples:
            self._rest = np.concatenate([self._rest, self._make_chunk()])
        out, self._rest = self._rest[:samples], self._rest[samples:]
        return out.astype(np.float32)

    def _make_chunk(self) -> Float64:
        rng = np.random.default_rng([self._seed, 2, self._chunk])
        time_s = (self._chunk * CHUNK_SAMPLES + np.arange(CHUNK_SAMPLES)) / self.sampling_rate_hz
        self._chunk += 1
        turns = self._turns(rng)
        theta = 2 * math.pi * turns
        signal = self._rotation(theta)
        for number, fault in enumerate(self.faults):
            signal += self._fault(number, fault, time_s, turns, rng)
        b, a = self._noise_filter
        noise, self._noise_state = lfilter(b, a, rng.normal(size=CHUNK_SAMPLES), zi=self._noise_state)
        result: Float64 = signal + self._noise_gain * noise
        return result

    def _turns(self, rng: np.random.Generator) -> Float64:
        """The shaft's angle in turns at each sample; its frequency drifts as an Ornstein-Uhlenbeck process."""
        machine = self.machine
        span_s = CHUNK_SAMPLES / self.sampling_rate_hz
        decay = math.exp(-span_s / DRIFT_TIME_S)
        before = self._drift
        self._drift = decay * before + math.sqrt(1 - decay**2) * machine.speed_drift * float(rng.normal())
        drift = np.clip(
            np.linspace(before, self._drift, CHUNK_SAMPLES), -3 * machine.speed_drift, 3 * machine.speed_drift
        )
        steps = machine.shaft_hz * (1 + drift) / self.sampling_rate_hz
        self._turns_before = self._angle_turns
        turns: Float64 = self._angle_turns + np.cumsum(steps)
        self._angle_turns = float(turns[-1])
        return turns

    def _rotation(self, theta: Float64) -> Float64:
        machine, phases = self.machine, self._phases
        signal = np.zeros(theta.size)
        for k, amplitude in enumerate(machine.harmonics_mps2, 1):
            signal += amplitude * np.cos(k * theta + phases[k])
        if machine.teeth:
            modulation = 1 + machine.mesh_modulation * np.cos(theta + phases[20])
            for j, amplitude in enumerate(machine.mesh_mps2, 1):
                signal += amplitude * modulation * np.cos(j * machine.teeth * theta + phases[20 + j])
        if machine.blades:
            signal += machine.blade_mps2 * np.cos(machine.blades * theta + phases[40])
        return signal

    def _fault(self, number: int, fault: Fault, time_s: Float64, turns: Float64, rng: np.random.Generator) -> Float64:
        if fault.growth_s > 0:
            severity = np.clip((time_s - fault.start_s) / fault.growth_s, 0.0, 1.0)
        else:
            severity = (time_s >= fault.start_s).astype(np.float64)
        size = fault.size_mps2 * severity
        theta = 2 * math.pi * turns
        phase = self._phases[50 + number % 10]
        signal: Float64
        match fault.kind:
            case FaultKind.UNBALANCE:
                signal = size * np.cos(theta + phase)
            case FaultKind.MISALIGNMENT:
                signal = size * (0.4 * np.cos(theta + phase) + np.cos(2 * theta + phase) + 0.3 * np.cos(3 * theta))
            case FaultKind.LOOSENESS:
                orders = (0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6)
                parts = [np.cos(k * theta + k * phase) / math.sqrt(k) for k in orders]
                signal = size * np.sum(parts, axis=0) / 2
            case _:
                signal = self._impacts(number, fault.kind, size, turns, rng)
        return signal

    def _impacts(
        self, number: int, kind: FaultKind, size: Float64, turns: Float64, rng: np.random.Generator
    ) -> Float64:
        """Impacts once per defect passage, weighted by the load zone, ringing the housing."""
        bearing = self.machine.bearing
        order, weight_order = {
            FaultKind.OUTER_RACE: (bearing.outer_race_order, 0.0),
            FaultKind.INNER_RACE: (bearing.inner_race_order, 1.0),
            FaultKind.BALL: (bearing.ball_order, bearing.cage_order),
            FaultKind.GEAR_TOOTH: (1.0, 0.0),
        }[kind]
        passages = np.floor(order * turns)
        at = np.flatnonzero(np.diff(passages, prepend=math.floor(order * self._turns_before)) > 0)
        spacing = self.sampling_rate_hz / (order * self.machine.shaft_hz)
        slip = np.rint(rng.normal(scale=SLIP * spacing, size=at.size)).astype(np.int64)
        at = np.clip(at + slip, 0, turns.size - 1)
        weight = 0.5 * (1 + np.cos(2 * math.pi * weight_order * turns[at])) if weight_order else np.ones(at.size)
        strength = weight * (1 + 0.1 * rng.normal(size=at.size))
        impulses = np.zeros(turns.size)
        np.add.at(impulses, at, size[at] * strength)
        b, a = self._ringing
        ringing, self._ringing_state[number] = lfilter(b, a, impulses, zi=self._ringing_state[number])
        result: Float64 = ringing
        return result


def _oscillator(resonance_hz: float, damping: float, sampling_rate_hz: float) -> tuple[Float64, Float64]:
    """Filter whose impulse response is exp(-d w t) sin(w' t), a damped oscillator's, sampled; its peak is about 1."""
    resonance_hz = min(resonance_hz, 0.4 * sampling_rate_hz)
    omega = 2 * math.pi * resonance_hz / sampling_rate_hz
    decay = math.exp(-damping * omega)
    damped = omega * math.sqrt(1 - damping**2)
    return np.array([0.0, decay * math.sin(damped)]), np.array([1.0, -2 * decay * math.cos(damped), decay**2])
