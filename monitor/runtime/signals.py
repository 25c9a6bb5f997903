"""Runs the daemon as a process that obeys signals.

SIGTERM and SIGINT stop it cleanly, a second one stops it at once. SIGHUP reloads the configuration.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from typing import Never

from monitor.errors import MonitorError
from monitor.runtime.daemon import Daemon
from monitor.runtime.processes import garbage

LOG = logging.getLogger(__name__)


async def run_daemon(daemon: Daemon, announce: Callable[[str], None] | None = None) -> None:
    """Start, serve until SIGTERM or SIGINT, stop cleanly; a second signal ends the process at once.

    SIGHUP reloads the configuration; if it comes during the start, the reload follows the start. ``announce`` is called
    with the HTTP server's address once it listens.

    Raises:
        MonitorError: the daemon cannot start.
        WorkerError: a worker ended unexpectedly.
    """
    loop = asyncio.get_running_loop()
    stop, reload = asyncio.Event(), asyncio.Event()

    def on_stop(number: signal.Signals) -> None:
        if stop.is_set():
            LOG.warning("second signal, leaving at once: signal=%s", number.name)
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        LOG.info("stopping: signal=%s", number.name)
        stop.set()

    async def reloads() -> Never:
        while True:
            await reload.wait()
            reload.clear()
            with contextlib.suppress(MonitorError):  # reload has logged and counted it
                await daemon.reload()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_stop, number)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    # A SIGHUP that was blocked since the command began is delivered now.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    try:
        await daemon.start()
        garbage.settle()
        if announce is not None:
            announce(daemon.address)
        LOG.info("started: address=%s sensors=%d", daemon.address, len(daemon.config.sensors))
        serving = asyncio.create_task(daemon.serve(), name="serve")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        reloading = asyncio.create_task(reloads(), name="reload")
        collecting = asyncio.create_task(garbage.keep_small(lambda: len(daemon.ingest.channels)), name="garbage")
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, reloading, collecting):
            task.cancel()
        if not serving.done():
            serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    finally:
        await daemon.close()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)
