"""Telling systemd how the service is: ready, reloading, stopping, alive, and one line of status.

The protocol (sd_notify(3)) is one datagram of ``KEY=value`` lines to the socket that NOTIFY_SOCKET names. Without that
variable nothing is sent, so the daemon need not know whether systemd started it. A message that cannot be sent is
logged and forgotten: the supervisor's trouble must not become the service's. Refuses to know: what makes the service
ready, and when it is alive.
"""

import logging
import os
import socket
import time
from collections.abc import Mapping

from monitor.runtime.printable import printable

LOG = logging.getLogger(__name__)

CHANGE_WAIT_S = 1.0
"""Longest wait for room in systemd's queue, for changes of state, which must not get lost. Longer: a stuck systemd
holds up start and stop. Status and watchdog do not wait at all: the next one comes soon."""


class Notifier:
    """Sends to one notify socket, or nowhere."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        """Open the socket.

        Args:
            address: a path, or ``@name`` for an abstract socket; None or anything else sends nowhere.
            watchdog_s: seconds within which systemd expects a :meth:`watchdog`; None if it expects none.
        """
        self.watchdog_s = watchdog_s
        self._address = address if address and address[0] in "/@" else None
        self._socket: socket.socket | None = None
        if address and not self._address:
            LOG.warning("systemd is not told anything: NOTIFY_SOCKET is %r, neither a path nor @name", address)
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Notifier":
        """The notifier that NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID ask for (sd_watchdog_enabled(3))."""
        period_us = environment.get("WATCHDOG_USEC", "")
        for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog_s = int(period_us) / 1e6 if for_us and period_us.isdecimal() and int(period_us) else None
        return cls(environment.get("NOTIFY_SOCKET"), watchdog_s)

    def ready(self, status: str = "") -> None:
        """The start, or a reload, is complete."""
        self._send("READY=1", *_status_line(status), wait_s=CHANGE_WAIT_S)

    def reloading(self) -> None:
        """A reload begins; :meth:`ready` ends it. The instant lets systemd tell this reload from an older one."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={microseconds}", wait_s=CHANGE_WAIT_S)

    def stopping(self, status: str = "") -> None:
        """The service is going down."""
        self._send("STOPPING=1", *_status_line(status), wait_s=CHANGE_WAIT_S)

    def status(self, text: str) -> None:
        """Show ``text``, one line, in ``systemctl status``."""
        self._send(*_status_line(text))

    def watchdog(self) -> None:
        """The service is alive."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket; further messages go nowhere."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str, wait_s: float = 0.0) -> None:
        if self._socket is None or self._address is None or not lines:
            return
        name = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            self._socket.settimeout(wait_s)
            self._socket.sendto("\n".join(lines).encode(), name)
        except OSError as error:
            LOG.warning("systemd was not told %s: socket=%s error=%s", lines[0], self._address, error)


def _status_line(text: str) -> tuple[str, ...]:
    return (f"STATUS={printable(' '.join(text.split()))}",) if text else ()
