"""Diagnoses records of one channel: velocity, the usual figures, and the fault named where the machine is known.

Command and daemon both diagnose here. The speed gives the orders; where it changes, it gives the angle of the shaft
too, so that lines stay sharp. Long records are thinned to whole stretches, spread evenly. What is known of the healthy
machine takes part: faults of the shaft are rises over it, and what it showed already is not named.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from monitor.core.arrays import Float32, Float64
from monitor.core.diagnosis.bearings import Bearing, above_half_the_rate
from monitor.core.diagnosis.envelope import EnvelopeSpectra, Lines, envelope_spectra, make_bands
from monitor.core.diagnosis.figures import Figures, usual_figures, velocity_refusal, velocity_rms
from monitor.core.diagnosis.naming import LEAST_TURNS, P_LIMIT, UNKNOWN_SEGMENT_S, Finding, Part, name_faults
from monitor.core.diagnosis.rates import repetition_rates
from monitor.core.diagnosis.shaft.angle import SURE_ERROR, shaft_angle
from monitor.core.diagnosis.shaft.faults import Levels, levels, shaft_fault
from monitor.core.diagnosis.shaft.speed import SPEED_ERROR, changed_speed
from monitor.core.diagnosis.together import Together, with_levels
from monitor.core.diagnosis.whitening import transformable, whitened, without_lines

STRETCH_S = 20.0
"""Longest stretch that is looked at in one piece."""

MOST_STRETCHES = 6
"""Stretches of a long record, spread evenly. Fewer: what comes and goes is missed. More: it takes longer."""

LEAST_WHITE = 64
"""Samples of a whitened stretch, at least."""

Whitening = Callable[[Float32], Float64]
"""Makes a record white; it may leave out samples at the beginning."""


class UndiagnosableError(ValueError):
    """Records that cannot be diagnosed; the text says why, and what would be needed."""


@dataclass(frozen=True)
class Facts:
    """What is known of the machine; all of it is optional."""

    bearings: tuple[Bearing, ...] = ()
    """Bearings on the shaft."""
    gears: tuple[int, ...] = ()
    """Teeth of the gears on the shaft."""


@dataclass(frozen=True)
class Healthy:
    """What is known of the healthy machine."""

    levels: Levels | None = None
    """Its velocity at multiples of the shaft's frequency; None: not known, so no fault of the shaft is named."""
    lines: Lines | None = None
    """Lines of its envelope spectra, as in :attr:`Diagnosis.lines`; None: not known."""
    too_short: bool = False
    """Whether there are records of it that are too short for levels."""
    apart: bool = False
    """Whether levels have a row for each of several looks apart in time."""
    segments: int = 0
    """Segments in which its lines were looked for; 0: not known."""


@dataclass
class Diagnosis:
    """What was found."""

    name: str
    """Name of the recording or channel."""
    figures: Figures
    """The usual figures of all records together."""
    unit: str
    """Unit of the figures, for people."""
    faults: list[Finding] = field(default_factory=list)
    """Named faults, the most significant first."""
    rates_hz: list[float] = field(default_factory=list)
    """Repetition rates that stand out."""
    velocity_rms_mps: float | None = None
    """RMS of velocity of the longest record."""
    reasons: list[str] = field(default_factory=list)
    """Why nothing is named, and why there is no velocity."""
    shaft_hz: float | None = None
    """Where the shaft was found."""
    spectra: EnvelopeSpectra | None = None
    """Spectra of the squared envelopes."""
    levels: Levels | None = None
    """Velocity at multiples of the shaft's frequency."""
    depths: dict[Part, float] = field(default_factory=dict)
    """Depth of modulation at the rates of each part, named or not."""
    lines: Lines | None = None
    """Lines of the envelope spectra that stand out."""
    together: Together | None = None
    """This look and those before it; None: without a speed they are not taken together."""

    def document(self) -> dict[str, Any]:
        """JSON, with the names that users rely on."""
        return {
            "faults": [one.document() for one in self.faults],
            "repetition_rates_hz": self.rates_hz,
            "velocity_rms_mps": self.velocity_rms_mps,
            "reason": "; ".join(self.reasons) or None,
        }


