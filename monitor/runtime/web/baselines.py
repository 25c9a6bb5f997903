"""Baselines over HTTP: what each channel was learned from, its calibration file, and what a person may do.

Documents are made on a thread: those of a thousand channels take longer than the event loop may.
"""

import asyncio
import json
from functools import partial
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from monitor.errors import ArtefactError, ConfigurationError
from monitor.runtime.baselines.changes import Action, Outcome, Parcel, Wish, chosen, why
from monitor.runtime.baselines.documents import details, summaries
from monitor.runtime.web.permission import Permission
from monitor.runtime.web.view import Service

HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
"""Headers of every answer."""


class Baselines:
    """The handlers."""

    def __init__(self, service: Service, permission: Permission) -> None:
        self._service = service
        self._permission = permission

    async def listing(self, request: web.Request) -> web.Response:
        """All channels, or those of the query's ``channel`` patterns; with ``details=1`` everything about them."""
        desk = self._service.baselines
        known, configured = desk.known(), desk.configured()
        if patterns := request.query.getall("channel", []):
            try:
                known = chosen(known, patterns)
            except ConfigurationError as error:
                return _text(404, str(error))
        about = details if request.query.get("details") == "1" else summaries
        document = {
            "may_change": self._permission.may_change(request),
            "token": self._permission.token_for(request),
            "learning": desk.learns(),
            "problems": sorted(desk.store.problems.copy().values()),
            "channels": await asyncio.to_thread(about, desk.store, known, configured),
        }
        body = await asyncio.to_thread(_json, document)
        return web.Response(body=body, content_type="application/json", headers=HEADERS)

    async def file(self, request: web.Request) -> web.Response:
        """The calibration file of one channel's current baseline."""
        desk = self._service.baselines
        labels = desk.known().get(request.query.get("channel", ""))
        history = None if labels is None else desk.store.history(labels)
        if history is None or history.current is None:
            return _text(404, "name a channel that has a baseline, in the query's 'channel'")
        try:
            body = await asyncio.to_thread(desk.store.file_bytes, history)
        except ArtefactError as error:
            return _text(404, str(error))
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
            return _text(400, f"{action}: {why(error)}")
        except ConfigurationError as error:
            return _text(404, str(error))
        return _told(outcome)

    async def bring(self, request: web.Request) -> web.Response:
        """Make the baseline in the body the current one of its channel."""
        if (refusal := self._permission.refused(request)) is not None:
            return refusal
        try:
            outcome = await self._service.baselines.bring(Parcel.model_validate_json(await request.read()))
        except ValidationError as error:
            return _text(400, f"import: {why(error)}")
        return _told(outcome)


def add_baselines(app: web.Application, service: Service, permission: Permission) -> None:
    """Add the routes of the baselines."""
    handlers = Baselines(service, permission)
    app.router.add_get("/api/v1/baselines", handlers.listing)
    app.router.add_get("/api/v1/baselines/file", handlers.file)
    app.router.add_post("/api/v1/baselines/import", handlers.bring)
    for action in Action:
        app.router.add_post(f"/api/v1/baselines/{action}", partial(handlers.change, action))


def _told(outcome: Outcome) -> web.Response:
    body = _json(outcome.document())
    status = 200 if outcome.changed else 409
    return web.Response(status=status, body=body, content_type="application/json", headers=HEADERS)


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def _text(status: int, text: str) -> web.Response:
    body = f"{text}\n".encode(errors="backslashreplace")
    return web.Response(status=status, body=body, content_type="text/plain", headers=HEADERS)
