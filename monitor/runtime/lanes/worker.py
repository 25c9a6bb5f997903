"""A worker: takes due blocks of its rows from the rings, runs them through the pipeline, posts the figures.

It runs in its own process, so messages and scrapes never wait for a forecast. It shares only the lane's arrays with the
daemon. Under overload it drops the whole backlog of a channel once the backlog reaches a limit. It counts the blocks as
skipped, and the channel starts a new context. So every channel loses its share, no channel starves, and scores are
never stale.
"""

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import assert_never

import numpy as np

from monitor.core.arrays import Arrays, Float32, Int64, Rows
from monitor.core.diagnosis.figures import usual_figures, velocity_refusal, velocity_rms
from monitor.core.forecasting.forecaster import Engine, make_forecaster
from monitor.core.learning.gather import PENDING
from monitor.core.pipeline import Intervals, Pipeline
from monitor.core.samples.records import Records
from monitor.core.samples.rings import DueBlocks
from monitor.core.scoring.alarm import Changes
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.plausibility import Skip
from monitor.errors import MonitorError
from monitor.runtime.lanes.closed import ClosedIntervals
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.lanes.orders import (
    Answer,
    Batches,
    Clear,
    Collect,
    Collected,
    Configure,
    Failed,
    Gather,
    HeadBlocks,
    Keep,
    Measured,
    Order,
    Ready,
    Refused,
    Report,
    Restore,
    Start,
    Stop,
    TakeTurn,
)
from monitor.runtime.lanes.shared import SharedMemory
from monitor.runtime.processes import child

BACKLOG_SHARE = 0.75
"""Largest backlog of a channel, as a share of its ring. Lower: short stalls cost data. Higher: the ring fills up before
the backlog is dropped, and new samples are lost instead of old ones."""

SHORTEST_PAUSE_S = 0.0005
"""Pause when no block is due and the configured delay is 0. Shorter: an idle daemon keeps a core busy."""

NICENESS = 5
"""Nice value of a worker. The event loop goes first when cores are short: skipped blocks are counted, but messages that
are not taken in time are lost at the broker, uncounted. Higher: other work on the machine goes before the scores."""

BUSY_SHARE = 0.2
"""Share of the time that a worker works above which it lets batches fill. Lower: scores of a plant that costs little
are later. Higher: more of a processor goes into small batches."""

BUSY_S = 1.0
"""Seconds over which that share is averaged. Shorter: one long batch counts. Longer: a new load is met later."""

FULL_BATCH = 256
"""Blocks from which on waiting for more is not worth it: 50 at a time cost 1.6 times what 500 do, 10 at a time 5 times,
250 at a time 1.07 times. Fewer: more processor time. More: scores are later for nothing."""

YOUNG_S = 0.05
"""Age of the oldest waiting block up to which a batch may fill. Less: smaller batches. More: scores are later."""

HAND_OVER_S = 5.0
"""Seconds between two messages about what channels learn from. Shorter: more messages. Longer: a kill loses more, and
more waits in memory."""

FULL = 0.75
"""Share of the room for waiting intervals at which they are handed over before that."""


