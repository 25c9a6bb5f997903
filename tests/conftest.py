"""What holds for every test."""

from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support.event_loop.pending_tasks import no_pending_tasks

DAEMONS = ("tests/system/", "tests/faults/")
"""Tests of whole daemons, which are timed and need a processor each: never two of them at once."""


class DaemonsBesideTheRest(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """With `-n 2`: one process has the tests of whole daemons one after the other, the other one the rest by file."""

    def _split_scope(self, nodeid: str) -> str:
        return "daemons" if nodeid.startswith(DAEMONS) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> DaemonsBesideTheRest:
    return DaemonsBesideTheRest(config, log)


@pytest.fixture(autouse=True)
def _no_pending_tasks() -> Iterator[None]:
    with no_pending_tasks():
        yield