def diagnose(
    name: str,
    records: Sequence[Float32],
    sampling_rate_hz: float,
    speeds: Sequence[Float64] | None,
    facts: Facts,
    whitening: Whitening = whitened,
    healthy: Healthy | None = None,
    before: Together | None = None,
    *,
    known_unit: bool = True,
) -> Diagnosis:
    """Diagnose records of one channel, and what earlier looks at it have shown.

    Args:
        name: of recording or channel.
        records: (n,) each, in m/s² or an unknown unit, finite, without a break; at least one.
        sampling_rate_hz: their rate.
        speeds: turns a minute of the shaft at each sample of each record, above 0; None: not known.
        facts: of the machine.
        whitening: makes a record white.
        healthy: what is known of the healthy machine.
        before: the looks before this one, as :attr:`Diagnosis.together` has them; None: it is the first.
        known_unit: whether the samples are in m/s².

    Raises:
        UndiagnosableError: the records are too short, or a bearing's rates cannot be measured.
    """
    longest, rate = max(records, key=len), sampling_rate_hz
    figures = usual_figures(np.concatenate(records))
    result = Diagnosis(name, figures, "m/s²" if known_unit else "unit of the file")
    if not result.figures.rms > 0.0:
        result.reasons.append("the signal is constant")
        return result
    refusal = velocity_refusal(longest.size, rate) if known_unit else "velocity needs the unit of the samples"
    if refusal:
        result.reasons.append(refusal)
    else:
        result.velocity_rms_mps = velocity_rms(longest, rate)
    shaft_hz = None if speeds is None else mean_hz(speeds)
    if shaft_hz is not None and longest.size / rate * shaft_hz < LEAST_TURNS:
        raise UndiagnosableError(
            f"its longest record of {longest.size / rate:.3g} s has {longest.size / rate * shaft_hz:.2g} turns of the "
            f"shaft at {60 * shaft_hz:g} rpm, but {LEAST_TURNS:g} are needed; use a longer recording"
        )
    turns: list[Float64] | None
    stretches, white, turns, varies = _white(records, speeds, rate, whitening)
    if shaft_hz is None:
        result.reasons.append("without a speed only repetition rates are looked for")
        bands = make_bands(rate, rate / 36)
        smooth = [without_lines(transformable(piece), rate) for piece in white]
        seconds = min(UNKNOWN_SEGMENT_S, max(piece.size for piece in smooth) / rate)
        result.spectra = envelope_spectra(smooth, rate, bands, seconds, 0.9 * bands.edges_hz[0][1])
        result.rates_hz = repetition_rates(result.spectra)
        return result
    for bearing in facts.bearings:
        if problem := above_half_the_rate(bearing, shaft_hz, rate):
            raise UndiagnosableError(problem)
    known = healthy or Healthy()
    error = SPEED_ERROR
    if not varies:
        turns, shaft_hz, error = _followed(stretches, white, rate, shaft_hz, facts.gears)
    about = white, rate, shaft_hz, facts.bearings, facts.gears, turns
    named = name_faults(*about, known.lines, known.segments, before, error)
    result.faults, result.spectra, result.shaft_hz = list(named.findings), named.spectra, named.shaft.frequency_hz
    result.depths, result.lines = named.depths, named.lines
    result.rates_hz = repetition_rates(named.spectra)
    result.levels = levels([record.astype(np.float64) for record in records], rate, named.shaft.frequency_hz)
    together = replace(named.together, levels=with_levels(named.together.levels, result.levels))
    fault = _shaft(result, together, named.shaft.frequency_hz, healthy)
    result.faults += [] if fault is None else [fault]
    result.together = replace(together, named=frozenset(one.what for one in result.faults))
    result.faults.sort(key=lambda fault: (fault.p_value, -fault.depth))
    if not result.faults:
        looked = facts.bearings or facts.gears
        result.reasons.insert(0, named.reason if looked else "no bearing or gear is given, so only rates are reported")
        if not varies:
            _tell_of_changing_speed(result, records, rate, shaft_hz)
    return result


