"""Baselines over HTTP: what each channel was learned from, its calibration file, and what a person may do.

Documents are made on a thread: those of a thousand channels take longer than the event loop may.
"""

import asyncio
from functools import partial

from aiohttp import web
from pydantic import ValidationError

from monitor.errors import ArtefactError, ConfigurationError
from monitor.runtime.baselines.changes import Action, Outcome, Parcel, Wish, chosen, why
from monitor.runtime.baselines.documents import Summary, detailed, details, summaries
from monitor.runtime.web.api.answers import HEADERS, json_answer, json_body, text_answer
from monitor.runtime.web.api.openapi import MANY, Answer, Operation, Parameter, Shape, add_route
from monitor.runtime.web.border.permission import Permission
from monitor.runtime.web.table import read_weights
from monitor.runtime.web.view import Service


class Baselines:
    """The handlers."""

    def __init__(self, service: Service, permission: Permission) -> None:
        self._service = service
        self._permission = permission

    async def listing(self, request: web.Request) -> web.Response:
        """All channels, or those of the query's ``channel`` patterns; with ``details=1`` everything about them."""
        desk = self._service.baselines
        known, configured = await asyncio.to_thread(lambda: (desk.known(), desk.configured()))
        if patterns := request.query.getall("channel", []):
            try:
                known = await asyncio.to_thread(chosen, known, patterns)
            except ConfigurationError as error:
                return text_answer(404, str(error))
        about = summaries
        if request.query.get("details") == "1":
            view, few = self._service.view(), detailed(known)
            present = [channel for channel in view.ingest.channels.values() if channel.name in few]
            weights = dict(zip((channel.name for channel in present), read_weights(view, present), strict=True))
            about = partial(details, weights=weights)
        document = {
            "may_change": self._permission.may_change(request),
            "token": self._permission.token_for(request),
            "learning": desk.learns(),
            "problems": sorted(desk.store.problems.copy().values()),
            "channels": await asyncio.to_thread(about, desk.store, known, configured),
        }
        return json_answer(await asyncio.to_thread(json_body, document))

    async def file(self, request: web.Request) -> web.Response:
        """The calibration file of one channel's current baseline."""
        desk = self._service.baselines
        labels = (await asyncio.to_thread(desk.known)).get(request.query.get("channel", ""))
        history = None if labels is None else desk.store.history(labels)
        if history is None or history.current is None:
            return text_answer(404, "name a channel that has a baseline, in the query's 'channel'")
        try:
            body = await asyncio.to_thread(desk.store.file_bytes, history)
        except ArtefactError as error:
            return text_answer(404, str(error))
        disposition = f'attachment; filename="{history.file_name(history.current)}"'
        headers = HEADERS | {"Content-Disposition": disposition}
        return web.Response(body=body, content_type="application/octet-stream", headers=headers)

    async def change(self, action: Action, request: web.Request) -> web.Response:
        """Do something to the baselines of the channels that the body names."""
        if (refusal := self._permission.refused(request)) is not None:
            return refusal
        try:
            wish = Wish.model_validate_json(await request.read())
            outcome = await self._service.baselines.change(action, wish)
        except ValidationError as error:
            return text_answer(400, f"{action}: {why(error)}")
        except ConfigurationError as error:
            return text_answer(404, str(error))
        return _told(outcome)

    async def bring(self, request: web.Request) -> web.Response:
        """Make the baseline in the body the current one of its channel."""
        if (refusal := self._permission.refused(request)) is not None:
            return refusal
        try:
            parcel = Parcel.model_validate_json(await request.read())
        except ValidationError as error:
            return text_answer(400, f"import: {why(error)}")
        # With a history the labels were those of a channel; without, a person wrote them.
        if parcel.history is None and (problem := self._service.config.why_no_channel(parcel.labels)):
            return text_answer(400, f"import: {problem}")
        return _told(await self._service.baselines.bring(parcel))


def add_baselines(app: web.Application, service: Service, permission: Permission) -> None:
    """Add the routes of the baselines."""
    handlers = Baselines(service, permission)
    add_route(app, "GET", "/api/v1/baselines", handlers.listing, LISTING)
    add_route(app, "GET", "/api/v1/baselines/file", handlers.file, FILE)
    add_route(app, "POST", "/api/v1/baselines/import", handlers.bring, IMPORT)
    for action, summary in ACTIONS.items():
        operation = Operation(summary, CHANGED, body=Wish)
        add_route(app, "POST", f"/api/v1/baselines/{action}", partial(handlers.change, action), operation)


class Listing(Shape):
    """What channels were learned from."""

    may_change: bool
    """Whether the client that asked may change something."""
    token: str | None
    """The token that its changes need; null: none, or it may not change anything."""
    learning: bool
    """Whether channels learn (``learning.enabled``)."""
    problems: list[str]
    """Baselines that cannot be used, and why."""
    channels: list[Summary]
    """The channels by name."""


class Told(Shape):
    """What became of a change."""

    changed: dict[str, int | None]
    """The changed channels by name, with the number of the baseline that each has now; null: none."""
    refused: dict[str, str]
    """Why other channels were not changed, by name."""


NO_CHANNEL = Answer("No channel fits, or it has no baseline.")
CHANGED = {
    200: Answer("At least one channel was changed.", shape=Told),
    400: Answer("The body is not what it should be."),
    403: Answer("The client may not change anything; the text says how it may."),
    404: NO_CHANNEL,
    409: Answer("No channel was changed.", shape=Told),
    415: Answer("The body is not JSON."),
}
LISTING = Operation(
    "What each channel was learned from, and by whom it was changed.",
    {200: Answer("The channels, and what the client may do.", shape=Listing), 404: NO_CHANNEL},
    query={
        "channel": Parameter("Glob pattern over channels' names: only those.", MANY),
        "details": Parameter("`1`: all baselines, changes and learned conditions, of at most 100 channels."),
    },
)
FILE = Operation(
    "The calibration file of one channel's current baseline.",
    {200: Answer("The file.", "application/octet-stream"), 404: NO_CHANNEL},
    query={"channel": Parameter("The channel's name.")},
)
IMPORT = Operation(
    "Make a baseline from elsewhere the current one of its channel.",
    {status: answer for status, answer in CHANGED.items() if status != 404},
    body=Parcel,
)
ACTIONS = {
    Action.LEARN: "Let channels learn anew.",
    Action.EXTEND: "Let channels learn further conditions beside those that they know.",
    Action.ACCEPT: "Lock the provisional baselines of channels.",
    Action.REVERT: "Go back to earlier baselines of channels.",
}


def _told(outcome: Outcome) -> web.Response:
    return json_answer(json_body(outcome.document()), 200 if outcome.changed else 409)
