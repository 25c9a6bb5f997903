"""One channel that learns: what it does, what is done next with it, and when."""

import json
import math
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from monitor.config.configuration import Learning as Settings
from monitor.core.learning.block_sums import fewest_intervals
from monitor.core.learning.bursts import Burst
from monitor.core.learning.gather import HEAD_BLOCKS, LEFT_OUT, RUN_BLOCKS
from monitor.core.learning.head_fit import Fitted
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.interval.head import Head
from monitor.runtime.baselines.history import History, Source, slug_of
from monitor.runtime.baselines.store import Store
from monitor.runtime.intake.channel import Channel, Progress
from monitor.runtime.lanes.orders import Configure, Gather, TakeTurn
from monitor.runtime.learning.messages import Calibrate, Calibrated, Open, Opened
from monitor.runtime.learning.progress import HowFar

MARKS = (1, 4, 24, 72)
"""When provisional calibrations are made, in multiples of ``learning.minimum``: after 1 h, 4 h, 1 day and 3 days. More
often: more work, and alarms start again each time. Less often: limits stay wide."""

LEARN_ON = 0.25
"""Share of the duration after which a channel that moved away is looked at again. Lower: more work. Higher: a machine
that has run in is watched later."""

HEAD_SPAN = 1 / 60
"""Share of the minimum over which the blocks for a head are spread, at most :data:`LONGEST_SPAN_S`."""

LONGEST_SPAN_S = 60.0
"""Longest such time. Longer: with many channels the last one waits long for its turn."""


TURN_BYTES = 430_000
"""Memory of a turn."""

TURNS_BYTES = 14_000
"""Memory for turns, a channel that learns. Lower: many channels wait long for their turn. Higher: more memory."""

FEWEST_TURNS = 8
"""Turns that there are at least."""


STUCK_S = 600.0
"""Seconds with samples and without a complete interval, after which a person is told. Shorter: a machine that starts is
told. Longer: nobody knows why a channel does not learn."""


class Phase(StrEnum):
    """What a channel that learns does."""

    OPENING = "opening"
    SETTLING = "settling"
    TURN = "turn"
    FITTING = "fitting"
    GATHERING = "gathering"


class Restart(StrEnum):
    """Why the learning of a channel started again; the values of the label ``reason``."""

    CHANGED = "changed"
    """Rate, unit, scale, interval, model or measured quantities are other ones."""
    UNREADABLE = "unreadable"
    """What was kept is of another version, damaged or gone."""
    STANDSTILL = "standstill"
    """The machine is so loud that what was learned was a standstill, or the unit has changed."""


