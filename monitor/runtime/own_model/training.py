"""Runs the command that trains and judges a plant's own model, as a process that takes what nobody else wants.

TensorFlow takes half a gigabyte and all cores that it gets, and may be killed. So it never runs in the daemon. The
process gets one thread and the lowest priority; what it says goes to the log.
"""

import asyncio
import contextlib
import logging
import os
from pathlib import Path

from monitor.runtime.log.printable import printable
from monitor.runtime.processes import interpreter

LOG = logging.getLogger(__name__)

NICENESS = 19

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # it writes machine code, which the unit's MemoryDenyWriteExecute refuses
    "CUDA_VISIBLE_DEVICES": "",  # the GPU, if there is one, forecasts
}

END_S = 5.0
"""Longest wait for the process to end when it is told to."""


async def train(folder: Path) -> str:
    """Train and judge the model in the folder of an own model; cancelling ends the process.

    Returns:
        Why it failed; empty: it did not.
    """
    command = interpreter.command("monitor", "train", "--learned", str(folder))
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=2**20,
            env={**os.environ, **ENVIRONMENT},
        )
    except OSError as error:
        return f"the process cannot be started: {error.strerror or error}"
    try:
        _stand_back(process.pid)
        said = ""
        assert process.stderr is not None  # noqa: S101 - it is a pipe
        async for line in process.stderr:
            said = printable(line.decode(errors="replace").strip())[:500] or said
            LOG.info("training: %s", said)
        status = await process.wait()
    finally:
        if process.returncode is None:
            await _end(process)
    if status < 0:
        return f"the process was killed by signal {-status}; is there enough memory? {said}"
    return f"{said} (status {status})" if status else ""


def _stand_back(pid: int) -> None:
    """Have a process run only when nobody else wants to, and be killed first where memory is short."""
    with contextlib.suppress(OSError):  # it may have ended, or a sandbox may refuse one of them
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000", encoding="ascii")
        os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(END_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
