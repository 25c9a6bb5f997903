"""What a client accepts, from its request: OpenMetrics or the text format, compressed or not (RFC 9110, 12.5).

A header that cannot be read counts as absent: the client gets plain text, as if it had said nothing. Quality values
are respected; a client that accepts nothing that there is gets plain text too, not an error.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from aiohttp import web

_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


class _Offer(NamedTuple):
    """One element of a header such as ``Accept``."""

    name: str
    """In small letters."""
    parameters: dict[str, str]
    """Without ``q``."""
    quality: float
    """From 0 (not acceptable) to 1."""


def wants_openmetrics(request: web.Request) -> bool:
    """Whether the client prefers OpenMetrics 1.0 to the text format, or likes both equally and names OpenMetrics."""
    offers = list(_offers(request, "Accept"))
    openmetrics = max((offer.quality for offer in offers if _is_openmetrics(offer)), default=0.0)
    text = max((offer.quality for offer in offers if offer.name in {"text/plain", "text/*", "*/*"}), default=0.0)
    return openmetrics > 0 and openmetrics >= text


def accepts_gzip(request: web.Request) -> bool:
    """Whether the client takes a body that is compressed by gzip, and does not prefer it uncompressed."""
    quality = {offer.name: offer.quality for offer in _offers(request, "Accept-Encoding")}
    gzip = quality.get("gzip", 0.0)
    return gzip > 0 and gzip >= quality.get("identity", 0.0)


def _is_openmetrics(offer: _Offer) -> bool:
    return offer.name == "application/openmetrics-text" and offer.parameters.get("version", "1.0.0") == "1.0.0"


def _offers(request: web.Request, header: str) -> Iterator[_Offer]:
    for text in ",".join(request.headers.getall(header, ())).lower().split(","):
        name, *parts = text.split(";")
        pairs = (part.partition("=") for part in parts)
        parameters = {key.strip(): value.strip().strip('"') for key, _, value in pairs}
        quality = parameters.pop("q", "1")
        yield _Offer(name.strip(), parameters, float(quality) if _QUALITY.fullmatch(quality) else 0.0)