class Worker:
    """Runs one part of a lane; not thread-safe."""

    def __init__(
        self,
        lane: Lane,
        engine: Engine,
        clock: Callable[[], float] = time.monotonic,
        tell: Callable[[Answer], None] = lambda _: None,
        batches: Batches | None = None,
    ) -> None:
        """Make a worker.

        Args:
            lane: the part, or the whole lane if it has one part.
            engine: runs the network.
            clock: monotonic seconds.
            tell: called with each answer for the daemon.
            batches: limits of a batch.
        """
        shape = lane.shape
        self.lane = lane
        self.batches = batches or Batches()
        forecaster = make_forecaster(engine, shape.mode, shape.channels)
        self.pipeline = Pipeline(forecaster, shape.channels, shape.block_samples, shape.level_blocks)
        self._records = Records(shape.channels, shape.block_samples)
        self._closed = ClosedIntervals(shape.channels, lane.first_row, tell)
        self._clock = clock
        self._tell = tell
        self._calibrations: dict[int, Calibration] = {}
        self._unforeseen: dict[int, int] = {}
        self._hand_over_s = 0.0
        self._busy = 0.0
        """Share of the last second that went into batches."""
        self._ended_s = clock()
        self._batch = 0
        """Blocks in the last batch."""

    def obey(self, order: Order) -> bool:
        """Carry out an order; returns whether the worker goes on after it."""
        match order:
            case Clear(row, received):
                self.lane.rings.skip_until(row, received)
                self.lane.board.clear(np.array([row]), received)
                self.pipeline.judge.plausibility.measure(np.array([row]), wrong_rate=False)
                self.pipeline.judge.alarm.reset(np.array([row]))
                self.pipeline.gatherer.end(row)
                self.pipeline.renew(row)
                self._records.configure(row, 0.0)
                self._closed.cleared(row)
            case Keep(number, calibration):
                self._keep(number, calibration)
            case Configure():
                self._configure(order)
            case Measured(row, wrong_rate):
                self.pipeline.judge.plausibility.measure(np.array([row]), wrong_rate=wrong_rate)
                self._records.pause(row, paused=wrong_rate)
                with self.lane.board.writing():
                    self.lane.board.clear_usual(row)
            case Gather() | TakeTurn():
                self._gather(order)
            case Restore():
                self._restore(order)
            case Collect(number, rows, last, points):
                self._closed.hand_over()  # whoever asks knows of all that the state contains
                self._tell(Collected(number, self._collect(np.array(rows, np.intp), points=points)))
                return not last
            case Batches() | Report():
                self._set(order)
            case Stop():
                return False
            case _:
                assert_never(order)
        return True

    def _set(self, order: Batches | Report) -> None:
        if isinstance(order, Batches):
            self.batches = order
        else:
            self._closed.want(order.wanted)

    def _keep(self, number: int, calibration: Calibration | None) -> None:
        self._calibrations.pop(number, None)
        if calibration is not None:
            self._calibrations[number] = calibration

    def _configure(self, order: Configure) -> None:
        rows = np.array([order.row])
        calibration = None if order.calibration is None else self._calibrations[order.calibration]
        judge = self.pipeline.judge
        before = judge.alarm.state(rows)
        self.pipeline.configure(rows, order.interval_blocks, order.warmup_blocks)
        self.pipeline.assign(rows, calibration, order.limit, wrong_rate=order.wrong_rate)
        self._records.configure(order.row, order.sampling_rate_hz)
        if before.any():
            # An alarm ends with the calibration that raised it; subscribers must hear that it ended.
            self._changed(Changes(rows, before, judge.alarm.state(rows), np.full(1, np.nan, np.float32)))
        with self.lane.board.writing():
            self.lane.board.alarm_state[rows] = -1
            self.lane.board.calibrated[rows] = calibration is not None
            self.lane.board.warm_up_belongs[rows] = order.warmup_blocks < self.lane.shape.window_blocks

    def _gather(self, order: Gather | TakeTurn) -> None:
        pipeline, row = self.pipeline, order.row
        if isinstance(order, TakeTurn):
            self._unforeseen[row] = int(pipeline.unforeseen[row])
            pipeline.gatherer.take_turn(row, order.every)
            return
        if order.number < 0:
            pipeline.gatherer.end(row)
            return
        if pipeline.gatherer.number(row) != order.number:
            pipeline.gatherer.begin(
                row,
                order.number,
                names=order.names,
                settle=order.settle,
                settling=order.settling,
                seen=order.seen,
                left_out=np.array(order.left_out, np.int64) if order.left_out else None,
                only_unknown=order.only_unknown,
            )
        pipeline.gatherer.level(row, order.level_mps2)
        pipeline.learn(np.array([row]), order.head, order.level_mps2)

    def _restore(self, order: Restore) -> None:
        row, arrays, board, judge = np.array([order.row]), order.arrays, self.lane.board, self.pipeline.judge
        if order.resume_at is not None:
            self.pipeline.resume(order.row, order.resume_at, arrays)
        counts = arrays.get("board")
        if order.counters and counts is not None and counts.shape == board.counts(row)[0].shape:
            board.restore(order.row, counts.astype(np.int64))
        evidence = {name[len("scorer.") :]: a[None] for name, a in arrays.items() if name.startswith("scorer.")}
        alarm = arrays.get("alarm", np.zeros(0, np.int64)).astype(np.int64)[None]
        if alarm.size == 4:
            alarm = alarm[:, [0, 2, 3]]  # state files once held a count of votes in second place
        if not judge.calibrated_rows[order.row] or alarm.shape != judge.alarm.export(row).shape:
            return
        if judge.scorer.restore(row, evidence):
            judge.alarm.restore(row, alarm)
            with board.writing():
                board.alarm_state[row] = judge.alarm.state(row)

    def _collect(self, rows: Rows, *, points: bool) -> Arrays:
        judge = self.pipeline.judge
        kept = self.pipeline.keep_points().export(rows) if points else {}
        arrays = {f"scorer.{name}": values for name, values in judge.scorer.export(rows).items()}
        return {**arrays, **kept, "alarm": judge.alarm.export(rows), "board": self.lane.board.counts(rows)}

    def round(self, received: Int64 | None = None) -> bool:
        """Process one batch if a block is due; returns whether one was.

        Args:
            received: (rows,) counts from the rings; blocks that arrived after them wait for the next round.
        """
        lane, rings, board = self.lane, self.lane.rings, self.lane.board
        rows, lost = rings.skip_backlog(int(rings.capacity_blocks * BACKLOG_SHARE))
        if rows.size:
            with board.writing():
                board.skipped[Skip.OVERLOAD][rows] += lost
        due = rings.take(self.batches.max_batch, received)
        if due is None:
            return False
        began_s = self._clock()
        processed = self.pipeline.process(due, self._conditions(due))
        ended_s = self._clock()
        scored, intervals = processed.scored, processed.intervals
        self._records.add(due, ended_s)
        with board.writing():
            board.blocks_scored[due.rows[scored]] += 1
            for reason, blocks in processed.skipped.items():
                board.skipped[reason][due.rows[blocks]] += 1
            lane.durations.observe_one(ended_s - began_s)
            lane.batches.observe_one(due.rows.size)
            lane.latencies.observe(ended_s - due.arrived_s[scored])
            if intervals is not None:
                closed = np.searchsorted(due.rows, intervals.rows)
                board.post(intervals, due.arrived_s[closed], rings.blocks_taken(intervals.rows))
                self._closed.add(intervals, due.arrived_s[closed], board)
        passed_s, self._ended_s, self._batch = ended_s - self._ended_s, ended_s, due.rows.size
        if passed_s > 0:
            self._busy += ((ended_s - began_s) / passed_s - self._busy) * min(1.0, passed_s / BUSY_S)
        self._closed.hand_over_due(ended_s)
        if intervals is not None:
            if intervals.judgements.changes.rows.size:
                self._changed(intervals.judgements.changes)
            self._learn(intervals, due)
        self.measure_record()
        return True

    def lets_fill(self) -> bool:
        """Whether the next batch should wait for more blocks: the last was small, and such batches take much time."""
        if self._busy < BUSY_SHARE or self._batch >= min(FULL_BATCH, self.batches.max_batch):
            return False
        oldest_s = self.lane.rings.oldest_arrival_s()
        return oldest_s is None or self._clock() - oldest_s < YOUNG_S

    def measure_record(self) -> None:
        """Post velocity and the usual figures of one record, if one is finished."""
        record = self._records.take()
        if record is None or not np.isfinite(record.samples).all():
            return
        rate_hz, samples = record.sampling_rate_hz, record.samples
        figures = usual_figures(samples)
        refused = bool(velocity_refusal(samples.size, rate_hz))
        velocity_mps = np.nan if refused else velocity_rms(samples, rate_hz)
        with self.lane.board.writing():
            self.lane.board.post_usual(record.row, figures, velocity_mps, samples.size / rate_hz)

    def _learn(self, intervals: Intervals, due: DueBlocks) -> None:
        """Gather from closed intervals."""
        gatherer, judged = self.pipeline.gatherer, intervals.judgements
        if not gatherer.active:
            return
        ended_s = due.arrived_s[np.searchsorted(due.rows, intervals.rows)]
        gatherer.close(intervals.rows, judged.refusal, judged.learning, judged.raw, ended_s)
        for row, number, blocks in gatherer.filled():
            self._tell(HeadBlocks(number, blocks, bool(self.pipeline.unforeseen[row] == self._unforeseen.pop(row))))
        self._hand_over()

    def _hand_over(self) -> None:
        gatherer, now_s = self.pipeline.gatherer, self._clock()
        if now_s >= self._hand_over_s or gatherer.fullest > FULL * PENDING:
            self._hand_over_s = now_s + HAND_OVER_S
            gathered = gatherer.take()
            if gathered is not None:
                self._tell(gathered)

    def _conditions(self, due: DueBlocks) -> Float32 | None:
        """The measured values at the arrival of each block; None if no calibration needs any."""
        wanted, lane = (self.pipeline.judge.measured, self.pipeline.gatherer.measured), self.lane
        if not any(each.needed for each in wanted):
            return None
        names = lane.conditions.names
        values = lane.conditions.of(due.rows, due.arrived_s)
        if lane.conditions.names != names:
            return None  # a reload gives the columns other names at this very moment
        for each in wanted:
            each.tell(names)
        return values

    def _changed(self, changes: Changes) -> None:
        self._tell(replace(changes, rows=changes.rows + self.lane.first_row))

    def run(self, connection: Connection) -> None:
        """Work until told to stop; orders come over ``connection``."""
        obeyed = 0
        going_on = True
        while going_on:
            received = self.lane.rings.blocks_received()
            # An order is carried out before the blocks that arrive after it, even if it travels more slowly than they.
            while going_on and (obeyed < self.lane.ordered[0] or connection.poll()):
                going_on = self.obey(connection.recv())
                obeyed += 1
            self.lane.beat_s[0] = self._clock()
            if going_on and not self.round(received):
                self._hand_over()
                self._closed.hand_over_due(self._clock())
                self.measure_record()
                connection.poll(max(self.batches.max_delay_s, SHORTEST_PAUSE_S))
            elif going_on and self.batches.max_delay_s and self.lets_fill():
                connection.poll(self.batches.max_delay_s)


def main() -> None:
    """Run the process; its arguments are two file descriptors: the connection to the daemon, and the lane's memory."""
    connection, descriptor = child.join(NICENESS), int(sys.argv[2])
    try:
        _serve(connection, descriptor)
    except (EOFError, ConnectionError):
        sys.exit(1)  # the daemon is gone
    except Exception:  # noqa: BLE001 - the daemon reports every error that ends this process
        connection.send(Failed(traceback.format_exc()))
        sys.exit(1)


def _serve(connection: Connection, descriptor: int) -> None:
    from monitor.model.engines.engines import load_engine

    start: Start = connection.recv()
    memory = SharedMemory(descriptor, owner=False)
    lane = Lane(start.shape, memory, joining=True).part(start.part)
    memory.close()
    try:
        engine = load_engine(start.artefact, start.engine)
    except MonitorError as error:
        connection.send(Refused(str(error)))
        return
    worker = Worker(lane, engine, tell=connection.send, batches=start.batches)
    lane.beat_s[0] = time.monotonic()
    connection.send(Ready(engine.name, engine.device))
    worker.run(connection)


if __name__ == "__main__":
    main()
