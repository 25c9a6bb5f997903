"""Content negotiation for metrics: OpenMetrics or the text format, compressed or not (RFC 9110, 12.5).

Quality values are respected. A malformed header counts as absent. A client that accepts none of the forms gets the
plain text format, not an error.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from aiohttp import web

_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


class _Offer(NamedTuple):
    """One element of a header such as ``Accept``."""

    name: str
    """Media type or encoding, in lower case."""
    parameters: dict[str, str]
    """Parameters by name, without ``q``."""
    quality: float
    """The parameter ``q``: from 0 (not acceptable) to 1."""


def wants_openmetrics(request: web.Request) -> bool:
    """Whether the client names OpenMetrics 1.0 with at least the quality of the text format."""
    offers = list(_offers(request, "Accept"))
    openmetrics = max((offer.quality for offer in offers if _is_openmetrics(offer)), default=0.0)
    text = max((offer.quality for offer in offers if offer.name in {"text/plain", "text/*", "*/*"}), default=0.0)
    return openmetrics > 0 and openmetrics >= text


def accepts_gzip(request: web.Request) -> bool:
    """Whether the client accepts gzip with at least the quality of no compression."""
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
