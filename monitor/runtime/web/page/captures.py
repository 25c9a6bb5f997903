"""Lists and serves the captures of alarms: the files in ``state_dir/evidence``.

Only regular files with plain names are listed and served, never a link, a folder or a name with a path in it.
"""

import asyncio
import stat
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from monitor.runtime.alarms.capture_names import NAME, evidence_dir, is_of_channel
from monitor.runtime.web.api.openapi import Answer, Operation, Parameter, add_route
from monitor.runtime.web.page.shapes import EvidenceFiles
from monitor.runtime.web.page.stream import compact
from monitor.runtime.web.view import Service

LISTED = 500
"""Most files in the list; the newest are listed."""


def list_evidence(folder: Path, channel: str = "") -> list[dict[str, Any]]:
    """Name, size and time of each file, newest first; empty if the folder does not exist.

    Args:
        folder: folder of the files.
        channel: name of a channel, to list only its files; empty: all.
    """
    found = []
    try:
        files = [file for file in folder.iterdir() if NAME.fullmatch(file.name)]
    except OSError:
        files = []
    if channel:
        files = [file for file in files if is_of_channel(file.name, channel)]
    for file in files:
        try:
            status = file.lstat()
        except OSError:
            continue  # it has been pruned meanwhile
        if stat.S_ISREG(status.st_mode):
            found.append({"name": file.name, "bytes": status.st_size, "modified_at_s": round(status.st_mtime, 3)})
    return sorted(found, key=lambda entry: (entry["modified_at_s"], entry["name"]), reverse=True)[:LISTED]


class _Sent(web.FileResponse):
    """A file that is sent once.

    ``requests`` prepares every answer, to bound its time, and aiohttp does so again. That means nothing for any
    answer but a file, which aiohttp would send a second time over a connection that is done.
    """

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the file, unless that is done."""
        if self.prepared:
            return None
        return await super().prepare(request)


def add_evidence(app: web.Application, service: Service, headers: dict[str, str]) -> None:
    """Add the routes of the captures."""
    one_at_a_time = asyncio.Lock()  # the daemon has few threads, and a folder may be large

    async def listing(request: web.Request) -> web.StreamResponse:
        folder = evidence_dir(service.config)
        async with one_at_a_time:
            files = await asyncio.to_thread(list_evidence, folder, request.query.get("channel", "")) if folder else []
        return web.Response(body=compact({"files": files}), content_type="application/json", headers=headers)

    async def download(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        folder = evidence_dir(service.config)
        file = folder / name if folder and NAME.fullmatch(name) else None
        if file is None or file.is_symlink() or not file.is_file():
            return web.Response(status=404, text="there is no such evidence\n", headers=headers)
        disposition = "inline" if file.suffix == ".png" else f'attachment; filename="{name}"'
        return _Sent(file, headers=headers | {"Content-Disposition": disposition})

    files = Answer("Their names, sizes and times.", shape=EvidenceFiles)
    of_channel = Parameter("Name of a channel: only its files.")
    every = Operation("The files that were written at alarms.", {200: files}, query={"channel": of_channel})
    add_route(app, "GET", "/api/v1/evidence", listing, every)
    answers = {200: Answer("The file: a recording, a document or a figure.", "*/*"), 404: Answer("There is none.")}
    one = Operation("One file that was written at an alarm.", answers, path={"name": "The file's name."})
    add_route(app, "GET", "/api/v1/evidence/{name}", download, one)
