"""Diagnoses a recording: velocity and the usual figures, and the fault named where something is known of the machine.

The recording is whitened by a model of itself, or by the head of a calibration, which is the healthy machine's. A fixed
speed or a measured one gives the orders; a measured one also the angle of the shaft, so a speed that changes within the
record does no harm. Long recordings are thinned to whole stretches, spread evenly.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monitor.core.arrays import Float32, Float64
from monitor.core.diagnosis.bearings import Bearing, above_half_the_rate
from monitor.core.diagnosis.envelope import EnvelopeSpectra, envelope_spectra, make_bands
from monitor.core.diagnosis.figures import Figures, usual_figures, velocity_refusal, velocity_rms
from monitor.core.diagnosis.naming import LEAST_TURNS, UNKNOWN_SEGMENT_S, Finding, name_faults
from monitor.core.diagnosis.rates import repetition_rates
from monitor.core.diagnosis.shaft_faults import levels, shaft_fault
from monitor.core.diagnosis.whitening import filtered, transformable, whitened, without_lines
from monitor.core.forecaster import CarriedForecaster, Engine
from monitor.core.recompute import recompute
from monitor.core.scoring.head import Head, innovation_matrix
from monitor.errors import ConfigurationError, RecordingError
from monitor.recording.conditions import read_conditions
from monitor.recording.described import Described
from monitor.recording.source import Recording

SPEED = "speed_rpm"
"""Name of the measured quantity that is the shaft's speed."""

SPEED_BLOCK_SAMPLES = 100
"""Samples over which a measured speed is averaged."""

STRETCH_S = 20.0
"""Longest stretch that is looked at in one piece."""

MOST_STRETCHES = 6
"""Stretches of a long recording, spread evenly. Fewer: what comes and goes is missed. More: it takes longer."""

MOST_RECORDS = 200
"""Records of a recording of many, the last ones."""

FASTEST_RPM = 1e6

Whitening = Callable[[Float32], Float64]
"""Makes a record white; it may leave out samples at the beginning."""


@dataclass(frozen=True)
class Facts:
    """What is known of the machine; all of it is optional."""

    speed_rpm: float | None = None
    """Fixed speed of the shaft."""
    bearings: tuple[Bearing, ...] = ()
    """Bearings on the shaft."""
    gears: tuple[int, ...] = ()
    """Teeth of the gears on the shaft."""


@dataclass
class Diagnosis:
    """What was found."""

    name: str
    """Name of the recording."""
    figures: Figures
    """The usual figures of the whole recording."""
    unit: str
    """Unit of the figures, for people."""
    faults: list[Finding] = field(default_factory=list)
    """Named faults, the most significant first."""
    rates_hz: list[float] = field(default_factory=list)
    """Repetition rates that stand out."""
    velocity_rms_mps: float | None = None
    """RMS of velocity."""
    reasons: list[str] = field(default_factory=list)
    """Why nothing is named, and why there is no velocity."""
    shaft_hz: float | None = None
    """Where the shaft was found."""
    spectra: EnvelopeSpectra | None = None
    """Spectra of the squared envelopes."""

    def document(self) -> dict[str, Any]:
        """JSON, with the names that users rely on."""
        return {
            "faults": [
                {
                    "fault": one.fault,
                    "part": one.part,
                    "frequency_hz": one.frequency_hz,
                    "order": one.order,
                    "harmonics": one.harmonics,
                    "p_value": one.p_value,
                }
                for one in self.faults
            ],
            "repetition_rates_hz": self.rates_hz,
            "velocity_rms_mps": self.velocity_rms_mps,
            "reason": "; ".join(self.reasons) or None,
        }


