"""Names the fault of a bearing or gear from white records, or says why none is named.

What is named must pass three tests. It must be improbable by chance, counting every place that was looked at. It must
be deep: a long record shows modulations by a few per cent in healthy machines too, significant and harmless; where the
healthy machine is known, its lines are in the floor, and little depth is needed. And it must be its own: lines that a
stronger fault explains do not speak for another. A damaged ball strikes both races and carries the cage's rate; a
damaged race does not do the reverse, so the cage is named only when nothing else is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Float64
from monitor.core.diagnosis.bearings import Bearing
from monitor.core.diagnosis.combs import APART, Evidence, Hypothesis, Known, explained_by, hypotheses, look, narrowed
from monitor.core.diagnosis.envelope import Bands, EnvelopeSpectra, Lines, envelope_spectra, make_bands, segment_samples
from monitor.core.diagnosis.gears import GearEvidence, gear_fault, shaft_lines
from monitor.core.diagnosis.shaft.speed import SPEED_ERROR, Shaft, locate_shaft
from monitor.core.diagnosis.together import Together, joined
from monitor.core.diagnosis.whitening import transformable, without_lines

P_LIMIT = 1e-4
"""Probability by chance, over all places, above which nothing is named."""

SHALLOW_P_LIMIT = 1e-6
"""The same for shallow modulations. Higher: what little a healthy machine modulates is named."""

DEPTH = 0.45
"""Depth of modulation from which a fault is named although others show as well. Lower: ball faults are named as races
(in CWRU B007 the outer race reaches 0.26). Higher: faults that make the whole bearing loose are not named."""

BALL_DEPTH = 0.3
"""The same for balls, whose spot turns away from the races and back."""

LEAST_DEPTH = 0.2
"""Depth below which nothing is named, however significant it is. Lower: healthy machines have rates of other shafts and
bearings, which a bearing of the wrong geometry matches by accident (0.3 in a healthy gearbox). Higher: early faults are
not named; where the score of a quiet simulated machine raises its alarm, the depth is about 0.05."""

LEAST_NEWS = 0.04
"""The same where the healthy machine is known, whose lines are in the floor. Lower: what the healthy machine showed too
faintly to be kept is named. Higher: faults are named later than they raise the alarm."""
NEWS_SEGMENTS = 16
"""Segments of the healthy machine at which that is so, two looks. Lower: faults are named later. Higher: what a healthy
machine has, but so faintly that it was not kept, is named once more looks at it are averaged than were then."""

TRACE = 0.01
"""Probability by chance below which another part of the bearing shows a trace, which forbids to name a shallow fault.
Lower: ball faults are named as races. Higher: chance forbids."""

SECOND = 0.5
"""Depth relative to the deepest fault that another one must reach to be named beside it. Lower: sidebands that were not
foreseen are named. Higher: second faults are not."""

TURNS = 75.0
"""Turns of the shaft in a segment, at least. Fewer: cage and sidebands are not told apart. More: slipping parts smear
over many lines."""

LEAST_TURNS = 2.0
"""Turns below which a record is refused."""

HIGHEST_ORDER = 45.0
"""Multiple of the shaft's frequency up to which lines are computed."""

UNKNOWN_SEGMENT_S = 2.5
"""Seconds of a segment where no speed is known."""


NOTHING = "no order of a bearing stands out"
"""Why nothing is named, if there is no better reason."""

Part = tuple[str, str]
"""Names of a fault and a part."""


@dataclass(frozen=True)
class Finding:
    """A named fault."""

    fault: str
    """Name of the fault."""
    part: str
    """Name of the part."""
    frequency_hz: float
    """Its rate, where it was found."""
    order: float
    """The same as a multiple of the shaft's frequency."""
    harmonics: int
    """Multiples of it that are seen."""
    p_value: float
    """Probability by chance, with all places counted."""
    depth: float
    """Depth of modulation; 0 where that says nothing."""

    @property
    def what(self) -> Part:
        """The fault, and of which part."""
        return self.fault, self.part

    @property
    def words(self) -> str:
        """For a person: ``outer race, drive end: 107.4 Hz = 3.580 x shaft, 7 harmonics, p 1e-12``."""
        return (
            f"{self.fault}, {self.part}: {self.frequency_hz:.1f} Hz = {self.order:.3f} x shaft, "
            f"{self.harmonics} harmonics, p {self.p_value:.0e}"
        )

    def document(self) -> dict[str, str | float]:
        """JSON, with the names that users rely on."""
        names = ("fault", "part", "frequency_hz", "order", "harmonics", "p_value")
        return {name: getattr(self, name) for name in names}


