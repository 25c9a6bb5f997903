"""The page of a plant, served to a test and its client."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp.test_utils import BaseTestServer, TestServer

from monitor.config.configuration import Http
from monitor.runtime.web.page.routes import PAGE, Page
from monitor.runtime.web.server import make_app
from tests.support.page.page_plant import Plant

Story = Callable[[BaseTestServer, aiohttp.ClientSession, Page], Awaitable[None]]


def told(plant: Plant, story: Story) -> None:
    """Run a story with a server of the plant's page and a client."""

    async def main() -> None:
        app = make_app(plant, Http())
        app[PAGE].sample_period_s = 3600.0  # the story says when a second has passed
        connector = aiohttp.TCPConnector(limit=0)
        async with TestServer(app) as server, aiohttp.ClientSession(connector=connector) as client:
            await asyncio.wait_for(story(server, client, app[PAGE]), 60)

    asyncio.run(main())


async def next_event(answer: aiohttp.ClientResponse) -> tuple[str, dict[str, Any]]:
    """The next server-sent event: its kind and document."""
    kind, data = "", b""
    while line := (await answer.content.readuntil(b"\n")).strip():
        name, _, value = line.partition(b": ")
        if name == b"event":
            kind = value.decode()
        else:
            data = value
    return kind, json.loads(data)


def tick(page: Page) -> None:
    """What the page does once a second."""
    page._take(page.service.view())
