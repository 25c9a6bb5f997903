"""Tasks that asynchronous code leaves behind: ``asyncio.run`` cancels them without a word, here they are told.

A task that was cancelled and not waited for counts too: nobody would hear of an error in its end.
"""

import asyncio
import contextlib
import gc
import logging
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar
from unittest import mock

Result = TypeVar("Result")

GRACE_TURNS = 20
"""Turns of the event loop that tasks have to end by themselves: connections need some after their last byte."""


class _Complaints(logging.Handler):
    """What asyncio logs of tasks as an error: destroyed while pending, or an exception that nobody asked for.

    Futures are left out: aiomqtt leaves one with an exception when a broker goes away.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("Task "):
            self.texts.append(record.getMessage())


@contextlib.contextmanager
def no_pending_tasks() -> Iterator[None]:
    """Fail at the end of the block with the tasks that any ``asyncio.run`` within it left behind."""
    left: list[str] = []
    runs = 0
    run = asyncio.run

    async def checked(main: Coroutine[Any, Any, Result]) -> Result:
        result = await main
        for _ in range(GRACE_TURNS):
            if len(asyncio.all_tasks()) == 1:
                break
            await asyncio.sleep(0)
        left.extend(repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task())
        return result

    def checking_run(main: Coroutine[Any, Any, Result], **options: Any) -> Result:
        nonlocal runs
        runs += 1
        return run(checked(main), **options)

    complaints = _Complaints()
    logging.getLogger("asyncio").addHandler(complaints)
    try:
        with mock.patch.object(asyncio, "run", checking_run):
            yield
        if runs:
            gc.collect()  # a task in a circle of references is destroyed no earlier
    finally:
        logging.getLogger("asyncio").removeHandler(complaints)
    assert not left, "tasks were left pending:\n" + "\n".join(left)
    assert not complaints.texts, "\n".join(complaints.texts)
