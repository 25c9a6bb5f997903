"""The daemon's side of the process that diagnoses: one look at a time, on a thread of its own.

The process is started by the first look, and ends when nothing was asked for a while, or a look took too long.
"""

import asyncio
import subprocess
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection

from monitor.runtime.diagnosis.messages import Answer, Look, Unable
from monitor.runtime.processes import child

LONGEST_S = 300.0
"""Seconds after which a look is given up. Less: a busy machine names nothing. More: one odd record keeps others
waiting."""

IDLE_S = 300.0
"""Seconds without a look after which the process ends. Less: it starts again and again. More: 40 MB for nothing."""


class DiagnosisProcess:
    """Has looks done."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="diagnosis")
        self._running: tuple[subprocess.Popen[bytes], Connection] | None = None

    @property
    def pid(self) -> int | None:
        """Process identifier; None: it does not run."""
        return None if self._running is None else self._running[0].pid

    async def do(self, look: Look) -> Answer:
        """Have a look done; an answer comes in every case."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, look)

    async def rest(self) -> None:
        """End the process until the next look."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._end)

    def close(self) -> None:
        """End the process and the thread; a look that is being done is given up."""
        if self._running is not None:
            self._running[0].kill()
        self._thread.submit(self._end)
        self._thread.shutdown(wait=True)

    def _do(self, look: Look) -> Answer:
        try:
            if self._running is None:
                self._running = child.start("monitor.runtime.diagnosis.diagnoser")
            _, connection = self._running
            connection.send(look)
            if connection.poll(LONGEST_S):
                found: Answer = connection.recv()
                return found
            reason = f"the diagnosis took longer than {LONGEST_S:g} s"
        except (EOFError, OSError) as error:
            reason = f"the process that diagnoses ended: {error or 'without a word'}"
        self._end()
        return Unable(reason)

    def _end(self) -> None:
        if self._running is not None:
            process, connection = self._running
            self._running = None
            connection.close()
            child.end(process, 1.0)
