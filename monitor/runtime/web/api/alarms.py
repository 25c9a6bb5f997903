"""Alarms over HTTP: which channels are in warning or alarm, and that a person has seen them."""

import asyncio
import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Literal

from aiohttp import web
from pydantic import ValidationError

from monitor.core.scoring.alarm import State
from monitor.errors import ConfigurationError
from monitor.runtime.baselines.changes import Statement, chosen, why
from monitor.runtime.intake.channel import Acknowledgement, Channel
from monitor.runtime.web.api.answers import json_answer, json_body, text_answer
from monitor.runtime.web.api.openapi import Answer, Operation, Shape, add_route
from monitor.runtime.web.border.permission import Permission
from monitor.runtime.web.table import read_table
from monitor.runtime.web.view import Service, View


class Alarms:
    """The handlers."""

    def __init__(self, service: Service, permission: Permission) -> None:
        self._service = service
        self._permission = permission

    async def listing(self, request: web.Request) -> web.Response:
        """The channels in warning or alarm."""
        view = self._service.view()
        document = {
            "may_change": self._permission.may_change(request),
            "token": self._permission.token_for(request),
            "alarms": [_document(view, channel, state) for channel, state in _in_alarm(view)],
        }
        return json_answer(json_body(document))

    async def acknowledge(self, request: web.Request) -> web.Response:
        """Somebody has seen the alarms of the channels that the body names."""
        if (refusal := self._permission.refused(request)) is not None:
            return refusal
        try:
            said = Statement.model_validate_json(await request.read())
            known: dict[str, dict[str, str]] = {one.name: {} for one in self._service.view().ingest.channels.values()}
            meant = await asyncio.to_thread(chosen, known, said.channels)
        except ValidationError as error:
            return text_answer(400, f"acknowledge: {why(error)}")
        except ConfigurationError as error:
            return text_answer(404, str(error))
        take = self._service.acknowledgements.take
        changed = {
            channel.name: take(channel, state, said.by, said.reason).at_s
            for channel, state in _in_alarm(self._service.view())
            if channel.name in meant
        }
        refused = {name: f"{name}: it is in neither warning nor alarm" for name in meant if name not in changed}
        return json_answer(json_body({"changed": changed, "refused": refused}), 200 if changed else 409)


def _in_alarm(view: View) -> Iterator[tuple[Channel, State]]:
    """The channels in warning or alarm, with their states."""
    table = read_table(view)
    for channel, state in zip(table.channels, table.figures["alarm_state"].tolist(), strict=True):
        if state > State.OK:
            yield channel, State(int(state))


def _document(view: View, channel: Channel, state: State) -> dict[str, object]:
    return {
        "name": channel.name,
        "labels": dict(zip(view.label_names, channel.labels, strict=True)),
        "state": state.name.lower(),
        "since_s": None if math.isnan(channel.alarm_since_s) else round(channel.alarm_since_s, 3),
        "acknowledged": None if channel.acknowledged is None else asdict(channel.acknowledged),
    }


def add_alarms(app: web.Application, service: Service, permission: Permission) -> None:
    """Add the routes of the alarms."""
    handlers = Alarms(service, permission)
    add_route(app, "GET", "/api/v1/alarms", handlers.listing, LISTING)
    add_route(app, "POST", "/api/v1/alarms/acknowledge", handlers.acknowledge, ACKNOWLEDGE)


class Alarm(Shape):
    """A channel in warning or alarm."""

    name: str
    """Values of its labels with ``/`` between them."""
    labels: dict[str, str]
    """Its labels."""
    state: Literal["warning", "alarm"]
    """Its alarm state."""
    since_s: float | None
    """UNIX seconds since which its alarm state has not been ok; null: not known."""
    acknowledged: Acknowledgement | None
    """Who has seen it; null: nobody."""


class Listing(Shape):
    """The channels in warning or alarm, and what the client may do."""

    may_change: bool
    """Whether the client that asked may acknowledge something."""
    token: str | None
    """The token that it needs for that; null: none, or it may not."""
    alarms: list[Alarm]
    """The channels, in order of their first appearance."""


class Told(Shape):
    """What became of an acknowledgement."""

    changed: dict[str, float]
    """The channels whose alarm is acknowledged now by name, with UNIX seconds."""
    refused: dict[str, str]
    """Why those of other channels are not, by name."""


LISTING = Operation(
    "The channels in warning or alarm, and who has seen it.",
    {200: Answer("The channels, and what the client may do.", shape=Listing)},
)
ACKNOWLEDGE = Operation(
    "Say that the alarms of channels were seen, and what is to be said about them. It mutes nothing.",
    {
        200: Answer("At least one alarm is acknowledged.", shape=Told),
        400: Answer("The body is not what it should be."),
        403: Answer("The client may not change anything; the text says how it may."),
        404: Answer("No channel fits."),
        409: Answer("None of the channels is in warning or alarm.", shape=Told),
        415: Answer("The body is not JSON."),
    },
    body=Statement,
)
