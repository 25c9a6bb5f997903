"""The one thread that forecasts: takes due blocks from the rings, pushes them through the pipelines, posts the figures.

The event loop never waits for it; they share the rings (one writer, one reader) and a board of latest figures under a
short lock. When it cannot keep up, the whole backlog of a channel is given up once it reaches a limit, counted, and the
channel's context starts anew: every channel loses its share, none is starved, and what is scored is fresh. Refuses to
know: MQTT, HTTP, what a score means.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from monitor.core.alarm import Changes
from monitor.core.forecaster import CarriedForecaster, Engine, WindowedForecaster
from monitor.core.pipeline import Pipeline
from monitor.core.rings import Rings
from monitor.runtime.board import Board, Skip
from monitor.runtime.histogram import Histogram

LOG = logging.getLogger(__name__)

BACKLOG_SHARE = 0.75
"""Share of a channel's ring that may be waiting before it is given up. Lower: short stalls cost data. Higher: the
writer runs into the reader before the reader gives way, and new samples are lost instead of old ones."""

LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
DURATION_BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)


@dataclass
class Lane:
    """Everything that belongs to one model: its engine, and the channels that it forecasts."""

    name: str
    """The model's name in the configuration."""
    engine: Engine
    """Runs the network."""
    rings: Rings
    """The channels' samples."""
    pipeline: Pipeline
    """From blocks to intervals."""
    board: Board
    """The latest figures."""
    viewer: Engine | None = None
    """A second engine of the same network for those who look, on their own thread; None: nobody looks."""
    durations: Histogram = field(default_factory=lambda: Histogram(DURATION_BOUNDS_S))
    """Seconds of one batch through the pipeline."""
    batches: Histogram = field(default_factory=lambda: Histogram(BATCH_BOUNDS))
    """Blocks in a batch."""
    latencies: Histogram = field(default_factory=lambda: Histogram(LATENCY_BOUNDS_S))
    """Seconds from the arrival of a block's last sample to its score."""


def make_lane(name: str, engine: Engine, channels: int, *, capacity_blocks: int, level_blocks: int, mode: str) -> Lane:
    """A lane with ``channels`` empty rows; ``mode`` is ``carried`` or ``windowed``."""
    forecaster = CarriedForecaster(engine, channels) if mode == "carried" else WindowedForecaster(engine, channels)
    return Lane(
        name,
        engine,
        Rings(channels, capacity_blocks, engine.block_samples),
        Pipeline(forecaster, channels, engine.block_samples, level_blocks),
        Board(channels),
    )


class Inference:
    """Runs the lanes on one thread."""

    def __init__(
        self,
        lanes: list[Lane],
        clock: Callable[[], float],
        on_failure: Callable[[BaseException], None],
        on_changes: Callable[[Lane, Changes], None] = lambda _lane, _changes: None,
        *,
        max_batch: int = 1024,
        max_delay_s: float = 0.005,
    ) -> None:
        """Make the thread's object; :meth:`start` starts it.

        Args:
            lanes: what to run.
            clock: monotonic seconds.
            on_failure: told, on the inference thread, of an error that ended it.
            on_changes: told, on the inference thread, of changed alarm states.
            max_batch: most blocks in one batch.
            max_delay_s: pause when nothing is due, during which the next batch fills.
        """
        self.lanes = lanes
        self.beat_s = clock()
        """Monotonic instant of the last sign of life."""
        self.paused = threading.Lock()
        """Held while a round runs; whoever else holds it may change the lanes."""
        self._clock = clock
        self._on_failure = on_failure
        self._on_changes = on_changes
        self.max_batch = max_batch
        self.max_delay_s = max_delay_s
        self._orders: deque[Callable[[], None]] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Ask the thread to end after its present batch; returns whether it did in time."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def submit(self, order: Callable[[], None]) -> None:
        """Have ``order`` run on the inference thread before any block that is appended after this call."""
        self._orders.append(order)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                with self.paused:
                    self.obey()
                    worked = [self.round(lane) for lane in self.lanes]
                self.beat_s = self._clock()
                if not any(worked):
                    self._stop.wait(self.max_delay_s or 0.0005)
        except BaseException as error:  # noqa: BLE001 - the daemon must hear of everything that ends this thread
            self._on_failure(error)

    def obey(self) -> None:
        """Run what was submitted."""
        while self._orders:
            self._orders.popleft()()

    def round(self, lane: Lane) -> bool:
        """Process one batch of a lane if a block is due; returns whether one was."""
        rings, board = lane.rings, lane.board
        rows, lost = rings.skip_backlog(int(rings.capacity_blocks * BACKLOG_SHARE))
        if rows.size:
            with board.lock:
                board.skipped[Skip.OVERLOAD][rows] += lost
        due = rings.take(self.max_batch)
        if due is None:
            return False
        began_s = self._clock()
        processed = lane.pipeline.process(due)
        ended_s = self._clock()
        scored = processed.scored
        with board.lock:
            board.blocks_scored[due.rows[scored]] += 1
            board.skipped[Skip.WARM_UP][due.rows[~scored]] += 1
            lane.durations.observe_one(ended_s - began_s)
            lane.batches.observe_one(due.rows.size)
            lane.latencies.observe(ended_s - due.arrived_s[scored])
            if processed.intervals is not None:
                closed = np.searchsorted(due.rows, processed.intervals.rows)
                rows = processed.intervals.rows
                board.post(processed.intervals, due.arrived_s[closed], rings.blocks_received(rows))
        if processed.intervals is not None and processed.intervals.judgements.changes.rows.size:
            self._on_changes(lane, processed.intervals.judgements.changes)
        return True
