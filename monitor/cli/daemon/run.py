"""``run``: runs the daemon in the foreground, under systemd or in a terminal."""

import asyncio
import signal
from pathlib import Path

import click

DEFAULT_CONFIG = Path("/etc/vibration-monitor/config.yaml")


@click.command()
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="Configuration file.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option("--announce", is_flag=True, help="Print the address of the HTTP server once it listens.")
def command(config_file: Path, log_format: str, log_level: str, announce: bool) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Example: vibration-monitor run --config config/example.yaml
    """
    # A SIGHUP is blocked until the daemon handles it; by default it would end the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from monitor.config.file import read_config, with_own_place
    from monitor.errors import MonitorError
    from monitor.runtime.daemon import Daemon
    from monitor.runtime.lanes.workers import WorkerError
    from monitor.runtime.log.logs import configure_logging
    from monitor.runtime.processes.notify import Notifier
    from monitor.runtime.signals import run_daemon

    configure_logging(log_format, log_level)
    config = with_own_place(read_config(config_file), config_file)
    daemon = Daemon(config, config_file, Notifier.from_environment())
    try:
        asyncio.run(run_daemon(daemon, click.echo if announce else None))
    except WorkerError as error:
        # Without its workers a daemon gives no scores, so it ends and the service manager restarts it.
        raise MonitorError(f"{error}; restart the daemon (a service manager does)") from error