class Named(NamedTuple):
    """What came out."""

    findings: list[Finding]
    """The most significant first."""
    reason: str
    """Why nothing is named; empty if something is."""
    shaft: Shaft
    """Where the shaft was found."""
    spectra: EnvelopeSpectra
    """The spectra without lines, in which bearings are looked for."""
    depths: dict[Part, float]
    """Depth of modulation that each part shows, named or not."""
    lines: Lines
    """Lines that stand out, for comparison later if the machine is healthy."""
    together: Together
    """This look and those before it."""


def segment_s(longest_s: float, shaft_hz: float) -> float:
    """Seconds of a segment: an eighth of the longest record, at least :data:`TURNS` turns if it has them."""
    return float(longest_s / np.clip(longest_s * shaft_hz / TURNS, 1, 8) // 1e-9 * 1e-9)


def name_faults(
    records: Sequence[Float64],
    sampling_rate_hz: float,
    shaft_hz: float,
    bearings: Sequence[Bearing],
    gears: Sequence[int] = (),
    turns: Sequence[Float64] | None = None,
    healthy: Lines | None = None,
    healthy_segments: int = 0,
    before: Together | None = None,
    speed_error: float = SPEED_ERROR,
) -> Named:
    """Name the faults of bearings and gears, from one look or from this one and those before it.

    Args:
        records: white records, (n,) each; see :mod:`monitor.core.diagnosis.whitening`. Lines need not be removed.
        sampling_rate_hz: their rate.
        shaft_hz: mean frequency of the shaft, above 0.
        bearings: on this shaft.
        gears: teeth of the gears on this shaft.
        turns: the shaft's angle at each sample of each record; None: the speed is constant.
        healthy: lines of the healthy machine, which say nothing of a fault; None: nothing is known of it.
        healthy_segments: segments in which they were looked for.
        before: the looks before this one; those of other bands, at another speed, are left out.
        speed_error: relative error of the shaft's frequency.
    """
    every = [hypothesis for bearing in bearings for hypothesis in hypotheses(bearing)]
    records = [transformable(record) for record in records]
    longest_s = max(record.size for record in records) / sampling_rate_hz
    if turns is not None:
        angles = [angle[-record.size :] for angle, record in zip(turns, records, strict=True)]
        longest_s = min(longest_s, max(float(angle[-1] - angle[0]) for angle in angles) / shaft_hz)
    bases = [hypothesis.order * shaft_hz for hypothesis in every] or [4.0 * shaft_hz]
    bands = make_bands(sampling_rate_hz, max(bases))
    if before is not None and (before.bands_hz != bands.edges_hz or before.turns > 1.001 * longest_s * shaft_hz):
        before = None
    seconds = segment_s(longest_s, shaft_hz) if before is None else min(longest_s, before.turns / shaft_hz)
    raw, clean = _spectra(records, sampling_rate_hz, shaft_hz, bands, seconds, turns)
    shaft = locate_shaft(raw, shaft_hz, speed_error)
    together = joined(before, raw, clean, shaft.frequency_hz)
    lines = [_lines(raw, clean, shaft)]
    if before is not None:
        raw, clean = together.spectra(shaft.frequency_hz)
        again = locate_shaft(raw, shaft.frequency_hz, speed_error)
        shaft = Shaft(again.frequency_hz, again.located or shaft.located)
    known = Known(shaft.frequency_hz, shaft.located, 0.0 if shaft.located else speed_error)
    lines += [] if before is None else [_lines(raw, clean, shaft)]
    alone = _Rules(LEAST_DEPTH, together)
    seen = _weigh(clean, known, every, alone)
    depths = {(one.fault, one.part): one.evidence.depth for one in seen}
    if healthy is None:
        findings, reason = _bearing_faults(clean, known, every, alone)
    else:
        news = healthy, shaft.frequency_hz, _error(shaft)
        rules = _Rules(least_news(healthy_segments), together)
        findings, reason = _bearing_faults(clean.above(*news), known, every, rules)
        shown = ", ".join(f"{one.fault} of {one.part}" for one in seen if one.significant)
        if shown and reason == NOTHING:
            reason = f"{shown}: no more than on the healthy machine"
        raw = raw.above(*news)
    trials = sum(len(each.combs) for each in every) + len(gears)
    for teeth in gears:
        gear = "gear mesh", f"gear with {teeth} teeth"
        tooth = gear_fault(raw, shaft, teeth, trials * together.share(*gear), with_healthy=healthy is not None)
        if tooth is not None:
            depths[gear] = tooth.depth
            findings = _with_tooth(findings, gear, tooth)
    findings.sort(key=lambda finding: (finding.p_value, -finding.depth))
    return Named(findings, "" if findings else reason, shaft, clean, depths, reduce(Lines.and_also, lines), together)


def _spectra(
    records: Sequence[Float64],
    rate_hz: float,
    shaft_hz: float,
    bands: Bands,
    seconds: float,
    turns: Sequence[Float64] | None,
) -> tuple[EnvelopeSpectra, EnvelopeSpectra]:
    """Spectra of the envelopes with and without lines, in segments of so many seconds at the shaft's frequency."""
    highest = min(HIGHEST_ORDER * shaft_hz, 0.9 * (bands.edges_hz[0][1]))
    smeared = [without_lines(record, rate_hz) for record in records]
    if turns is None:
        raw, clean = (envelope_spectra(pieces, rate_hz, bands, seconds, highest) for pieces in (records, smeared))
        return raw, clean
    # Exactly so many turns in a segment: another speed than the shaft's makes up for its whole number of samples.
    even_hz = seconds * shaft_hz * rate_hz / segment_samples(seconds, rate_hz)
    steady_s = [angle[-record.size :] / even_hz for angle, record in zip(turns, records, strict=True)]
    raw, clean = (
        replace(found, resolution_hz=found.resolution_hz * shaft_hz / even_hz)
        for pieces in (records, smeared)
        for found in [envelope_spectra(pieces, rate_hz, bands, seconds, highest, steady_s)]
    )
    return raw, clean


def _error(shaft: Shaft) -> float:
    """Relative error of orders: a line of something else wanders against a shaft that is not found in the spectra."""
    return 0.0 if shaft.located else SPEED_ERROR


def _lines(raw: EnvelopeSpectra, clean: EnvelopeSpectra, shaft: Shaft) -> Lines:
    """The lines that stand out of spectra, and those of the shaft."""
    own = clean.standing_out(shaft.frequency_hz, _error(shaft))
    return own.and_also(shaft_lines(raw, shaft, _error(shaft)))


def _with_tooth(findings: list[Finding], gear: Part, tooth: GearEvidence) -> list[Finding]:
    """The findings with a damaged tooth, if it is significant and the deepest."""
    if tooth.p_value > P_LIMIT or any(tooth.depth < one.depth for one in findings):
        return findings
    # A line of the tooth is as deep as this; a rate near a whole multiple of the shaft's may be one.
    line_depth = tooth.depth / math.sqrt(tooth.harmonics)
    return [*(one for one in findings if one.depth >= SECOND * line_depth), Finding(gear[0], gear[1], *tooth)]


def least_news(healthy_segments: int) -> float:
    """Depth below which nothing is named, where the healthy machine was looked at for so many segments.

    A line as deep as this would have stood out of its spectra; what stands out shrinks with the fourth root. 0: it is
    not known.
    """
    return LEAST_NEWS if not healthy_segments else float(LEAST_NEWS * (NEWS_SEGMENTS / healthy_segments) ** 0.25)


_SIDEBANDS = {True: 9, False: 2}
"""Sidebands of the shaft that a deep and a shallow fault explain."""


class _Rules(NamedTuple):
    """What a name must fulfil here."""

    least: float
    """Depth below which nothing is named."""
    together: Together
    """The looks, whose number counts."""


class _Weighed(NamedTuple):
    """Evidence with its probability by chance over all places."""

    evidence: Evidence
    p_value: float
    rules: _Rules
    """What a name must fulfil."""

    @property
    def fault(self) -> str:
        return self.evidence.hypothesis.fault

    @property
    def part(self) -> str:
        return self.evidence.hypothesis.part

    @property
    def deep(self) -> bool:
        return self.evidence.depth >= (BALL_DEPTH if self.fault == "ball" else DEPTH)

    @property
    def significant(self) -> bool:
        limit = P_LIMIT if self.deep else SHALLOW_P_LIMIT
        return self.p_value <= limit and self.evidence.depth >= self.rules.least


def _weigh(spectra: EnvelopeSpectra, known: Known, remaining: Sequence[Hypothesis], rules: _Rules) -> list[_Weighed]:
    found = [evidence for hypothesis in remaining if (evidence := look(spectra, known, hypothesis))]
    trials = np.log(max(1, sum(evidence.trials for evidence in found)))

    def weighed(evidence: Evidence) -> _Weighed:
        share = np.log(rules.together.share(evidence.hypothesis.fault, evidence.hypothesis.part))
        return _Weighed(evidence, float(np.exp(min(0.0, evidence.log_p + trials + share))), rules)

    return [weighed(evidence) for evidence in found]


def _bearing_faults(
    spectra: EnvelopeSpectra, known: Known, every: Sequence[Hypothesis], rules: _Rules
) -> tuple[list[Finding], str]:
    """Name the deepest significant fault, then what it does not explain."""
    remaining = list(every)
    weighed = _weigh(spectra, known, remaining, rules)
    findings, deepest = list[Finding](), 0.0
    while significant := [one for one in weighed if one.significant and one.evidence.depth >= SECOND * deepest]:
        parts = [one for one in significant if one.fault != "cage"]
        if not parts and findings:
            break
        best = max(parts or significant, key=lambda one: one.evidence.depth)
        if rival := _too_near(best, every, known, spectra):
            reason = f"{best.fault} and {rival} are too close to be told apart in so short a record"
            return findings, f"{best.part}: {reason}"
        remaining.remove(best.evidence.hypothesis)
        explained = np.concatenate([known.explained, explained_by(best.evidence, _SIDEBANDS[best.deep])])
        known = replace(known, explained=explained)
        weighed = _weigh(spectra, known, remaining, rules)
        if not best.deep:
            elsewhere = [one.fault for one in weighed if one.part == best.part and one.p_value <= TRACE]
            beside = [other.fault for other in remaining if _trace(spectra, known, best.evidence, other)]
            traces = list(dict.fromkeys([*elsewhere, *beside]))
            if traces or findings:
                shown = ", ".join([best.fault, *traces])
                return findings, f"{best.part}: {shown} show faintly together, so none can be named"
        findings.append(_finding(best, known))
        deepest = max(deepest, best.evidence.depth)
    return findings, _hidden(every, known, spectra) or NOTHING


def _hidden(every: Sequence[Hypothesis], known: Known, spectra: EnvelopeSpectra) -> str:
    """What cannot be seen because it is at a multiple of the shaft's frequency; empty if everything can."""
    apart = APART * spectra.resolution_hz / known.shaft_hz
    hidden = [one for one in every if known.located and abs(one.order - round(one.order)) < apart]
    shown = ", ".join(f"{one.fault} of {one.part}" for one in hidden)
    return f"{shown}: too near a multiple of the shaft's frequency to be told from it" if shown else ""


def _trace(spectra: EnvelopeSpectra, known: Known, found: Evidence, other: Hypothesis) -> bool:
    """Whether another fault of the same bearing shows a trace in the band of the one that was found."""
    if other.part != found.hypothesis.part:
        return False
    evidence = look(spectra, known, narrowed(found, other), only_band=found.band)
    return evidence is not None and evidence.log_p + np.log(evidence.trials) <= np.log(TRACE)


def _too_near(best: _Weighed, every: Sequence[Hypothesis], known: Known, spectra: EnvelopeSpectra) -> str:
    """Another fault whose base is too near to tell; empty if there is none."""
    apart = 2.0 * spectra.resolution_hz / known.shaft_hz
    others = [other for other in every if other is not best.evidence.hypothesis]
    return next((other.fault for other in others if abs(other.order - best.evidence.order) < apart), "")


def _finding(weighed: _Weighed, known: Known) -> Finding:
    evidence, p_value, _ = weighed
    hypothesis = evidence.hypothesis
    return Finding(
        hypothesis.fault,
        hypothesis.part,
        evidence.order * known.shaft_hz,
        evidence.order,
        evidence.harmonics,
        max(p_value, 1e-300),
        evidence.depth,
    )