def mean_hz(speeds: Sequence[Float64]) -> float:
    """The mean frequency of the shaft from its turns a minute at each sample of each record."""
    return float(np.mean(np.concatenate(speeds))) / 60.0


def _white(
    records: Sequence[Float32], speeds: Sequence[Float64] | None, rate: float, whitening: Whitening
) -> tuple[list[Float32], list[Float64], list[Float64], bool]:
    """Stretches, the same white, the shaft's angle in them as the speed says, and whether it varies."""
    raw, white, turns, varies = list[Float32](), list[Float64](), list[Float64](), False
    for samples, speed in _stretches(records, speeds, rate):
        piece = whitening(samples)
        if piece.size < LEAST_WHITE:
            continue
        raw.append(samples)
        white.append(piece)
        if speed is not None:
            turns.append(np.cumsum(speed[-piece.size :]) / (60.0 * rate))
            varies |= float(np.ptp(speed)) > 0
    if not white:
        raise UndiagnosableError("too short: no record is left after whitening; use a longer one")
    return raw, white, turns, varies


def _followed(
    stretches: Sequence[Float32], white: Sequence[Float64], rate: float, shaft_hz: float, gears: Sequence[int]
) -> tuple[list[Float64] | None, float, float]:
    """The shaft's angle in white stretches, its mean frequency and the error of that, from the stretches themselves.

    Where one of them has no clear line of the shaft, there is no angle, and the frequency is as stated.
    """
    found, sure = list[Float64](), True
    for samples, piece in zip(stretches, white, strict=True):
        angle = shaft_angle(samples, rate, shaft_hz, gears)
        if angle is None:
            return None, shaft_hz, SPEED_ERROR
        found.append(angle.turns[-piece.size :])
        sure &= angle.sure
    turns = sum(float(angle[-1] - angle[0]) for angle in found)
    return found, turns * rate / sum(angle.size - 1 for angle in found), SURE_ERROR if sure else SPEED_ERROR


def _shaft(result: Diagnosis, together: Together, shaft_hz: float, healthy: Healthy | None) -> Finding | None:
    """A fault of the shaft, where its healthy velocity is known."""
    if healthy is None or (healthy.levels is None and not healthy.too_short):
        return None
    now = result.levels if together.looks == 1 else together.levels
    if now is None or healthy.levels is None:
        result.reasons.append("too short for faults of the shaft: recording and baseline need 120 turns each")
        return None
    evidence = shaft_fault(now, healthy.levels, apart=healthy.apart)
    if evidence is None:
        return None
    p_value = min(1.0, evidence.p_value * together.share(evidence.fault, "shaft"))
    if healthy.apart and p_value > P_LIMIT:
        return None
    at = evidence.order * shaft_hz, evidence.order, evidence.harmonics
    return Finding(evidence.fault, "shaft", *at, p_value, 0.0)


def _tell_of_changing_speed(result: Diagnosis, records: Sequence[Float32], rate: float, shaft_hz: float) -> None:
    changed = changed_speed([record.astype(np.float64) for record in records], rate, shaft_hz)
    if changed is not None:
        low, high = changed
        result.reasons.insert(
            0,
            f"the speed of the shaft changes from {60 * low:.0f} to {60 * high:.0f} rpm within the record, which "
            "smears all lines; give the measured speed",
        )


def _stretches(
    records: Sequence[Float32], speeds: Sequence[Float64] | None, rate: float
) -> list[tuple[Float32, Float64 | None]]:
    """The stretches that are looked at, with the speed at each sample."""
    found: list[tuple[Float32, Float64 | None]] = []
    for number, record in enumerate(records):
        speed = None if speeds is None else speeds[number]
        count = math.ceil(record.size / (STRETCH_S * rate))
        size = record.size // max(1, count)
        chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_STRETCHES)).astype(int))
        for start in (chosen * size).tolist():
            part = slice(start, start + size)
            found.append((record[part], None if speed is None else speed[part]))
    return found
