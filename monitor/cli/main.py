"""The command ``vibration-monitor``: finds a subcommand, runs it, turns errors into one message and an exit code.

A subcommand's module is imported only when it is named, so that ``--help`` and the daemon never pay for TensorFlow.
"""

import importlib
import sys

import click

from monitor import __version__
from monitor.errors import MonitorError

COMMANDS = {
    "run": "Run the daemon.",
    "demo": "Show everything at work: broker, simulated machines, daemon, live page.",
    "check-config": "Report all problems of a configuration file.",
    "check-message": "Show what the daemon would make of one MQTT message.",
    "train": "Train a model on healthy recordings.",
    "models": "Inspect or verify a model directory.",
    "calibrate": "Turn healthy recordings of one channel into its calibration.",
    "backtest": "Score recordings exactly as the daemon would.",
    "forecast": "Forecast one block, or many fed back, and compare with what came.",
    "replay": "Publish a recording over MQTT.",
    "simulate": "Write a recording of a simulated machine.",
    "record": "Write a recording from the live feed.",
    "bench": "Measure what this machine carries.",
    "export-config": "Write unit, rules, dashboards and example configuration to a folder.",
}
"""Every subcommand with its one-line help; ``check-config`` lives in ``monitor.cli.check_config`` as ``command``."""


class LazyGroup(click.Group):
    """A click group whose subcommands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The subcommands in the order of a user's way through the product."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The subcommand, or None if there is no such."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"monitor.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """The list in ``--help``, without importing any subcommand."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vibration-monitor")
def group() -> None:
    """Forecast machine vibration, export the gap between forecast and measurement to Prometheus.

    Example: vibration-monitor demo
    """


def main() -> None:
    """Run the command line; an error the user can act upon prints as one message."""
    try:
        group(prog_name="vibration-monitor")
    except MonitorError as error:
        click.echo(f"vibration-monitor: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is None:
            raise
        # A file that was named and that cannot be written or read: the system's own words say why.
        click.echo(f"vibration-monitor: {error.filename}: {error.strerror}", err=True)
        sys.exit(MonitorError.exit_code)
