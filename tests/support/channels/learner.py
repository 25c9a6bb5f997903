"""A learner in the place of the daemon's learner process: a test decides what it answers, and when."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from monitor.bench.alone import bench_calibration
from monitor.core.learning.gather import LEFT_OUT, Gathered
from monitor.core.scoring.calibration.conditions import MOST_QUANTITIES
from monitor.runtime.learning import desk
from monitor.runtime.learning.messages import Answer, Calibrate, Calibrated, Job, Open

RATE_HZ = 12_800.0
MADE = bench_calibration(100, RATE_HZ)
"""What a calibration is made of."""

Hear = Callable[[Answer | None], object]


class StandIn:
    """Takes up channels and makes calibrations; each test says how, in :meth:`opens` and :meth:`fits`."""

    def __init__(self, _folder: Path, hear: Hear) -> None:
        self.hear = hear
        self.opened: list[int] = []
        """Numbers of what was taken up."""
        self.process = self

    def send(self, job: Job) -> bool:
        if isinstance(job, Open):
            self.opened.append(job.number)
            self.opens(job)
        if isinstance(job, Calibrate):
            self.fits(job)
        return True

    def opens(self, job: Open) -> None:
        """A channel is taken up."""
        raise NotImplementedError

    def fits(self, job: Calibrate) -> None:
        """A calibration is asked for."""
        raise NotImplementedError

    def done(self, job: Calibrate) -> None:
        """Answer with a calibration."""
        made = replace(MADE, interval_blocks=job.interval_blocks, warmup_blocks=job.warmup_blocks)
        self.hear(Calibrated(job.number, made, 0.0, 1.0, np.zeros(7), moving=False, aside=()))

    def poll(self) -> int:
        return 1

    def stop(self) -> None:
        pass


Learner = TypeVar("Learner", bound=StandIn)


def stand_ins(monkeypatch: pytest.MonkeyPatch, kind: type[Learner]) -> list[Learner]:
    """Have learners of a kind started instead of processes, and the desk work 20 times a second.

    Returns:
        The learners, each when the daemon starts it.
    """
    learners: list[Learner] = []

    def start(folder: Path, hear: Hear) -> Learner:
        learners.append(kind(folder, hear))
        return learners[-1]

    monkeypatch.setattr(desk, "LearnerProcess", start)
    monkeypatch.setattr(desk, "PERIOD_S", 0.05)
    return learners


def gathered(numbers: Sequence[int], seen: int) -> Gathered:
    """What a worker hands over about these channels, ``seen`` intervals after their start."""
    count = len(numbers)
    each = np.array(numbers)
    return Gathered(
        each,
        np.full(count, seen),
        np.full(count, 0.0),
        np.zeros((count, 28), np.float32),
        np.full((count, MOST_QUANTITIES), np.nan, np.float32),
        each,
        np.full(count, seen),
        np.full(count, fill_value=True),
        np.full((count, len(LEFT_OUT)), 3),
        np.full(count, fill_value=False),
        np.zeros(count, np.int64),
        np.zeros(count),
    )
