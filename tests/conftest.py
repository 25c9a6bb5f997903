"""What holds for every test."""

from collections.abc import Iterator

import pytest

from tests.support.pending_tasks import no_pending_tasks


@pytest.fixture(autouse=True)
def _no_pending_tasks() -> Iterator[None]:
    with no_pending_tasks():
        yield
