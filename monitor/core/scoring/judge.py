"""From compared blocks to figures and judgements: gaps, observations, plausibility, score and alarm for the pipeline.

The pipeline adds batches of blocks and closes intervals; this module does the rest. The gap of a calibrated channel is
that of its head's forecast. A channel without a calibration gets the gap of the network's forecast and a plausibility
check, but no score.
"""

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from monitor.core.arrays import Bool, Float32, Int8, Int64, Rows
from monitor.core.forecasting.gap import ComparedBlocks, GapFigures, GapSums
from monitor.core.scoring.alarm import Alarm, Changes
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.calibration.conditions import MOST_PROTOTYPES
from monitor.core.scoring.calibration.measured import Measured
from monitor.core.scoring.evidence.kinds import KINDS, raw_features
from monitor.core.scoring.interval.head import Head
from monitor.core.scoring.interval.observations import Observations, ObservationSums
from monitor.core.scoring.plausibility import ACCEPTED, Plausibility, Refusal, code
from monitor.core.scoring.scorer import Scorer


@dataclass(frozen=True, slots=True)
class Judgements:
    """Scores, evidence and alarm states of closed intervals, one row each."""

    score: Float32
    """(n,) score, 1 at the limit; NaN without a calibration or if the interval was refused."""
    gap_whitened: Float32
    """(n,) energy of the whitened residual, about 1 when healthy; NaN without a calibration."""
    alarm_state: Int64
    """(n,) :class:`monitor.core.scoring.alarm.State`; -1 without a calibration."""
    evidence: Float32
    """(n, kinds) score that each kind of evidence alone would give; NaN without a score."""
    band: Float32
    """(n, 2) lower and upper end of the band with most new energy, as fractions of half the sampling rate; NaN without
    a score."""
    times_healthy: Float32
    """(n, 2) RMS, and amplitude of the whitened residual in that band, over what is healthy; NaN without a score."""
    weights: Float32
    """(n, MOST_PROTOTYPES) weights of the learned conditions; NaN beyond their number, and without a score."""
    refusal: Int8
    """(n,) 0, or the code of a :class:`Refusal`; without a calibration only an implausible level is detected."""
    condition_distance: Float32
    """(n,) how far measured quantities are from what was learned: 0 inside, 1 at the margin, beyond which the interval
    is refused; NaN if nothing is known or learned of them."""
    changes: Changes
    """The channels whose alarm state changed."""
    learning: Bool
    """(n,) True for a channel that learns and has a head."""
    raw: Float32
    """(m, R) raw features of the m intervals of such channels."""


