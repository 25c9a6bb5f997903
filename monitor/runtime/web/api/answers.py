"""Answers of the API: JSON, and lines of text that say why something is not done."""

import json
from typing import Any

from aiohttp import web

HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
"""Headers of every answer."""


def json_body(document: Any) -> bytes:
    """Compact JSON; raises ValueError on NaN, which JSON does not have."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def json_answer(body: bytes, status: int = 200) -> web.Response:
    """An answer with a JSON body."""
    return web.Response(status=status, body=body, content_type="application/json", headers=HEADERS)


def text_answer(status: int, text: str) -> web.Response:
    """An answer with one line of text."""
    body = f"{text}\n".encode(errors="backslashreplace")
    return web.Response(status=status, body=body, content_type="text/plain", headers=HEADERS)
