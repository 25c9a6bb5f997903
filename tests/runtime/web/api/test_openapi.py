"""The description of the HTTP API is of exactly the routes that the server has."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from openapi_spec_validator import validate

from monitor.config.configuration import Http
from monitor.runtime.web.api.openapi import PATH
from monitor.runtime.web.border.permission import TOKEN_HEADER
from monitor.runtime.web.server import make_app
from tests.support.page.page_plant import Plant


def served(settings: Http) -> tuple[set[tuple[str, str]], dict[str, Any]]:
    """The routes of a server, as path and method, and its document."""
    app = make_app(Plant(), settings)
    routes = {
        (route.resource.canonical, route.method.lower())
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }

    async def story() -> dict[str, Any]:
        async with TestServer(app) as server, aiohttp.ClientSession() as client:
            headers = {"Authorization": "Bearer t0ken"}
            async with client.get(server.make_url(PATH), headers=headers) as answer:
                assert (answer.status, answer.content_type) == (200, "application/json")
                found: dict[str, Any] = await answer.json()
            async with client.get(server.make_url(PATH), headers=headers) as again:
                assert await again.json() == found
        return found

    return routes, asyncio.run(story())


@pytest.mark.parametrize("page", [True, False])
@pytest.mark.parametrize("reload", [True, False])
def test_every_route_stands_in_the_document(page: bool, reload: bool) -> None:
    routes, document = served(Http(page=page, reload=reload))
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert routes - described == set(), "add these routes with add_route of monitor.runtime.web.api.openapi"
    assert described == routes
    assert ("/-/reload" in document["paths"]) == reload
    assert ("/api/v1/channels" in document["paths"]) == page
    validate(document)


def test_everything_has_its_words() -> None:
    _, document = served(Http(reload=True))
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"].endswith("."), (method, path)
            for parameter in operation["parameters"]:
                assert parameter["description"], (method, path, parameter)
    wordless = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        if name not in {"ModelInfo", "Progress"}  # classes of the daemon, whose docstrings pydantic does not read
        for field, described in schema.get("properties", {}).items()
        if not (described.get("description") or "$ref" in described)
    ]
    assert wordless == [], "the docstring under the field"


def test_the_document_says_how_to_authenticate(tmp_path: Path) -> None:
    _, document = served(Http())
    assert "security" not in document
    assert document["components"]["securitySchemes"]["changes"]["name"] == TOKEN_HEADER
    assert document["paths"]["/api/v1/baselines/accept"]["post"]["security"] == [{"changes": []}]
    (tmp_path / "token").write_text("t0ken")
    _, document = served(Http(bearer_token_file=tmp_path / "token"))
    assert document["security"] == [{"everything": []}]
    schemes = document["components"]["securitySchemes"]
    assert schemes["everything"] == schemes["changes"] == {"type": "http", "scheme": "bearer"}
    validate(document)
