"""The check for pending tasks bites."""

import asyncio

import pytest

from tests.support.event_loop.pending_tasks import no_pending_tasks


@pytest.fixture
def _no_pending_tasks() -> None:
    """In place of the check that every test has, which would find what these leave behind."""


async def forever() -> None:
    await asyncio.Event().wait()


def test_a_task_that_is_waited_for_is_fine() -> None:
    async def story() -> None:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with no_pending_tasks():
        asyncio.run(story())


def test_a_task_left_pending_is_named() -> None:
    kept = []

    async def story() -> int:
        kept.append(asyncio.create_task(forever(), name="forgotten"))
        return 7

    with pytest.raises(AssertionError, match=r"left pending:\n.*forgotten"), no_pending_tasks():
        assert asyncio.run(story()) == 7


def test_an_exception_that_nobody_asks_for_is_told() -> None:
    async def fail() -> None:
        raise ValueError("unheard")

    async def story() -> None:
        task = asyncio.create_task(fail())
        await asyncio.wait([task])

    with pytest.raises(AssertionError, match="never retrieved"), no_pending_tasks():
        asyncio.run(story())


def test_a_failure_of_the_test_itself_is_what_is_told() -> None:
    kept = []

    async def story() -> None:
        kept.append(asyncio.create_task(forever()))
        raise LookupError("the test's own")

    with pytest.raises(LookupError), no_pending_tasks():
        asyncio.run(story())
