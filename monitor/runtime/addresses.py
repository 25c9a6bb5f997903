"""The addresses at which a person opens this daemon's pages, for alerts and events.

They begin with ``http.public_url``. Without it they begin with the address that the server listens on, which opens on
other machines only if it is one of this machine's own.
"""

import socket
from collections.abc import Callable, Mapping
from urllib.parse import urlencode, urlsplit, urlunsplit

from monitor.config.configuration import Http

ANY = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not listened on
"""Hosts that stand for all addresses of this machine."""


def public_url(settings: Http, listening: str) -> str:
    """The URL of the live page, without a slash at the end.

    Args:
        settings: the section ``http``.
        listening: the URL that the server listens on.
    """
    if settings.public_url is not None:
        return settings.public_url
    parts = urlsplit(listening)
    if parts.hostname not in ANY:
        return listening
    return urlunsplit(parts._replace(netloc=f"{socket.gethostname()}:{parts.port}"))


def channel_url(url: Callable[[], str], labels: Mapping[str, str]) -> str:
    """The URL of a channel on the live page, whose URL is known once the server listens."""
    return f"{url()}/#/channel?{urlencode({name: value for name, value in labels.items() if value})}"
