"""Serves the page's own files, and the chart library from the installed Python package plotly.

Each file is read and compressed once. No part of the chart library is in this repository.
"""

import gzip
import hashlib
import importlib.util
from functools import cache
from importlib import resources
from pathlib import Path

from aiohttp import web

from monitor.runtime.web.api.openapi import Answer, Operation, add_route
from monitor.runtime.web.negotiation import accepts_gzip

KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
"""Content types of the files that are served, by suffix."""


class Asset:
    """One file, ready to be sent."""

    def __init__(self, body: bytes, kind: str) -> None:
        self._body = body
        self._packed = gzip.compress(body, 6)
        self._kind = kind
        self._tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'

    def answer(self, request: web.Request, headers: dict[str, str]) -> web.Response:
        """The file, compressed if the browser accepts that; 304 if the browser has it already."""
        headers = headers | {"ETag": self._tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if self._tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        body = self._body
        if accepts_gzip(request):
            body = self._packed
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, content_type=self._kind, charset="utf-8", headers=headers)


@cache
def own_assets() -> dict[str, Asset]:
    """The page's own files by name."""
    folder = resources.files("monitor.runtime.web.page") / "static"
    files = (file for file in folder.iterdir() if Path(file.name).suffix in KINDS)
    return {file.name: Asset(file.read_bytes(), KINDS[Path(file.name).suffix]) for file in files}


@cache
def chart_library() -> Asset | None:
    """plotly.js from the Python package plotly; None if that is not installed."""
    # find_spec, not import: plotly takes a second to import and is not needed for its file.
    found = importlib.util.find_spec("plotly")
    for folder in found.submodule_search_locations or () if found else ():
        file = Path(folder) / "package_data" / "plotly.min.js"
        if file.is_file():
            return Asset(file.read_bytes(), KINDS[".js"])
    return None


def add_assets(app: web.Application, headers: dict[str, str]) -> None:
    """Add the routes of the page's files."""
    own = own_assets()

    async def index(request: web.Request) -> web.StreamResponse:
        return own["index.html"].answer(request, headers)

    async def static(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        asset = chart_library() if name == "plotly.min.js" else own.get(name)
        if asset is None:
            return web.Response(status=404, text="not found\n", headers=headers)
        return asset.answer(request, headers)

    page = Operation("The live page.", {200: Answer("A page for browsers.", "text/html")})
    answers = {200: Answer("The file.", "*/*"), 404: Answer("There is no such file.")}
    file = Operation("A file of the live page.", answers, path={"name": "The file's name."})
    add_route(app, "GET", "/", index, page)
    add_route(app, "GET", "/static/{name}", static, file)
