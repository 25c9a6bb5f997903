"""From closed intervals to judgements: evidence, plausibility, score and alarm of all channels, in one place.

Ties the parts together so that the pipeline sees one object: what to add of a batch, what an interval is worth. A
channel without a calibration gets figures and no score. Refuses to know: clocks, messages, files.
"""

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from monitor.core.arrays import Bool, Float32, Int8, Int64, Rows
from monitor.core.gap import GapFigures, Residuals
from monitor.core.scoring.alarm import Alarm, AlarmRule, Changes
from monitor.core.scoring.calibration import Calibration
from monitor.core.scoring.kinds import KINDS
from monitor.core.scoring.observations import Evidence, Observations
from monitor.core.scoring.plausibility import ACCEPTED, Plausibility, Refusal, code
from monitor.core.scoring.scorer import Scorer


@dataclass(frozen=True, slots=True)
class Judgements:
    """What closed intervals are worth, one row of every array each."""

    score: Float32
    """(n,) 1 at the limit; NaN without a calibration or where the interval was refused."""
    gap_whitened: Float32
    """(n,) whitened residual energy, about 1 when healthy; NaN without a calibration."""
    alarm_state: Int64
    """(n,) values of :class:`monitor.core.scoring.alarm.State`; -1 without a calibration."""
    evidence: Float32
    """(n, kinds) the score that each kind of evidence alone would give; NaN likewise."""
    dominant: Int64
    """(n,) index into ``KINDS``; -1 without a score."""
    band: Float32
    """(n, 2) band that stands out, as parts of half the sampling rate; NaN likewise."""
    refusal: Int8
    """(n,) 0, or the code of the reason why an interval has no score; without a calibration the level's only."""
    changes: Changes
    """The channels whose alarm state changed."""


class Scoring:
    """Evidence, plausibility, score and alarm of a fixed number of channels."""

    def __init__(self, channels: int, block_samples: int, rule: AlarmRule | None = None) -> None:
        self.evidence = Evidence(channels, block_samples)
        self.plausibility = Plausibility(channels)
        self.scorer = Scorer(channels, block_samples)
        self.alarm = Alarm(channels, rule)
        self._calibrated: Bool = np.zeros(channels, np.bool_)

    def assign(
        self, rows: Rows, calibration: Calibration | None, limit: float = 0.0, *, wrong_rate: bool = False
    ) -> None:
        """Give ``rows`` a calibration and a limit, or take both away; their past and their alarms are forgotten.

        Args:
            rows: the channels.
            calibration: channels that are given the same object share work.
            limit: from :meth:`Calibration.limit`.
            wrong_rate: whether the channels' sampling rate is not the calibration's; they get no score then.
        """
        self.evidence.assign(rows, None if calibration is None else calibration.whitening)
        self.scorer.assign(rows, calibration, limit)
        self.plausibility.assign(rows, 0.0 if calibration is None else calibration.level_mps2, wrong_rate=wrong_rate)
        self.alarm.reset(rows)
        self._calibrated[rows] = calibration is not None

    @property
    def calibrated_rows(self) -> Bool:
        """(channels,) which have a calibration."""
        return self._calibrated

    def reset(self, rows: Rows) -> None:
        """Give up the open intervals; accumulated evidence and alarms stay, they are the machine's."""
        self.evidence.reset(rows)
        self.plausibility.reset(rows)

    def add(self, batch: Residuals) -> None:
        """Take one scored block of each of some channels; those without a calibration cost nothing."""
        chosen = self._calibrated[batch.rows]
        if not chosen.all():
            if not chosen.any():
                return
            batch = _chosen(batch, chosen)
        self.evidence.add(batch)
        self.plausibility.add(batch)

    def close(self, rows: Rows, samples: Int64, gaps: GapFigures) -> Judgements:
        """Judge the intervals of ``rows`` that closed, ``samples`` long each (n,)."""
        seen = self.evidence.close(rows, samples)
        refusal = self.plausibility.close(rows, samples, gaps.rms_mps2)
        calibrated = self._calibrated[rows]
        refusal[~calibrated & (refusal != code(Refusal.IMPLAUSIBLE_LEVEL))] = ACCEPTED
        accepted = calibrated & (refusal == ACCEPTED)
        scores = self.scorer.score(rows[accepted], _chosen(seen, accepted), _chosen(gaps, accepted))
        changes = self.alarm.update(rows[accepted], scores.score)
        n = rows.size
        score = np.full(n, np.nan, np.float32)
        evidence = np.full((n, len(KINDS)), np.nan, np.float32)
        dominant = np.full(n, -1, np.int64)
        band = np.full((n, 2), np.nan, np.float32)
        score[accepted], evidence[accepted] = scores.score, scores.evidence
        dominant[accepted], band[accepted] = scores.dominant, scores.band
        return Judgements(
            score,
            seen.bands.mean(axis=1),
            np.where(calibrated, self.alarm.state(rows), -1),
            evidence,
            dominant,
            band,
            refusal,
            changes,
        )


Figures = TypeVar("Figures", Observations, GapFigures, Residuals)


def _chosen(figures: Figures, chosen: Bool) -> Figures:
    """The chosen rows of every array."""
    return type(figures)(*(getattr(figures, field.name)[chosen] for field in fields(figures)))
