"""``man``: prints the manual page, made from the help of all commands."""

import re
from collections.abc import Iterator

import click

from monitor import __version__
from monitor.extras import NAME


@click.command()
def command() -> None:
    """Print the manual page of all commands, in roff.

    Example: vibration-monitor man > /usr/local/share/man/man1/vibration-monitor.1
    """
    context = click.get_current_context().find_root()
    assert isinstance(context.command, click.Group)  # noqa: S101 - it has this command
    click.echo("\n".join(manual(context.command)))


def manual(root: click.Group) -> Iterator[str]:
    """The lines of the page; see man(7) for the macros."""
    top = click.Context(root, info_name=NAME)
    purpose = (root.help or "").splitlines()[0].rstrip(".")
    yield f'.TH {_text(NAME.upper())} 1 "" "{_text(NAME)} {__version__}" "User Commands"'
    yield from (".SH NAME", f"{_text(NAME)} \\- {_text(purpose)}")
    yield from (".SH SYNOPSIS", f".B {_text(NAME)}", _text("COMMAND [OPTIONS] [ARGUMENTS]"))
    yield from (
        ".SH DESCRIPTION",
        _text(
            "Every command ends with status 0 when it did its work, 2 on a mistake in options or configuration, 3 on a "
            "model, calibration or recording that cannot be used, 4 on a failure at run time, and 130 where Ctrl-C "
            "interrupted it."
        ),
        ".SH COMMANDS",
    )
    yield from _commands(root, top)


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if found is None or found.hidden:
            continue
        own = click.Context(found, info_name=name, parent=context)
        usage = " ".join(found.collect_usage_pieces(own))
        yield from (f'.SS "{_text(own.command_path)} {_text(usage)}"', *_paragraphs(found.help or ""))
        for parameter in found.get_params(own):
            record = parameter.get_help_record(own)
            if record is not None and "--help" not in record[0]:
                yield from (".TP", f".B {_text(record[0])}", _text(record[1]) or "\\&")
        if isinstance(found, click.Group):
            yield from _commands(found, own)


def _paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a help text; examples stand as they are typed."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        words = " ".join(paragraph.split())
        if words.startswith("Example: "):
            yield from (".P", "Example:", ".P", ".RS 4", ".nf", _text(words.removeprefix("Example: ")), ".fi", ".RE")
        else:
            yield from (".P", _text(words))


def _text(text: str) -> str:
    """Text in roff: no character of it is a macro."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