class Judge:
    """Gaps, observations, plausibility, score and alarm of a fixed number of channels."""

    def __init__(self, channels: int, block_samples: int) -> None:
        self._gaps = GapSums(channels)
        self.observations = ObservationSums(channels, block_samples)
        self.plausibility = Plausibility(channels)
        self.measured = Measured(channels)
        self.scorer = Scorer(channels, block_samples)
        self.alarm = Alarm(channels)
        self._calibrated: Bool = np.zeros(channels, np.bool_)
        self._learning: Bool = np.zeros(channels, np.bool_)
        self._with_head: Bool = np.zeros(channels, np.bool_)

    def assign(
        self, rows: Rows, calibration: Calibration | None, limit: float = 0.0, *, wrong_rate: bool = False
    ) -> None:
        """Assign a calibration and a limit to ``rows``, or remove both; evidence, alarms and intervals are reset.

        Args:
            rows: the channels.
            calibration: None removes it. Channels with the same object are computed together.
            limit: from :meth:`Calibration.limit`.
            wrong_rate: whether the channels' sampling rate differs from the calibration's; they then get no score.
        """
        self._gaps.reset(rows)
        self.observations.assign(rows, None if calibration is None else calibration.head)
        self.measured.assign(rows, calibration)
        self.scorer.assign(rows, calibration, limit)
        self.plausibility.assign(rows, 0.0 if calibration is None else calibration.level_mps2, wrong_rate=wrong_rate)
        self.alarm.reset(rows)
        self._calibrated[rows] = self._with_head[rows] = calibration is not None
        self._learning[rows] = False

    def learn(self, rows: Rows, head: Head | None, level_mps2: float) -> None:
        """Have ``rows`` checked and measured for learning until the next :meth:`assign`; they get no score by it.

        Args:
            rows: the channels.
            head: their head, of which features are made; None: they have none yet. That of a calibration stays.
            level_mps2: RMS of the running machine; 0: not known.
        """
        self._learning[rows] = True
        bare = rows[~self._calibrated[rows]]
        self.observations.assign(bare, head)
        self.plausibility.assign(bare, level_mps2)
        self._with_head[bare] = head is not None

    @property
    def calibrated_rows(self) -> Bool:
        """(channels,) True where a channel has a calibration."""
        return self._calibrated

    def reset(self, rows: Rows) -> None:
        """Drop the open intervals of ``rows``; accumulated evidence and alarms stay, since the machine is the same."""
        self._gaps.reset(rows)
        self.observations.reset(rows)
        self.plausibility.reset(rows)
        self.measured.reset(rows)

    def add(self, batch: ComparedBlocks, conditions: Float32 | None = None) -> None:
        """Add one scored block of each channel in the batch.

        Args:
            batch: the blocks.
            conditions: (n, names) measured values in the order that :meth:`Measured.tell` was given, NaN where not
                known; None: nothing is known.
        """
        self.measured.add(batch.rows, conditions)
        chosen = self._with_head[batch.rows]
        self._gaps.add(batch, chosen)
        checked = chosen | self._learning[batch.rows]
        if not checked.any():
            return
        self.plausibility.add(batch if checked.all() else batch.of(checked))
        if chosen.any():
            self.observations.add(batch if chosen.all() else batch.of(chosen))

    def close(self, rows: Rows, samples: Int64) -> tuple[GapFigures, Judgements]:
        """Score the closed intervals of ``rows``, ``samples`` (n,) long, and update the alarms."""
        calibrated = self._calibrated[rows]
        seen = self.observations.close(rows, samples)
        with_head = self._with_head[rows]
        gaps = self._gaps.close(rows, samples, with_head, seen.residual)
        refusal = self.plausibility.close(rows, samples, gaps.rms_mps2)
        unchecked = ~(calibrated | self._learning[rows])
        refusal[unchecked & (refusal != code(Refusal.IMPLAUSIBLE_LEVEL))] = ACCEPTED
        learning = with_head & self._learning[rows]
        measured, distance = self.measured.close(rows)
        refusal[calibrated & (refusal == ACCEPTED) & (distance > 1.0)] = code(Refusal.UNKNOWN_CONDITION)
        accepted = calibrated & (refusal == ACCEPTED)
        own = None if measured is None else measured[accepted]
        scores = self.scorer.score(rows[accepted], _chosen(seen, accepted), _chosen(gaps, accepted), own)
        # Right after the start one odd interval has the score to itself.
        heard = np.where(self.scorer.majority(rows[accepted]), scores.score, np.float32(np.nan))
        changes = self.alarm.update(rows[accepted], heard)
        n = rows.size
        score = np.full(n, np.nan, np.float32)
        evidence = np.full((n, len(KINDS)), np.nan, np.float32)
        band = np.full((n, 2), np.nan, np.float32)
        times_healthy = np.full((n, 2), np.nan, np.float32)
        weights = np.full((n, MOST_PROTOTYPES), np.nan, np.float32)
        score[accepted], evidence[accepted] = scores.score, scores.evidence
        band[accepted], times_healthy[accepted] = scores.band, scores.times_healthy
        weights[accepted] = scores.weights
        judgements = Judgements(
            score,
            seen.bands.mean(axis=1),
            np.where(calibrated, self.alarm.state(rows), -1),
            evidence,
            band,
            times_healthy,
            weights,
            refusal,
            distance,
            changes,
            learning,
            raw_features(_chosen(seen, learning), _chosen(gaps, learning)),
        )
        return gaps, judgements


Figures = TypeVar("Figures", Observations, GapFigures)


def _chosen(figures: Figures, chosen: Bool) -> Figures:
    """The chosen rows of every array."""
    return type(figures)(*(getattr(figures, field.name)[chosen] for field in fields(figures)))