def head_whitening(head: Head, engine: Engine | None, level_blocks: int) -> Whitening:
    """Whitening by the head of a calibration.

    Args:
        head: of the channel.
        engine: runs the model of the calibration; None if the head does without.
        level_blocks: time constant of the level, from the model.
    """
    if engine is None:
        coefficients = np.concatenate([[1.0], -head.past])
        return lambda samples: filtered(np.asarray(samples, np.float64), coefficients)

    def by_head(samples: Float32) -> Float64:
        size = engine.block_samples
        blocks = samples[: samples.size // size * size].reshape(-1, size)
        if len(blocks) < 2:
            return np.empty(0)
        found = recompute(CarriedForecaster(engine, 1), blocks, level_blocks, head=head)
        residual = (blocks - found.forecast)[1:].astype(np.float64)
        # Where there is no forecast, the model's place is taken by the mean: one loud block, not a hole.
        residual = np.where(np.isfinite(residual), residual, 0.0)
        return np.asarray((residual @ innovation_matrix(head.past)[size:] * head.position_scale).ravel())

    return by_head


def diagnose(
    described: Described, facts: Facts, whitening: Whitening = whitened, healthy: Sequence[Described] = ()
) -> Diagnosis:
    """Diagnose one recording.

    Args:
        described: the recording; its measured quantity ``speed_rpm`` counts before the fixed speed.
        facts: of the machine.
        whitening: makes a record white.
        healthy: recordings of the same channel, healthy, for faults of the shaft.

    Raises:
        ConfigurationError: the speed is impossible, or given twice.
        RecordingError: the recording cannot be read, is too short, or another rate than the healthy ones.
    """
    recording = described.recording
    records = recording.load()
    longest = max(records, key=len)
    rate = recording.sampling_rate_hz
    whole = np.concatenate(records)
    result = Diagnosis(recording.name, usual_figures(whole), "m/s²" if recording.unit else "unit of the file")
    if not result.figures.rms > 0.0:
        result.reasons.append("the signal is constant")
        return result
    _velocity(result, longest, rate, known_unit=recording.unit is not None)
    speeds = _speeds(described, facts.speed_rpm, [record.size for record in records])
    shaft_hz = None if speeds is None else _mean_hz(speeds)
    if shaft_hz is not None and longest.size / rate * shaft_hz < LEAST_TURNS:
        raise RecordingError(
            f"{recording.address}: its longest record of {longest.size / rate:.3g} s has "
            f"{longest.size / rate * shaft_hz:.2g} turns of the shaft at {60 * shaft_hz:g} rpm, but "
            f"{LEAST_TURNS:g} are needed; use a longer recording"
        )
    parts = _stretches(records, speeds, rate)
    white, turns = [], []
    for samples, speed in parts:
        piece = whitening(samples)
        if piece.size < 64:
            continue
        white.append(piece)
        if speed is not None:
            turns.append(np.cumsum(speed[-piece.size :]) / (60.0 * rate))
    if not white:
        raise RecordingError(f"{recording.address}: too short: no record is left after whitening; use a longer one")
    if shaft_hz is None:
        result.reasons.append("without a speed only repetition rates are looked for; give --speed-rpm")
        bands = make_bands(rate, rate / 36)
        smooth = [without_lines(transformable(piece), rate) for piece in white]
        seconds = min(UNKNOWN_SEGMENT_S, max(piece.size for piece in smooth) / rate)
        result.spectra = envelope_spectra(smooth, rate, bands, seconds, 0.9 * bands.edges_hz[0][1])
        result.rates_hz = repetition_rates(result.spectra)
        return result
    _refuse_aliases(recording.address, facts.bearings, shaft_hz, rate)
    varies = any(float(np.ptp(speed)) > 0 for _, speed in parts if speed is not None)
    named = name_faults(white, rate, shaft_hz, facts.bearings, facts.gears, turns if varies else None)
    result.faults, result.spectra, result.shaft_hz = list(named.findings), named.spectra, named.shaft.frequency_hz
    result.rates_hz = repetition_rates(named.spectra)
    _shaft(result, recording, records, shaft_hz, healthy, facts)
    result.faults.sort(key=lambda fault: (fault.p_value, -fault.depth))
    if not result.faults:
        looked = facts.bearings or facts.gears
        result.reasons.insert(0, named.reason if looked else "no bearing or gear is given, so only rates are reported")
    return result


def _velocity(result: Diagnosis, record: Float32, rate: float, *, known_unit: bool) -> None:
    refusal = velocity_refusal(record.size, rate)
    if not known_unit:
        refusal = "velocity needs the unit of the samples; say --unit"
    if refusal:
        result.reasons.append(refusal)
    else:
        result.velocity_rms_mps = velocity_rms(record, rate)


def _shaft(
    result: Diagnosis,
    recording: Recording,
    records: Sequence[Float32],
    shaft_hz: float,
    healthy: Sequence[Described],
    facts: Facts,
) -> None:
    """Add a fault of the shaft, where there is a healthy baseline."""
    if not healthy:
        return
    before = []
    rate = recording.sampling_rate_hz
    for one in healthy:
        if one.recording.sampling_rate_hz != rate:
            raise RecordingError(
                f"{one.recording.address}: has {one.recording.sampling_rate_hz:g} Hz, but the recording that is "
                f"diagnosed has {rate:g} Hz; use a baseline of the same channel"
            )
        if (one.recording.unit is None) != (recording.unit is None):
            raise RecordingError(f"{one.recording.address}: the unit of only one of baseline and recording is known")
        loaded = one.recording.load()
        speeds = _speeds(one, facts.speed_rpm, [record.size for record in loaded])
        found = levels(_doubles(loaded), rate, shaft_hz if speeds is None else _mean_hz(speeds))
        if found is not None:
            before.append(found)
    now = levels(_doubles(records), rate, result.shaft_hz or shaft_hz)
    if now is None or not before:
        result.reasons.append("too short for faults of the shaft: recording and baseline need 120 turns each")
        return
    pooled = before[0]._replace(db=np.concatenate([one.db for one in before]))
    evidence = shaft_fault(now, pooled)
    if evidence is not None:
        frequency = evidence.order * (result.shaft_hz or shaft_hz)
        result.faults.append(
            Finding(evidence.fault, "shaft", frequency, evidence.order, evidence.harmonics, evidence.p_value, 0.0)
        )


def _doubles(records: Sequence[Float32]) -> list[Float64]:
    return [record.astype(np.float64) for record in records]


def _refuse_aliases(address: str, bearings: Sequence[Bearing], shaft_hz: float, rate: float) -> None:
    for bearing in bearings:
        if problem := above_half_the_rate(bearing, shaft_hz, rate):
            raise ConfigurationError(f"{address}: {problem}")


def _mean_hz(speeds: Sequence[Float64]) -> float:
    return float(np.mean(np.concatenate(speeds))) / 60.0


def _speeds(described: Described, fixed_rpm: float | None, sizes: Sequence[int]) -> list[Float64] | None:
    """The speed at each sample of each record; None if nothing is known of it."""
    address = described.recording.address
    if SPEED not in described.quantities or (fixed_rpm is not None and described.quantities[SPEED] is None):
        if fixed_rpm is None:
            return None
        if not 0 < fixed_rpm < FASTEST_RPM:
            raise ConfigurationError(f"--speed-rpm is {fixed_rpm:g}; expected turns a minute above 0")
        return [np.full(size, fixed_rpm) for size in sizes]
    only = Described(described.recording, {SPEED: described.quantities[SPEED]})
    value = read_conditions([only], SPEED_BLOCK_SAMPLES)
    known = value[0].quantities.get(SPEED)
    if known is None:
        raise RecordingError(f"{address}: {SPEED} has no usable value; correct it, or give --speed-rpm")
    found = [np.full(size, known) for size in sizes] if isinstance(known, float) else _by_sample(known, sizes)
    low, high = min(float(s.min()) for s in found), max(float(s.max()) for s in found)
    if not (low > 0 and high < FASTEST_RPM) or not math.isfinite(low):
        raise RecordingError(
            f"{address}: {SPEED} is between {low:g} and {high:g}; a standing shaft has no orders. Cut the recording, "
            "or give --speed-rpm"
        )
    return found


def _by_sample(blocks: Sequence[Float32], sizes: Sequence[int]) -> list[Float64]:
    """The speed at each sample from block means, whose middles are known."""
    long = [size for size in sizes if size >= SPEED_BLOCK_SAMPLES]
    found, rest = [], iter(zip(blocks, long, strict=True))
    for size in sizes:
        if size < SPEED_BLOCK_SAMPLES:
            found.append(np.full(size, float(np.nanmean(np.concatenate(blocks)))))
            continue
        means, _ = next(rest)
        middles = (np.arange(means.size) + 0.5) * SPEED_BLOCK_SAMPLES
        usable = np.isfinite(means)
        if not usable.any():
            found.append(np.full(size, np.nan))
            continue
        found.append(np.interp(np.arange(size), middles[usable], means[usable].astype(np.float64)))
    return found


def _stretches(
    records: Sequence[Float32], speeds: Sequence[Float64] | None, rate: float
) -> list[tuple[Float32, Float64 | None]]:
    """The stretches that are looked at, with the speed at each sample."""
    found: list[tuple[Float32, Float64 | None]] = []
    for number, record in enumerate(records[-MOST_RECORDS:]):
        speed = None if speeds is None else speeds[max(0, len(records) - MOST_RECORDS) + number]
        count = math.ceil(record.size / (STRETCH_S * rate))
        size = record.size // max(1, count)
        chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_STRETCHES)).astype(int))
        for start in (chosen * size).tolist():
            part = slice(start, start + size)
            found.append((record[part], None if speed is None else speed[part]))
    return found
