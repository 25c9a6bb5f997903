"""Notifies systemd of the service's state: ready, reloading, stopping, watchdog, and one line of status.

The protocol (sd_notify(3)) sends datagrams of ``KEY=value`` lines to the socket in NOTIFY_SOCKET. Without that variable
nothing is sent, so the daemon works the same without systemd. A message that cannot be sent is logged and dropped: a
stuck systemd must not stop the service.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping

from monitor.runtime.log.printable import printable

LOG = logging.getLogger(__name__)

CHANGE_WAIT_S = 1.0
"""Longest wait for room in systemd's queue when the state changes. Shorter: a busy systemd misses the change. Longer: a
stuck systemd delays start and stop. Status and watchdog messages do not wait, since the next one comes soon."""

STATUS_PERIOD_S = 5.0
"""Seconds between two status lines for systemd. Shorter: more messages. Longer: the line is stale."""

HUNG_AFTER_S = 10.0
"""Age of a worker's heartbeat above which the watchdog is not answered; a batch takes milliseconds. Shorter: systemd
restarts a daemon whose machine swaps for a moment. Longer: a hung worker goes unnoticed for longer."""


class Notifier:
    """Sends to one notify socket, or discards everything without one."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        """Open the socket.

        Args:
            address: a path, or ``@name`` for an abstract socket; with None or anything else nothing is sent.
            watchdog_s: seconds within which systemd expects a :meth:`watchdog` message; None: it expects none.
        """
        self.watchdog_s = watchdog_s
        self._address = address if address and address[0] in "/@" else None
        self._socket: socket.socket | None = None
        if address and not self._address:
            LOG.warning("systemd is not notified: NOTIFY_SOCKET is %r, expected a path or @name", address)
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
        """Tell systemd that the start or a reload is complete."""
        self._send("READY=1", *_status_line(status), wait_s=CHANGE_WAIT_S)

    def reloading(self) -> None:
        """Tell systemd that a reload begins; :meth:`ready` ends it. The time tells this reload from an earlier one."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={microseconds}", wait_s=CHANGE_WAIT_S)

    def stopping(self, status: str = "") -> None:
        """Tell systemd that the service is stopping."""
        self._send("STOPPING=1", *_status_line(status), wait_s=CHANGE_WAIT_S)

    def status(self, text: str) -> None:
        """Show ``text``, one line, in ``systemctl status``."""
        self._send(*_status_line(text))

    def watchdog(self) -> None:
        """Tell systemd that the service is alive."""
        self._send("WATCHDOG=1")

    async def watch(self, oldest_beat_s: Callable[[], float], status: Callable[[], str]) -> None:
        """Send status and watchdog messages until cancelled; no watchdog while a worker hangs.

        Args:
            oldest_beat_s: monotonic instant of the heartbeat of the worker that was silent for longest.
            status: the line of status.
        """
        period_s = min(STATUS_PERIOD_S, self.watchdog_s / 3) if self.watchdog_s else STATUS_PERIOD_S
        hung_after_s = min(HUNG_AFTER_S, self.watchdog_s / 2) if self.watchdog_s else HUNG_AFTER_S
        while True:
            silent_s = time.monotonic() - oldest_beat_s()
            if silent_s < hung_after_s:
                self.watchdog()
            else:
                LOG.error("an inference process hangs: silent_s=%.1f", silent_s)
            self.status(status())
            await asyncio.sleep(period_s)

    def close(self) -> None:
        """Close the socket; further messages are discarded."""
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
            LOG.warning("systemd was not notified of %s: socket=%s error=%s", lines[0], self._address, error)


def _status_line(text: str) -> tuple[str, ...]:
    return (f"STATUS={printable(' '.join(text.split()))}",) if text else ()
