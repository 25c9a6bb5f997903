"""The last net: what it catches, counts, logs, and starts again."""

import asyncio
import logging

import pytest

from monitor.runtime.log.internal_errors import RESTART_LONGEST_S, InternalErrors, Where, supervised


def test_an_error_ends_with_its_block_and_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    errors = InternalErrors(lambda: 0.0)
    for _ in range(3):
        with errors.contained(Where.MESSAGE, "plant/fan\n1"):
            int("no number")
    assert errors.counts == {Where.MESSAGE: 3}
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "one message is lost: 'plant/fan\\n1'" in record.getMessage()
    assert record.exc_info is not None


def test_errors_of_different_places_are_logged_each(caplog: pytest.LogCaptureFixture) -> None:
    errors = InternalErrors(lambda: 0.0)
    with errors.contained(Where.MESSAGE, "a"):
        int("no number")
    with errors.contained(Where.MESSAGE, "a"):
        int("no number")
    assert len(caplog.records) == 2


def test_cancellation_passes() -> None:
    errors = InternalErrors(lambda: 0.0)
    with pytest.raises(asyncio.CancelledError), errors.contained(Where.TASK, "x"):
        raise asyncio.CancelledError
    assert not errors.counts


async def _failing(errors: InternalErrors, times: int) -> list[float]:
    waits: list[float] = []

    async def sleep(wait_s: float) -> None:
        waits.append(wait_s)
        if len(waits) == times:
            raise asyncio.CancelledError

    async def run() -> None:
        raise ValueError("x")

    with pytest.raises(asyncio.CancelledError):
        await supervised(run, "helper", errors, sleep)
    return waits


def test_a_helper_task_that_fails_is_started_again_ever_more_slowly() -> None:
    errors = InternalErrors(lambda: 0.0)
    waits = asyncio.run(_failing(errors, 8))
    assert waits[:3] == [1.0, 2.0, 4.0]
    assert waits[-1] == RESTART_LONGEST_S
    assert errors.counts == {Where.TASK: 8}
