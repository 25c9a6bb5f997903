"""The daemon's side of the workers of one lane: starts them, sends orders, receives answers, ends them.

A worker is a process because of Python's global interpreter lock: a thread would compete with the event loop for the
lock between any two array operations. The event loop never waits for a worker: two threads for each worker send the
orders and receive the answers.
"""

import asyncio
import itertools
import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

import numpy as np

from monitor.core.arrays import Arrays, Int64
from monitor.core.learning.gather import Gathered
from monitor.core.scoring.alarm import Changes
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.errors import ArtefactError, MonitorError
from monitor.model.artefact.artefact import Artefact
from monitor.model.engines.engines import EngineName
from monitor.runtime.lanes.closed import Closed
from monitor.runtime.lanes.lane import Lane, LaneShape
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

READY_S = 60.0
"""Longest wait for a worker to load its model. ONNX Runtime takes 0.3 s; TensorFlow compiles for a GPU for tens of
seconds. Shorter: a slow start fails. Longer: a hanging engine is reported later."""


class WorkerError(RuntimeError):
    """A worker ended unexpectedly."""


class Inference:
    """The workers of one lane."""

    def __init__(
        self,
        shape: LaneShape,
        artefact: Artefact,
        engine: EngineName,
        batches: Batches,
        *,
        on_changes: Callable[[Lane, Changes], object] = lambda _lane, _changes: None,
        on_failure: Callable[[WorkerError], object] = lambda _: None,
        on_learning: Callable[[Gathered | HeadBlocks], None] = lambda _: None,
        on_closed: Callable[["Inference", Closed], object] = lambda _inference, _closed: None,
    ) -> None:
        """Start the processes; :meth:`wait_until_ready` waits until they have loaded the model.

        Args:
            shape: sizes of the lane.
            artefact: the model.
            engine: library that runs it.
            batches: limits of a batch.
            on_changes: called with changed alarm states, on the worker's listening thread.
            on_failure: called on the same thread when a worker ends unexpectedly after it was ready.
            on_learning: called on the same thread with what channels learn from.
            on_closed: called on the same thread with closed intervals, once :meth:`report` asked for them.

        Raises:
            OSError, RuntimeError: the system refuses another process or thread; none is left running.
        """
        memory = SharedMemory.create()
        self.lane = Lane(shape, memory)
        self._on_changes = on_changes
        self._on_failure = on_failure
        self._on_learning = on_learning
        self._on_closed = on_closed
        self.clears: Int64 = np.zeros(shape.channels, np.int64)
        """(rows,) how often each row was cleared."""
        self._numbers: weakref.WeakKeyDictionary[Calibration, int] = weakref.WeakKeyDictionary()
        self._next_number = itertools.count()
        self._questions: dict[int, Future[Arrays]] = {}
        self._workers: list[_Process] = []
        try:
            for part in range(shape.parts):
                start = Start(shape, part, artefact, engine, batches)
                self._workers.append(_Process(self.lane, part, memory.descriptor, start, self._heard))
        except BaseException:
            self.stop()
            raise
        finally:
            memory.close()

    def wait_until_ready(self) -> Ready:
        """Wait until every worker has loaded the model; returns the first one's answer, all run the same engine.

        Raises:
            ArtefactError: a model cannot be used here.
            MonitorError: a worker ended for another reason.
        """
        try:
            answers = [worker.ready.result(READY_S) for worker in self._workers]
        except WorkerError as error:
            raise MonitorError(f"{self.lane.name}: {error}") from error
        except TimeoutError as error:
            raise ArtefactError(
                f"models.{self.lane.name}: an inference process did not load the model within {READY_S:g} s; "
                "check the machine's load and inference.engine"
            ) from error
        return answers[0]

    @property
    def pids(self) -> list[int]:
        """Process identifiers of the workers."""
        return [worker.process.pid for worker in self._workers]

    def beat_s(self) -> float:
        """The oldest of the workers' last heartbeats, a monotonic instant."""
        return float(self.lane.beat_s.min())

    def clear(self, row: int, received: int) -> None:
        """Reset a row before the blocks that arrive from now on; see :class:`Clear`."""
        self.clears[row] += 1
        self._order(row, Clear(row, received))

    def configure(self, order: Configure, calibration: Calibration | None) -> None:
        """Set a row's settings and calibration; channels with the same calibration object share work."""
        number = None if calibration is None else self._number(calibration)
        self._order(order.row, replace(order, calibration=number))

    def measured(self, order: Measured) -> None:
        """Tell the worker whether a row's samples arrive at another rate than the configured one."""
        self._order(order.row, order)

    def learn(self, order: Gather | TakeTurn) -> None:
        """Have a row's channel learn, or take blocks for its head."""
        self._order(order.row, order)

    def restore(self, order: Restore) -> None:
        """Restore what an earlier run saved of a row."""
        self._order(order.row, order)

    def report(self, wanted: bool) -> None:
        """Have all closed intervals of channels with a calibration handed over from now on, or no longer."""
        self._order_all(Report(wanted))

    def rebatch(self, batches: Batches) -> None:
        """Use new limits of a batch from now on."""
        self._order_all(batches)

    def collect(self, part: int, rows: Sequence[int], *, last: bool = False, points: bool = False) -> "Future[Arrays]":
        """Ask for the state of ``rows`` of one part; the answer keeps their order.

        Args:
            part: number of the part.
            rows: row numbers in the whole lane.
            last: whether the worker ends after its answer.
            points: whether to answer also where another process can go on.
        """
        first = self.lane.rings.borders[part]
        number = next(self._next_number)
        answer = self._questions[number] = Future()
        self._workers[part].send(Collect(number, tuple(row - first for row in rows), last, points))
        return answer

    async def obeyed(self) -> None:
        """Wait until every order given so far has been carried out, at most ``READY_S``; for the start."""
        answers = [self.collect(part, ()) for part in range(self.lane.shape.parts)]
        await asyncio.wait([asyncio.wrap_future(answer) for answer in answers], timeout=READY_S)

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Stop the workers, and kill those that do not end in time; returns whether all ended by themselves."""
        self._order_all(Stop())
        ended = [worker.end(timeout_s) for worker in self._workers]
        return all(ended)

    def _number(self, calibration: Calibration) -> int:
        number = self._numbers.get(calibration)
        if number is None:
            number = self._numbers[calibration] = next(self._next_number)
            self._order_all(Keep(number, calibration))
            # The workers forget it once no channel has it. The calibration may outlive this object, hence the weakref.
            weakref.finalize(calibration, _forget, weakref.ref(self), number).atexit = False
        return number

    def _order(self, row: int, order: Clear | Configure | Measured | Gather | TakeTurn | Restore) -> None:
        part = self.lane.rings.part_of(row)
        self._workers[part].send(replace(order, row=row - self.lane.rings.borders[part]))

    def _order_all(self, order: Order) -> None:
        for worker in self._workers:
            worker.send(order)

    def _heard(self, answer: Answer | WorkerError) -> None:
        if isinstance(answer, Changes):
            self._on_changes(self.lane, answer)
        elif isinstance(answer, Collected):
            question = self._questions.pop(answer.number)
            if question.set_running_or_notify_cancel():  # False if the caller has given up
                question.set_result(answer.arrays)
        elif isinstance(answer, Gathered | HeadBlocks):
            self._on_learning(answer)
        elif isinstance(answer, Closed):
            self._on_closed(self, answer)
        elif isinstance(answer, WorkerError):
            self._on_failure(answer)


def _forget(inference: "weakref.ref[Inference]", number: int) -> None:
    workers = inference()
    if workers is not None:
        workers._order_all(Keep(number, None))  # noqa: SLF001 - a method's second half


class _Process:
    """One worker's process, and two threads that carry messages to and from it."""

    def __init__(
        self, lane: Lane, part: int, memory: int, start: Start, hear: Callable[[Answer | WorkerError], None]
    ) -> None:
        self.ready: Future[Ready] = Future()
        self._lane, self._part, self._hear = lane, part, hear
        self._counter = itertools.count(1)
        self._outbox: queue.SimpleQueue[Start | Order | None] = queue.SimpleQueue()
        self._ending = False
        self.process, self._connection = child.start("monitor.runtime.lanes.worker", str(memory), inherited=[memory])
        self._outbox.put(start)
        name = f"{lane.name}-{part}"
        self._threads = [
            threading.Thread(target=self._speak, name=f"to-{name}", daemon=True),
            threading.Thread(target=self._listen, name=f"from-{name}", daemon=True),
        ]
        child.accompany(self.process, self._threads)

    def send(self, order: Order) -> None:
        """Send an order; it is carried out before blocks that arrive after this call."""
        self._ending = self._ending or isinstance(order, Stop) or (isinstance(order, Collect) and order.last)
        self._lane.ordered[self._part] = next(self._counter)
        self._outbox.put(order)

    def end(self, timeout_s: float) -> bool:
        """Wait for the process to end, and kill it after ``timeout_s``; returns whether it ended by itself."""
        self._ending = True
        by_itself = child.end(self.process, timeout_s)
        self._outbox.put(None)
        for thread in self._threads:
            thread.join()
        self._connection.close()
        return by_itself

    def _speak(self) -> None:
        while (message := self._outbox.get()) is not None:
            try:
                self._connection.send(message)
            except OSError:
                return  # the worker ended; the listening thread reports it

    def _listen(self) -> None:
        reason = "an answer of the inference process could not be handled"
        try:
            while True:
                self._take(self._connection.recv())
        except (EOFError, OSError):
            reason = f"the inference process ended: status {self.process.wait()}"
        finally:
            # Without this thread alarms would be lost, so its end ends the daemon.
            if not self._ending:
                self._lost(reason)

    def _take(self, answer: Answer) -> None:
        match answer:
            case Ready():
                self.ready.set_result(answer)
            case Refused(reason):
                self._ending = True
                self.ready.set_exception(ArtefactError(reason))
            case Failed(traceback):
                self._ending = True
                self._lost(f"the inference process failed:\n{traceback}")
            case _:
                self._hear(answer)

    def _lost(self, text: str) -> None:
        error = WorkerError(text)
        if self.ready.done():
            self._hear(error)
        else:
            self.ready.set_exception(error)
