"""A run of the daemon in a process of its own: what its signals do.

SIGTERM and SIGINT end it cleanly, a second one at once; SIGHUP loads the configuration anew. Refuses to know: what the
daemon does in between.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable

from monitor.errors import MonitorError
from monitor.runtime.daemon import Daemon

LOG = logging.getLogger(__name__)


async def run_daemon(daemon: Daemon, announce: Callable[[str], None] | None = None) -> None:
    """Start, serve until SIGTERM or SIGINT, end cleanly; a second signal ends the process at once.

    SIGHUP loads the configuration anew. ``announce`` is told the HTTP server's address once it listens.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    reloads: set[asyncio.Task[None]] = set()

    def on_stop(number: signal.Signals) -> None:
        if stop.is_set():
            LOG.warning("second signal, leaving at once: signal=%s", number.name)
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        LOG.info("stopping: signal=%s", number.name)
        stop.set()

    async def reload() -> None:
        with contextlib.suppress(MonitorError):  # logged and counted where it happened
            await daemon.reload()

    def on_reload() -> None:
        task = asyncio.create_task(reload(), name="reload")
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_stop, number)
    try:
        await daemon.start()
        loop.add_signal_handler(signal.SIGHUP, on_reload)
        if announce is not None:
            announce(daemon.address)
        LOG.info("started: address=%s sensors=%d", daemon.address, len(daemon.config.sensors))
        serving = asyncio.create_task(daemon.serve(), name="serve")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not serving.done():
            serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    finally:
        await daemon.close()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)
