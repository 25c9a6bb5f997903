"""The page's routes: the page itself, its files, the channels as JSON, and the two streams.

A strict Content-Security-Policy lets the browser load everything from this server only. Names from messages never
become markup: they are sent as JSON and inserted as text.
"""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from monitor.runtime.log.internal_errors import InternalErrors, Where, supervised
from monitor.runtime.web.api.openapi import ANY_NAMES, Answer, Operation, Parameter, add_route
from monitor.runtime.web.made_once import MadeOnce
from monitor.runtime.web.page import assets
from monitor.runtime.web.page import captures as evidence
from monitor.runtime.web.page.documents import FleetMessages, channels_document, introduction_document
from monitor.runtime.web.page.fleet import Fleet
from monitor.runtime.web.page.shapes import Channels
from monitor.runtime.web.page.stream import Streams, compact
from monitor.runtime.web.page.watch import PERIOD_S, WORK_SHARE, Watches
from monitor.runtime.web.view import Service, View

SAMPLE_PERIOD_S = 1.0
"""Time between two samples of history, and between two messages about the fleet."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Headers of every answer of the page. The chart library sets inline styles (``unsafe-inline``) and saves pictures
through ``data:`` and ``blob:`` URLs."""


class Page:
    """The page of one service."""

    def __init__(self, service: Service, errors: InternalErrors) -> None:
        """Make a page; ``errors`` counts unexpected errors of its tasks."""
        self.service = service
        self._errors = errors
        self.fleet = Fleet()
        self.messages = FleetMessages(self.fleet)
        self.streams = Streams()
        self.watches = Watches(self.fleet, errors)
        self._channels = MadeOnce(self._channels_body)
        self._config = service.config
        self.sample_period_s = SAMPLE_PERIOD_S
        """Time between two samples of history."""

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """Run the tasks of history and pictures while the server runs."""
        runs = {"page history": self._sample, "page pictures": self._draw}
        tasks = [asyncio.create_task(supervised(run, name, self._errors), name=name) for name, run in runs.items()]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.watches.close()

    async def ending(self, _: web.Application) -> None:
        """Close the streams, so that the server does not wait for clients when it stops."""
        await self.streams.close()

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            with self._errors.contained(Where.TASK, "page history"):
                self._take(self.service.view())
            # A late sample is not made up for: history has at most one sample a second.
            due_s = max(due_s + self.sample_period_s, loop.time())
            await asyncio.sleep(due_s - loop.time())

    def _take(self, view: View) -> None:
        """Take a sample of the fleet, and send what changed."""
        self._config = self.service.config
        self.fleet.sample(view)
        self.messages.publish(view, self.service)

    def _look(self) -> View:
        """The service now; if it was reloaded, channels and labels are others than in the last sample."""
        view = self.service.view()
        if self._config is not self.service.config:
            self._take(view)
        return view

    async def _draw(self) -> None:
        while True:
            await self.watches.wait_for_viewers()
            self._look()
            spent_s = await self.watches.round()
            await asyncio.sleep(max(PERIOD_S - spent_s, spent_s * (1 / WORK_SHARE - 1)))

    async def channels(self, _: web.Request) -> web.Response:
        """All channels with their figures, as JSON."""
        return web.Response(body=self._channels.get(), content_type="application/json", headers=HEADERS)

    def _channels_body(self) -> bytes:
        return compact(channels_document(self.fleet, self._look(), self.service))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """The fleet as server-sent events."""
        self._look()
        return await self.streams.serve(request, self.messages.follow, HEADERS)

    async def channel_stream(self, request: web.Request) -> web.StreamResponse:
        """One channel, named by its labels in the query, as server-sent events."""
        view = self._look()
        labels = tuple(request.query.get(name, "") for name in view.label_names)
        place = self.fleet.places.get(labels)
        if place is None:
            text = f"no channel has these values of the labels {', '.join(view.label_names)}\n"
            return web.Response(status=404, text=text, headers=HEADERS)
        introduction = introduction_document(self.fleet, place, view, self.service)
        return await self.streams.serve(request, lambda: self.watches.messages(labels, introduction), HEADERS)


PAGE = web.AppKey("page", Page)


def add_page(app: web.Application, service: Service, errors: InternalErrors) -> None:
    """Add the page to a server: its routes, and its background tasks while the server runs."""
    app[PAGE] = page = Page(service, errors)
    app.cleanup_ctx.append(page.running)
    app.on_shutdown.append(page.ending)
    add_route(app, "GET", "/api/v1/channels", page.channels, CHANNELS)
    add_route(app, "GET", "/api/v1/stream", page.stream, FLEET_STREAM)
    add_route(app, "GET", "/api/v1/channels/stream", page.channel_stream, CHANNEL_STREAM)
    assets.add_assets(app, HEADERS)
    evidence.add_evidence(app, service, HEADERS)


CHANNELS = Operation(
    "All channels with their latest figures.", {200: Answer("What the page shows of each.", shape=Channels)}
)
EVENTS = Answer("Server-sent events of the live page; they may change with any version.", "text/event-stream")
FULL = Answer("Too many viewers; try again later.")
FLEET_STREAM = Operation("All channels live, for the page.", {200: EVENTS, 503: FULL})
CHANNEL_STREAM = Operation(
    "One channel live, for the page.",
    {200: EVENTS, 404: Answer("There is no such channel."), 503: FULL},
    query={"labels": Parameter("The channel's labels, a parameter each.", ANY_NAMES)},
)
