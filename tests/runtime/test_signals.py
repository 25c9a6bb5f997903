import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from monitor.runtime import signals
from monitor.runtime.processes import garbage


def test_what_a_start_made_is_left_out_of_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a thousand channels a full collection would hold up the event loop for 50 ms."""
    did: list[str] = []

    async def done(what: str) -> None:
        did.append(what)

    daemon: Any = SimpleNamespace(
        start=lambda: done("start"),
        serve=lambda: done("serve"),
        close=lambda: done("close"),
        address="",
        config=SimpleNamespace(sensors=()),
        ingest=SimpleNamespace(channels=()),
    )
    monkeypatch.setattr(garbage, "settle", lambda: did.append("settle"))
    asyncio.run(signals.run_daemon(daemon))
    assert did == ["start", "settle", "serve", "close"]
