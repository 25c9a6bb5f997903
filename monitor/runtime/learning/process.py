"""The daemon's side of the learner: starts the process, and carries messages to and from it on two threads."""

import queue
import threading
from collections.abc import Callable
from pathlib import Path

from monitor.runtime.learning.messages import Answer, Feed, Job
from monitor.runtime.processes import child

MOST_WAITING = 64
"""Messages with what was gathered that may wait for the learner. Fewer: a machine that is busy for a minute loses
intervals. More: more memory, up to 0.7 MB each at a thousand channels."""


class LearnerProcess:
    """The running learner."""

    def __init__(self, folder: Path, hear: Callable[[Answer | None], object]) -> None:
        """Start it.

        Args:
            folder: where it keeps its files.
            hear: called on a thread with each answer; with None when the process has ended by itself.

        Raises:
            OSError, RuntimeError: the system refuses another process or thread.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._hear = hear
        self._outbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(MOST_WAITING)
        self._ending = False
        self.process, self._connection = child.start("monitor.runtime.learning.learner", str(folder))
        self._threads = [
            threading.Thread(target=self._speak, name="to-learner", daemon=True),
            threading.Thread(target=self._listen, name="from-learner", daemon=True),
        ]
        child.accompany(self.process, self._threads)

    @property
    def pid(self) -> int:
        """Process identifier."""
        return self.process.pid

    def send(self, job: Job) -> bool:
        """Send a job; returns whether it was sent: what is gathered is not, while too much of it waits."""
        if isinstance(job, Feed) and not self._room.acquire(blocking=False):
            return False
        self._outbox.put(job)
        return True

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the process after the jobs that wait, or after the time."""
        self._ending = True
        self._outbox.put(None)
        child.end(self.process, timeout_s)
        for thread in self._threads:
            thread.join()
        self._connection.close()

    def _speak(self) -> None:
        while (job := self._outbox.get()) is not None:
            if isinstance(job, Feed):
                self._room.release()
            try:
                self._connection.send(job)
            except OSError:
                return  # the process has ended; the listening thread reports it
        try:
            self._connection.send(None)
        except OSError:
            return

    def _listen(self) -> None:
        try:
            while True:
                self._hear(self._connection.recv())
        except (EOFError, OSError):
            if not self._ending:
                self._hear(None)
