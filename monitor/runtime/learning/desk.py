"""Decides what each channel that learns does next, on the event loop; the work is done elsewhere.

A channel first settles. Then it takes its turn to give blocks for a head, since blocks take memory. From then on its
intervals are gathered, and at growing distances a calibration is made of them: a provisional one, until the last, which
is locked. A channel that keeps moving away is not locked: it learns on, and is reported, until it is steady or a person
accepts what there is. A channel of which a person wants to learn anew keeps its baseline, and the head of that, until
the new one is there. Does not handle: who may ask for that (``baselines``).
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from pathlib import Path

from monitor.config.configuration import Learning as Settings
from monitor.config.configuration import Scoring
from monitor.core.learning.bursts import Burst, burst_of
from monitor.core.learning.gather import Gathered
from monitor.core.learning.head_fit import Fitted
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.calibration.conditions import MOST_QUANTITIES
from monitor.core.scoring.interval.head import Head
from monitor.errors import MonitorError
from monitor.runtime.baselines.history import History, slug_of
from monitor.runtime.baselines.store import Store
from monitor.runtime.intake.channel import Channel, ChannelState
from monitor.runtime.lanes.lane import LaneShape
from monitor.runtime.lanes.orders import Configure, Gather, HeadBlocks, TakeTurn
from monitor.runtime.lanes.settings import row_order
from monitor.runtime.lanes.workers import Inference
from monitor.runtime.learning.due import AT_A_TIME, Due, few_at_a_time
from monitor.runtime.learning.messages import (
    Answer,
    Calibrated,
    Close,
    Feed,
    FitHead,
    HeadFitted,
    Opened,
    Unable,
    Unsaved,
)
from monitor.runtime.learning.one_channel import (
    ChannelLearning,
    Phase,
    Restart,
    asked,
    asked_at_s,
    is_provisional,
    same_head,
    store,
)
from monitor.runtime.learning.process import LearnerProcess
from monitor.runtime.learning.report import Restarts, report, report_bursts, report_stuck
from monitor.runtime.learning.travel import Travel
from monitor.runtime.log.internal_errors import InternalErrors, Where
from monitor.runtime.log.logs import RepeatedLog

LOG = logging.getLogger(__name__)

FOLDER = "learning"
"""Name of the folder in the state directory."""

PERIOD_S = 1.0
"""Seconds between two looks at what is due."""

RETRY_S = 60.0
"""Wait before what failed is tried again, such as a write to a full disk."""


class LearningDesk:
    """The learning of all channels."""

    def __init__(
        self,
        folder: Path | None,
        store: Store,
        settings: Settings,
        *,
        inference_of: Callable[[Channel], Inference],
        configure: Callable[[Channel], None],
        tell: Callable[[dict[str, str]], None],
        wall_offset_s: Callable[[], float],
        errors: InternalErrors,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a desk; the learner is started with the first channel that learns.

        Args:
            folder: the state directory.
            store: the baselines.
            settings: the section of the configuration.
            inference_of: returns the workers of a channel.
            configure: has a channel use its new baseline.
            tell: tells everybody of the latest change of a channel's baseline, by its labels.
            wall_offset_s: returns the offset from monotonic to UNIX seconds.
            errors: counts unexpected errors.
            clock: monotonic seconds.
        """
        self.settings = settings
        """The section of the configuration; a reload replaces it."""
        self.restarts = Restarts()
        """How often channels had to start again."""
        self.unsaved_intervals = 0
        """Intervals that were lost because they could not be written, or the learner was far behind."""
        self._folder = folder / FOLDER if folder is not None else None
        self._store = store
        self._inference_of, self._configure, self._tell = inference_of, configure, tell
        self._clock, self._wall_offset_s, self._errors = clock, wall_offset_s, errors
        self._log = RepeatedLog(LOG, clock)
        self._numbers = itertools.count()
        self._of_channel: dict[int, ChannelLearning] = {}
        """By the identity of the channel."""
        self._by_number: dict[int, ChannelLearning] = {}
        self.travel = Travel(self._folder, lambda channel: self._of_channel.get(id(channel)))
        self._most = 0
        """Most channels that learned at a time."""
        self._useless: set[str] = set()
        """Channels, by the names of their files, whose provisional baseline lost what it was made from."""
        self._process: LearnerProcess | None = None
        self._loop = asyncio.get_running_loop()
        self._made: asyncio.Queue[tuple[ChannelLearning, Calibrated]] = asyncio.Queue()

    def usable(
        self,
        channel: Channel,
        labels: dict[str, str],
        calibration: Calibration | None,
        shape: LaneShape,
        scoring: Scoring,
    ) -> Calibration | None:
        """The calibration of a channel; None if it is provisional, and the channel's learning has started again."""
        history, slug = self._store.history(labels), slug_of(labels)
        provisional = is_provisional(channel, calibration, history)
        useless = provisional and slug in self._useless
        learned = None if calibration is None or useless else burst_of(calibration)
        channel.burst = learned or channel.burst or self.travel.bursts.get(slug)
        if calibration is None or not provisional:
            return calibration
        plain = row_order(channel.row, channel.sensor, shape, scoring, None, channel.burst)
        return calibration if not useless and calibration.interval_blocks == plain.interval_blocks else None

    def attend(
        self, channel: Channel, labels: dict[str, str], order: Configure, model_sha256: str, block_samples: int
    ) -> None:
        """Have a channel learn if it should, after it was configured.

        Args:
            channel: the channel.
            labels: its labels by name.
            order: the settings of its row.
            model_sha256: hash of its model.
            block_samples: samples in a block.
        """
        history = self._store.history(labels)
        channel.provisional = is_provisional(channel, channel.calibration, history)
        present = self._of_channel.get(id(channel))
        if self._folder is None or not self._wanted(channel, history):
            if present is not None:
                self.leave(channel)
                self._inference_of(channel).learn(Gather(channel.row, -1))
            return
        names = tuple(channel.sensor.conditions)[:MOST_QUANTITIES]
        about = (channel.topic, channel.sensor.sampling_rate_hz, channel.sensor.factor_mps2, model_sha256,
                 order.interval_blocks, order.warmup_blocks, names, asked_at_s(history))  # fmt: skip
        if present is not None and present.about == about:
            present.order = order
            if channel.calibration is None and present.phase is Phase.GATHERING:
                self._open(present)  # its worker needs the head again, and the learner has it
            self._tell_worker(present)
            return
        if present is not None:
            self.restarts.add(channel, Restart.CHANGED)
            self.leave(channel)
        one = ChannelLearning(
            next(self._numbers), channel, labels, about, order, names,
            block_samples / channel.sensor.sampling_rate_hz, block_samples, model_sha256,
            extending=history is not None and history.extends,
            brought=self.travel.brought(slug_of(labels)),
        )  # fmt: skip
        calibration = channel.calibration
        if calibration is not None and not channel.provisional:
            one.fitted = Fitted(calibration.head, calibration.trust, calibration.linear_trust)
            one.level_mps2 = calibration.level_mps2
        self._of_channel[id(channel)] = self._by_number[one.number] = one
        one.show(self.settings)
        self._open(one)

    def leave(self, channel: Channel, *, forget: bool = False) -> None:
        """The channel is gone, or does not learn any more; ``forget``: what was kept of it is deleted."""
        one = self._of_channel.pop(id(channel), None)
        channel.learning = None
        if one is not None:
            del self._by_number[one.number]
            if self._process is not None:
                self._process.send(Close(one.number, forget))

    def gathered(self, answer: Gathered | HeadBlocks) -> None:
        """Take what a worker gathered; on any thread."""
        process = self._process
        if process is None:
            return
        if isinstance(answer, HeadBlocks):
            process.send(FitHead(answer.number, answer.blocks, answer.foreseen))
        elif not process.send(Feed(answer, self._wall_offset_s())):
            self.unsaved_intervals += len(answer.number)
            self._log.warning("behind", "the learner is behind: what was gathered is lost; give the machine more time")
        self._loop.call_soon_threadsafe(self._progressed, answer)

    async def run(self) -> None:
        """Give turns and have calibrations made when they are due, until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_S)
            self._most = max(self._most, len(self._by_number))
            due = Due(self._by_number, self._most)
            async for one in few_at_a_time(self._by_number):
                now_s = self._clock()
                if one.phase is Phase.OPENING and (self._process is None or 0 < one.until_s <= now_s):
                    self._open(one)
                if one.stuck(now_s):
                    report_stuck(one)
                if one.phase is Phase.TURN and now_s > one.until_s:
                    self._inference_of(one.channel).learn(TakeTurn(one.channel.row, 0))
                    one.phase, one.until_s = Phase.SETTLING, now_s + RETRY_S
                due.add(one, now_s)
            for one in due.turns:
                order, takes_s = one.turn(self.settings)
                one.phase, one.until_s = Phase.TURN, self._clock() + RETRY_S + 3 * takes_s
                self._inference_of(one.channel).learn(order)
            for one in due.calibrations:
                one.busy = self._process is not None and self._process.send(one.calibrate())
            if not self._by_number and self._process is not None:
                process, self._process = self._process, None
                await asyncio.to_thread(process.stop)  # nothing learns, and it takes 80 MB

    async def keep(self) -> None:
        """Store calibrations as they come, until cancelled."""
        while True:
            one, made = await self._made.get()
            with self._errors.contained(Where.TASK, one.channel.name):
                await self._keep(one, made)
            one.busy = False

    def close(self) -> None:
        """End the learner."""
        if self._process is not None:
            self._process.stop()

    def _wanted(self, channel: Channel, history: History | None) -> bool:
        if not self.settings.enabled or channel.sensor.calibration is not None:
            return False
        return channel.calibration is None or channel.provisional or asked(history)

    def _open(self, one: ChannelLearning) -> None:
        """Have the learner take up a channel; the learner is started if it does not run."""
        one.phase, one.busy, one.until_s = Phase.OPENING, False, 0.0
        if self._process is None and self._folder is not None:
            try:
                self._process = LearnerProcess(
                    self._folder, lambda answer: self._loop.call_soon_threadsafe(self._take, answer)
                )
            except (OSError, RuntimeError) as error:
                self._log.warning("start", f"learning waits: the learner cannot be started: {error}")
                return
        if self._process is not None:
            self._process.send(one.open())

    def _take(self, answer: Answer | None) -> None:
        if answer is None:
            self._ended()
            return
        if isinstance(answer, Unsaved):
            self.unsaved_intervals += answer.intervals
            self._log.warning("unsaved", f"what was learned could not be written: {answer.reason}; check free space")
            return
        one = self._by_number.get(answer.number)
        if one is None:
            return
        match answer:
            case Opened():
                self._opened(one, answer)
            case HeadFitted():
                one.phase, one.level_mps2, one.digest = Phase.GATHERING, answer.level_mps2, answer.digest
                one.until_s = 0.0  # it was the end of the turn
                self._tell_worker(one, answer.head)
            case Calibrated():
                self._made.put_nowait((one, answer))
            case Unable(_, job, reason):
                one.busy = False
                one.until_s = self._clock() + RETRY_S
                if one.phase is Phase.FITTING:
                    one.phase = Phase.SETTLING
                self._log.warning(f"unable {job}", f"learning waits: channel={one.channel.name} job={job} {reason}")
        one.show(self.settings)

    def _ended(self) -> None:
        """The learner has ended by itself; all channels are taken up again."""
        if self._process is not None:
            LOG.error("the learner ended, it is started again: status=%s", self._process.process.poll())
            self._process.stop()
            self._process = None
            for one in self._by_number.values():
                one.phase, one.until_s = Phase.OPENING, self._clock()

    def _opened(self, one: ChannelLearning, answer: Opened) -> None:
        self.restarts.opened(one, answer)
        one.opened(answer, self.settings)
        if answer.head is None and one.fitted is not None:
            one.until_s = self._clock() + RETRY_S  # its file could not be written
            return
        if one.channel.calibration is not None and not same_head(answer.head, one.channel.calibration):
            # What it was made from is gone, or is of another baseline: features of two heads cannot be compared.
            if one.channel.provisional:
                self._useless.add(one.name)
            self.leave(one.channel, forget=True)
            self._configure(one.channel)
            return
        one.phase = Phase.SETTLING if answer.head is None else Phase.GATHERING
        verb = "goes on" if one.seen else "begins"
        state = ChannelState.LEARNING if one.channel.calibration is None else ChannelState.PROVISIONAL
        LOG.info("learning %s: channel=%s state=%s learned_s=%.0f", verb, one.channel.name, state, one.learned_s)
        self._tell_worker(one, answer.head)

    def _tell_worker(self, one: ChannelLearning, head: Head | None = None) -> None:
        """Have the worker gather; it has the head of a calibrated channel, and nothing else keeps that of others."""
        if one.phase is not Phase.OPENING:
            self._inference_of(one.channel).learn(one.gather(self.settings, head))

    def _progressed(self, answer: Gathered | HeadBlocks, first: int = 0) -> None:
        if isinstance(answer, HeadBlocks):
            one = self._by_number.get(answer.number)
            if one is not None:
                one.phase = Phase.FITTING
            return
        end = first + AT_A_TIME
        columns = (answer.numbers, answer.seen, answer.settled, answer.left_out, answer.louder)
        bursts = (answer.burst_blocks, answer.burst_every_s)
        rows = zip(*(each[first:end].tolist() for each in (*columns, *bursts)), strict=True)
        for number, seen, settled, left_out, louder, *burst in rows:
            one = self._by_number.get(number)
            if one is not None:
                one.seen, one.settled, one.left_out = seen, settled, tuple(left_out)
                if louder and one.fitted is None:
                    self._stood_still(one)
                elif burst[0] and one.cuts(Burst(*burst)):
                    self._sends_bursts(one, Burst(*burst))
                one.show(self.settings)
        if end < len(answer.numbers):
            self._loop.call_soon(self._progressed, answer, end)

    def _stood_still(self, one: ChannelLearning) -> None:
        """Start again with the machine that runs now."""
        more = f"its RMS is more than ten times the {one.level_mps2:.3g} m/s2 so far"
        self.restarts.add(one.channel, Restart.STANDSTILL, more)
        self._begin_anew(one)

    def _sends_bursts(self, one: ChannelLearning, burst: Burst) -> None:
        """Start again with an interval that finds room in a burst."""
        report_bursts(one, burst)
        if one.seen:
            self.restarts.add(one.channel, Restart.CHANGED, "its bursts are shorter")
        one.channel.burst = burst
        self._begin_anew(one)

    def _begin_anew(self, one: ChannelLearning) -> None:
        self._useless.add(one.name)
        self.leave(one.channel, forget=True)
        self._configure(one.channel)

    async def _keep(self, one: ChannelLearning, made: Calibrated) -> None:
        """Store a calibration and have the channel judged by it."""
        channel = one.channel
        if self._of_channel.get(id(channel)) is not one:
            return  # a person has decided otherwise meanwhile
        last = one.extending or one.learned_s >= self.settings.duration
        locked = last and not made.moving
        try:
            await asyncio.to_thread(store, self._store, one, made, locked=locked)
        except MonitorError as error:
            one.until_s = self._clock() + RETRY_S
            self._log.warning("store", f"learning waits: channel={channel.name} {error}")
            if channel.baseline_changed != self._store.changed(one.labels):
                self._configure(channel)
            return
        self._tell(one.labels)
        if self._of_channel.get(id(channel)) is not one:
            return
        self._useless.discard(one.name)
        report(one, made, locked=locked)
        one.made(made, self.settings, last=last)
        if locked and asked(self._store.history(one.labels)):
            self.leave(channel)  # it is extended from now on
        self._configure(channel)
        if not locked:
            one.show(self.settings)
