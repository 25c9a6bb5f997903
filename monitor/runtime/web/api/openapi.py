"""The HTTP API describes itself: a route is added together with what it takes and answers, in OpenAPI 3.1.

So the document at ``/api/v1/openapi.json`` is of exactly the routes that this server has. The shapes of JSON documents
are classes whose docstrings say what each field means. A client should leave fields alone that it does not know.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import cleandoc
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, TypeAdapter

from monitor import __version__

PATH = "/api/v1/openapi.json"

TEXT = "text/plain"


class Shape(BaseModel):
    """A JSON document of the API; the docstring under a field is its description."""

    model_config = ConfigDict(use_attribute_docstrings=True)


@dataclass(frozen=True)
class Answer:
    """What a route answers with one status."""

    meaning: str
    """When, and what it holds."""
    kind: str = TEXT
    """Content type, where the answer is not JSON."""
    shape: Any = None
    """Type of the JSON document; None: it is not JSON."""


ONE: Mapping[str, Any] = {"type": "string"}
MANY: Mapping[str, Any] = {"type": "array", "items": {"type": "string"}}
ANY_NAMES: Mapping[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a route's query."""

    meaning: str
    """What it does."""
    schema: Mapping[str, Any] = field(default_factory=lambda: ONE)
    """:data:`ONE` text; :data:`MANY`: it may be given several times; :data:`ANY_NAMES`: any names, a text each."""


@dataclass(frozen=True)
class Operation:
    """What one route takes and answers. Any other status comes with a line of text that says why."""

    summary: str
    """What it does, in one line."""
    answers: Mapping[int, Answer]
    """What it answers, by status."""
    path: Mapping[str, str] = field(default_factory=dict)
    """Meanings of the ``{names}`` in its path."""
    query: Mapping[str, Parameter] = field(default_factory=dict)
    """The query's parameters by name; none is required."""
    body: Any = None
    """Type of the JSON document that it takes; None: none."""

    @property
    def changes(self) -> bool:
        """Whether it changes something, so that it needs permission."""
        return self.body is not None


OPERATIONS = web.AppKey("operations", dict[tuple[str, str], Operation])
"""The described routes of an application, by path and method."""


def add_route(app: web.Application, method: str, path: str, handler: Handler, operation: Operation) -> None:
    """Add a route with its description. A ``GET`` answers ``HEAD`` as well."""
    if method == "GET":
        app.router.add_get(path, handler)
    else:
        app.router.add_route(method, path, handler)
    if OPERATIONS not in app:
        app[OPERATIONS] = {}
    app[OPERATIONS][path, method.lower()] = operation


def add_document(app: web.Application, everything: dict[str, Any] | None, changes: dict[str, Any]) -> None:
    """Add the route of the document.

    Args:
        app: the application, whose other routes may follow.
        everything: the OpenAPI security scheme that all routes ask for; None: they ask for none.
        changes: the one of routes that change something.
    """
    made: list[bytes] = []

    async def answer(_: web.Request) -> web.Response:
        if not made:  # 50 ms, which the event loop does not have
            document = await asyncio.to_thread(openapi, app[OPERATIONS], everything, changes)
            made.append(json.dumps(document, separators=(",", ":")).encode())
        return web.Response(body=made[0], content_type="application/json")

    about = Answer("An OpenAPI 3.1 document of the routes that this server has.", shape=dict[str, Any])
    add_route(app, "GET", PATH, answer, Operation("This document.", {200: about}))


def openapi(
    operations: dict[tuple[str, str], Operation], everything: dict[str, Any] | None, changes: dict[str, Any]
) -> dict[str, Any]:
    """The OpenAPI document of described routes; for the security schemes see :func:`add_document`."""
    shapes: list[tuple[Any, Any, TypeAdapter[Any]]] = []
    for place, operation in operations.items():
        if operation.body is not None:
            shapes.append(((*place, "body"), "validation", TypeAdapter(operation.body)))
        shapes += [
            ((*place, status), "serialization", TypeAdapter(answer.shape))
            for status, answer in operation.answers.items()
            if answer.shape is not None
        ]
    schemas, shared = TypeAdapter.json_schemas(shapes, ref_template="#/components/schemas/{model}")
    by_place = {key: schema for (key, _), schema in schemas.items()}
    paths: dict[str, dict[str, Any]] = {}
    for (path, method), operation in operations.items():
        described = _described(path, method, operation, by_place)
        if operation.changes:
            described["security"] = [{"changes": []}]
        paths.setdefault(path, {})[method] = described
    schemes = {"changes": changes} if everything is None else {"everything": everything, "changes": changes}
    definitions = shared.get("$defs", {})
    for schema in (*definitions.values(), *by_place.values()):
        _in_words(schema)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vibration-monitor",
            "version": __version__,
            "summary": "Metrics, health, channels, baselines and evidence of alarms.",
            "description": "Instants are UNIX seconds, units SI. Documents may have further fields in later versions.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {"schemas": definitions, "securitySchemes": schemes},
        **({} if everything is None else {"security": [{"everything": []}]}),
    }


def _described(path: str, method: str, operation: Operation, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    """One operation as OpenAPI says it."""
    named = re.findall(r"\{(\w+)\}", path)
    responses: dict[str, Any] = {
        str(status): {
            "description": answer.meaning,
            "content": {answer.kind: {}}
            if answer.shape is None
            else {"application/json": {"schema": schemas[path, method, status]}},
        }
        for status, answer in operation.answers.items()
    }
    otherwise = {"description": "Anything else, with the reason in a line of text.", "content": {TEXT: {}}}
    found: dict[str, Any] = {
        "operationId": f"{method}_{re.sub(r'[^a-z0-9]+', '_', path.lower()).strip('_') or 'page'}",
        "summary": operation.summary,
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"},
               "description": operation.path[name]} for name in named),
            *({"name": name, "in": "query", "schema": dict(given.schema), "description": given.meaning}
              for name, given in operation.query.items()),
        ],
        "responses": responses | {"default": otherwise},
    }  # fmt: skip
    if operation.body is not None:
        body = {"application/json": {"schema": schemas[path, method, "body"]}}
        found["requestBody"] = {"required": True, "content": body}
    return found


def _in_words(schema: Any) -> None:
    """Write the docstrings in a schema as plain text, and leave out the titles that only repeat names."""
    if isinstance(schema, list):
        for part in schema:
            _in_words(part)
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("title"), str):
        del schema["title"]
    if isinstance(text := schema.get("description"), str):
        schema["description"] = " ".join(cleandoc(text).replace("``", "`").split())
    for part in schema.values():
        _in_words(part)
