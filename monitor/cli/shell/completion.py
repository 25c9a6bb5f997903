"""``completion``: prints the script with which a shell completes commands, options and file names."""

import click
from click.shell_completion import get_completion_class

from monitor.extras import NAME


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that makes SHELL complete the words of this command.

    Example: vibration-monitor completion bash > /etc/bash_completion.d/vibration-monitor

    Example: vibration-monitor completion fish > ~/.config/fish/completions/vibration-monitor.fish
    """
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101 - click knows these shells
    root = click.get_current_context().find_root().command
    click.echo(made(root, {}, NAME, f"_{NAME.replace('-', '_').upper()}_COMPLETE").source())
