"""``demo``: shows the whole product with nothing else installed."""

import asyncio
import contextlib
import math
import socket
import webbrowser

import click

from monitor.cli.options.duration import duration as duration_option


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=9108, show_default=True, help="Port of the page; 0: a free one."
)
@click.option("--duration", callback=duration_option, help="Stop after this time; default: Ctrl-C.")
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on each line.")
def command(port: int, duration: float | None, open_page: bool, as_json: bool) -> None:
    """Run everything: an MQTT broker, simulated machines with developing faults, the daemon, the live page.

    Example: vibration-monitor demo --duration 120s
    """
    from monitor.demo.plant import Story
    from monitor.demo.run import run_demo
    from monitor.extras import require
    from monitor.runtime.log.logs import configure_logging

    require("amqtt", "the demo's broker")
    _require_free(port)
    configure_logging("text", "error")

    def on_page(address: str) -> None:
        if open_page:
            webbrowser.open(address)

    length_s = math.inf if duration is None else duration
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run_demo(port, length_s, Story(), as_json=as_json, on_page=on_page))


def _require_free(port: int) -> None:
    """Require that the page can have its port; asked before the demo learns, which takes longer.

    Raises:
        MonitorError: it cannot.
    """
    from monitor.errors import MonitorError

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server: a port that was just left is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise MonitorError(
                f"--port {port}: cannot listen there: {error.strerror}; does another demo or a daemon run? Give "
                "another port, or 0 for a free one"
            ) from error
