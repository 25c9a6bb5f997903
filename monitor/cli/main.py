"""The command ``vibration-monitor``: runs a subcommand, and turns an error into one message and an exit code.

A subcommand's module is imported only when the subcommand is called, so ``--help`` and the daemon never load
TensorFlow.
"""

import errno
import importlib
import signal
import sys
from typing import Any

import click
from click.shell_completion import CompletionItem

from monitor import __version__
from monitor.errors import ConfigurationError, MonitorError
from monitor.extras import EXTRAS, missing

COMMANDS = {
    "run": ("daemon", "Run the daemon."),
    "demo": ("daemon", "Run everything: broker, simulated machines, daemon, live page."),
    "check-config": ("daemon", "Report all problems of a configuration file."),
    "check-message": ("daemon", "Show how the daemon would decode one MQTT message."),
    "train": ("model", "Train a model on healthy recordings."),
    "models": ("model", "Inspect or verify a model directory."),
    "calibrate": ("recording", "Make a channel's calibration from its healthy recordings."),
    "baseline": ("daemon", "Show what channels were learned from; accept, revert, learn anew, move."),
    "backtest": ("recording", "Score recordings exactly as the daemon would."),
    "diagnose": ("recording", "Name the fault in a recording."),
    "forecast": ("recording", "Forecast one block or more, and compare with the recording."),
    "replay": ("recording", "Publish a recording over MQTT."),
    "simulate": ("recording", "Write a recording of a simulated machine."),
    "record": ("recording", "Record a channel from its live messages."),
    "bench": ("daemon", "Measure the capacity of this machine."),
    "export-config": ("daemon", "Write unit, rules, dashboards and example configuration to a folder."),
    "completion": ("shell", "Print a shell's completion of this command."),
    "man": ("shell", "Print the manual page."),
}
"""Every subcommand: the folder of its module, and its one-line help.

``check-config`` is ``command`` in module ``monitor.cli.daemon.check_config``.
"""


INTERRUPTED = 128 + signal.SIGINT
"""Exit status after Ctrl-C, as shells report it of every command."""

NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""Errors of a full or broken disk, which are no defect of ours wherever they come from."""


class LazyGroup(click.Group):
    """A click group that imports a subcommand when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The subcommands, in the order in which a user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The subcommand with this name; None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        folder, _ = COMMANDS[cmd_name]
        module = importlib.import_module(f"monitor.cli.{folder}.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; Ctrl-C ends it with the shell's usual status, where it has no end of its own for that."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\nvibration-monitor: interrupted", err=True)
            return ctx.exit(INTERRUPTED)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Words that complete an incomplete one: subcommands, without importing them, and options."""
        named = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return named + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """Write the list of subcommands for ``--help``, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vibration-monitor")
def group() -> None:
    """Forecast machine vibration, export the gap between forecast and measurement to Prometheus.

    Example: vibration-monitor demo
    """


def main() -> None:
    """Run the command line; an error that the user can correct is printed as one message."""
    try:
        group(prog_name="vibration-monitor")
    except MonitorError as error:
        click.echo(f"vibration-monitor: {error}", err=True)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        click.echo(f"vibration-monitor: {missing(library, 'this command')}", err=True)
        sys.exit(ConfigurationError.exit_code)
    except OSError as error:
        if error.filename is None and error.errno not in NOT_WRITTEN:
            raise
        # A file that cannot be read or written: the system's message says why. Only what is open already has no name.
        click.echo(f"vibration-monitor: {error.filename or 'the output'}: {error.strerror}", err=True)
        sys.exit(MonitorError.exit_code)
