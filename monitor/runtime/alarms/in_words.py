"""An alarm in the words of the person on call: how far the machine is from healthy, and by what it is seen.

Page, event, capture and alert say the same: the alert's text in ``vibration.rules.yml`` is made from the same figures,
by way of the metrics.
"""

import math
from dataclasses import dataclass

from monitor.core.scoring.alarm import State
from monitor.core.scoring.evidence.kinds import IN_WORDS, Kind


@dataclass(frozen=True)
class Figures:
    """What an interval shows of a channel."""

    score: float
    """Its score; NaN: none."""
    evidence: dict[str, float]
    """Score of each kind of evidence alone."""
    band_hz: tuple[float, float] | None
    """Frequency band that stands out most; None: none does."""
    rms_times_healthy: float
    """Its RMS over that of the healthy machine; NaN: not known."""
    band_times_healthy: float
    """Amplitude of the whitened residual in that band over the healthy one; NaN: not known."""
    outlook: str = ""
    """Where the score goes, as a sentence without a full stop; empty: it does not rise, or too little is known."""

    @property
    def strongest(self) -> str | None:
        """The strongest kind of evidence, in words; None without a score."""
        known = {kind: value for kind, value in self.evidence.items() if not math.isnan(value)}
        return IN_WORDS[Kind(max(known, key=known.__getitem__))] if known else None

    @property
    def how_far(self) -> str:
        """How many times healthy, such as ``RMS 7.0 times healthy, 9000 to 9600 Hz 40.2 times``; may be empty."""
        parts = []
        if math.isfinite(self.rms_times_healthy):
            parts.append(f"RMS {self.rms_times_healthy:.1f} times healthy")
        if self.band_hz is not None and math.isfinite(self.band_times_healthy):
            low, high = self.band_hz
            parts.append(f"{low:.0f} to {high:.0f} Hz {self.band_times_healthy:.1f} times")
        return ", ".join(parts)


NOTHING = Figures(math.nan, {}, None, math.nan, math.nan)
"""What is known of a state that no interval of this run decided."""


def told(channel: str, before: State, after: State, figures: Figures) -> str:
    """A change of an alarm state as one text.

    Args:
        channel: name of the channel.
        before: the previous state; equal to ``after`` if the state was restored from an earlier run.
        after: the present state.
        figures: of the interval that changed it.
    """
    state = after.name.lower()
    if before is after:
        state = f"still {state} after a restart"
    elif after is State.OK:
        state = "ok again"
    return _sentences(f"{channel}: {state}", figures, evidence=after is not State.OK)


def grown(channel: str, mark: float, figures: Figures) -> str:
    """A score in alarm that has passed a further mark, as one text."""
    return _sentences(f"{channel}: alarm, grown past a score of {mark:g}", figures, evidence=True)


def _sentences(first: str, figures: Figures, *, evidence: bool) -> str:
    sentences = [first]
    if figures.how_far:
        sentences.append(figures.how_far)
    if figures.strongest is not None and evidence:
        sentences.append(f"Strongest evidence: {figures.strongest}")
    if math.isfinite(figures.score):
        sentences.append(f"Score {figures.score:.2f}, limit 1")
    if figures.outlook and evidence:
        sentences.append(figures.outlook)
    return ". ".join(sentences) + "."