@dataclass
class ChannelLearning:
    """Where one channel is, and what it is made with."""

    number: int
    channel: Channel
    labels: dict[str, str]
    about: tuple[object, ...]
    """Everything that what it learns depends on."""
    order: Configure
    names: tuple[str, ...]
    block_s: float
    block_samples: int
    model_sha256: str
    extending: bool
    brought: HowFar | None = None
    """How far another worker was with it, until it is taken up here."""
    fitted: Fitted | None = None
    level_mps2: float = 0.0
    digest: str = ""
    """Digest of its head; empty: none is fitted yet."""
    known: int = 0
    """Intervals of those seen that made the baseline that is extended."""
    phase: Phase = Phase.OPENING
    seen: int = 0
    left_out: tuple[int, ...] = ()
    settled: bool = False
    due_s: float = 0.0
    """Seconds of running from which on the next calibration is due."""
    busy: bool = False
    """Whether a fit is under way."""
    until_s: float = 0.0
    """Monotonic instant: the end of a turn, or before which nothing is tried again."""
    closed: int = 0
    """Intervals that were complete so far, used or not."""
    closed_s: float = 0.0
    """Monotonic instant since when that is so; 0: not known yet."""
    received: int = 0
    """Samples that had come then."""
    told: bool = False
    """Whether it was told that none is complete."""
    curve: list[float] = field(default_factory=list)
    aside: tuple[tuple[float, float, int], ...] = ()
    unsteady: bool = False

    @property
    def interval_s(self) -> float:
        """Seconds of running that an interval stands for; a burst stands for the time until the next one."""
        length_s = self.order.interval_blocks * self.block_s
        burst = self.channel.burst
        return length_s if burst is None else max(length_s, burst.every_s)

    @property
    def learned_s(self) -> float:
        """Seconds of running seen so far."""
        return self.seen * self.interval_s

    def stuck(self, now_s: float) -> bool:
        """Whether samples have come for :data:`STUCK_S` and no interval was complete; told once.

        Args:
            now_s: monotonic instant.
        """
        closed = self.seen + sum(self.left_out)
        if closed != self.closed or not self.closed_s:
            self.closed, self.closed_s, self.received = closed, now_s, self.channel.samples_received
        enough = self.order.interval_blocks * self.block_samples
        flows = self.channel.samples_received - self.received > enough
        if now_s - self.closed_s < STUCK_S or not flows or self.told:
            return False
        self.told = True
        return True

    def cuts(self, burst: Burst) -> bool:
        """Whether another interval is needed for bursts: shorter ones than are known, with two blocks at least."""
        known = self.channel.burst
        return self.fitted is None and burst.blocks > 1 and (known is None or burst.blocks < known.blocks)

    @property
    def name(self) -> str:
        """Name of its file, without suffix."""
        return slug_of(self.labels)

    @property
    def settling(self) -> bool:
        """Whether it has to settle first: nothing was seen of it yet."""
        return not self.seen and (self.phase is Phase.SETTLING or self.fitted is not None)

    def open(self) -> Open:
        """The job to take it up."""
        key = json.dumps(self.about)
        burst = self.channel.burst
        about = (self.names, self.block_samples, self.fitted, self.level_mps2, burst)
        return Open(self.number, self.name, key, *about, extend=self.extending, brought=self.brought)

    @property
    def how_far(self) -> HowFar | None:
        """How far it is; None: that is not known yet."""
        if self.phase is Phase.OPENING:
            return None
        key = json.dumps(self.about)
        return HowFar(key, self.seen, self.left_out, self.channel.burst, self.known, self.digest)

    def gather(self, settings: Settings, head: Head | None) -> Gather:
        """The order to its worker; ``head``: None if it has none yet, or that of its calibration."""
        settle = math.ceil(settings.settle / self.interval_s)
        return Gather(
            self.channel.row,
            self.number,
            self.names,
            settle,
            settle if self.settling else 0,
            self.seen,
            self.left_out,
            head,
            self.level_mps2,
            self.extending and self.channel.calibration is not None and bool(self.channel.calibration.quantities),
        )

    def turn(self, settings: Settings) -> tuple[TakeTurn, float]:
        """The order to take blocks for a head, and the seconds of running that this takes."""
        intervals = -(-HEAD_BLOCKS // min(self.order.interval_blocks, RUN_BLOCKS))
        span_s = min(LONGEST_SPAN_S, HEAD_SPAN * settings.minimum)
        every = max(1, int(span_s / (intervals * self.interval_s)))
        return TakeTurn(self.channel.row, every), intervals * every * self.interval_s

    def calibrate(self) -> Calibrate:
        """The job to make a calibration."""
        order = self.order
        rate_hz = self.channel.sensor.sampling_rate_hz
        every_s = None if self.channel.burst is None else self.interval_s
        return Calibrate(self.number, order.interval_blocks, order.warmup_blocks, rate_hz, every_s)

    @property
    def waits(self) -> bool:
        """Whether it waits for its turn."""
        return self.phase is Phase.SETTLING and self.settled

    @property
    def due(self) -> bool:
        """Whether a calibration is to be made, as far as there is enough to make it from."""
        enough = self.seen >= fewest_intervals(self.order.interval_blocks)
        return self.phase is Phase.GATHERING and not self.busy and enough and self.learned_s >= self.due_s

    def mark(self, settings: Settings, after_s: float) -> float:
        """Seconds of running at which the next calibration is due after one at ``after_s``."""
        marks = [*(settings.minimum * multiple for multiple in MARKS), settings.duration]
        return min((mark for mark in marks if after_s < mark <= settings.duration), default=self.learned_s)

    def opened(self, answer: Opened, settings: Settings) -> None:
        """Take note of what the learner has kept; a baseline of which nothing is kept cannot be extended."""
        self.seen, self.left_out, self.level_mps2 = answer.seen, answer.left_out, answer.level_mps2
        self.digest, self.known, self.brought = answer.digest, answer.known, None
        self.extending = self.extending and answer.known > 0
        self.due_s = self.mark(settings, self.learned_s if self.channel.provisional else 0.0)
        if self.extending:
            self.due_s = answer.known * self.interval_s + settings.minimum

    def made(self, made: Calibrated, settings: Settings, *, last: bool) -> None:
        """Take note of a calibration that was made; ``last``: it ends the learning, unless the channel is unsteady."""
        self.curve, self.aside, self.unsteady = made.curve.tolist(), made.aside, made.moving
        self.due_s = self.learned_s + LEARN_ON * settings.duration if last else self.mark(settings, self.learned_s)

    def show(self, settings: Settings) -> None:
        """Tell the channel how far it is, for metrics and page."""
        ratio = self.learned_s / settings.duration
        if self.extending:
            ratio = 1.0 - (self.due_s - self.learned_s) / settings.minimum
        self.channel.learning = Progress(
            ratio=min(1.0, max(0.0, ratio)),
            learned_s=self.learned_s,
            phase=str(self.phase),
            unsteady=self.unsteady,
            curve=tuple(self.curve),
            aside=self.aside,
            left_out={name: count for name, count in zip(LEFT_OUT, self.left_out, strict=False) if count},
        )


def asked(history: History | None) -> bool:
    """Whether a person wants the channel to learn though it has a baseline."""
    return history is not None and history.request is not None


def asked_at_s(history: History | None) -> float:
    """When a person last wanted the channel to learn anew; 0: never. What was kept before is not used."""
    asked = [change.at_s for change in history.changes if change.what == "learn"] if history is not None else []
    return max(asked, default=0.0)


def is_provisional(channel: Channel, calibration: Calibration | None, history: History | None) -> bool:
    """Whether the calibration of a channel is a provisional baseline."""
    baseline = None if history is None or channel.sensor.calibration is not None else history.baseline
    return calibration is not None and baseline is not None and baseline.provisional


def turns(learning: int) -> int:
    """How many channels may give blocks for a head at a time, while so many learn."""
    return max(FEWEST_TURNS, learning * TURNS_BYTES // TURN_BYTES)


def same_head(head: Head | None, calibration: Calibration | None) -> bool:
    """Whether a head is that of a calibration."""
    return head is not None and calibration is not None and bool(np.array_equal(head.past, calibration.head.past))


def store(into: Store, one: ChannelLearning, made: Calibrated, *, locked: bool) -> None:
    """Make a calibration the baseline of its channel; ``locked``: it is not provisional. On a thread.

    Raises:
        MonitorError: it cannot be written, or a person has changed the baseline meanwhile; nothing is changed.
    """
    into.learned(
        one.labels,
        made.calibration,
        model_sha256=one.model_sha256,
        source=Source(made.from_s, made.to_s, not locked, made.aside, tuple(made.curve.tolist())),
        extended=one.extending,
        following=one.channel.baseline_changed,
    )
