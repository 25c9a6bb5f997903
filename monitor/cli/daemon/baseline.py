"""``baseline``: shows and changes what channels were learned from, in the running daemon or on its state directory."""

import getpass
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from monitor.cli.daemon.baseline_access import Access

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)

DEFAULT_URL = "http://127.0.0.1:9108"

WHERE = (
    click.option("--url", help=f"Address of the running daemon; default without a folder: {DEFAULT_URL}."),
    click.option("--user", help="User name, where the daemon asks for one."),
    click.option("--password-file", type=FILE, help="File with the password."),
    click.option("--token-file", type=FILE, help="File with the bearer token, where the daemon asks for one."),
    click.option("--ca-file", type=FILE, help="Certificate authorities to trust instead of the system's."),
    click.option("--state-dir", type=FOLDER, help="Work on this state directory, without a daemon."),
    click.option("--config", "config_file", type=FILE, help="Work on the state directory of this configuration."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
)
"""Where the baselines are, in the order of ``--help``."""

WHO = (
    click.option("--reason", required=True, help="Why; it is kept in the history."),
    click.option("--by", default=None, help="Who; default: the name of the user."),
)


def with_options(*options: Any) -> Callable[[Command], Command]:
    """Add options, in this order; below :func:`on_baselines` they come after its own."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def on_baselines(command: Command) -> Callable[..., Any]:
    """Add the options that say where the baselines are; the command gets an ``access`` in their place."""

    @wraps(command)
    def with_access(
        *args: Any,
        url: str | None,
        user: str | None,
        password_file: Path | None,
        token_file: Path | None,
        ca_file: Path | None,
        state_dir: Path | None,
        config_file: Path | None,
        **others: Any,
    ) -> Any:
        from monitor.cli.daemon.baseline_access import Folder, Remote
        from monitor.errors import ConfigurationError

        if sum(given is not None for given in (url, state_dir, config_file)) > 1:
            raise ConfigurationError(
                "give one of --url, --state-dir and --config: the daemon, or the folder without one"
            )
        access: Access
        if config_file is not None:
            access = Folder.of_config(config_file)
        elif state_dir is not None:
            access = Folder(state_dir)
        else:
            access = Remote(url or DEFAULT_URL, user, password_file, token_file, ca_file)
        return command(*args, access=access, **others)

    return with_options(*WHERE)(with_access)


@click.group()
def command() -> None:
    """Show what each channel was learned from, and change it.

    Channels are named by patterns: 'fan-*/de/*' are the values of the labels with / between them. The running daemon
    is asked, or with --state-dir or --config the folder of one that does not run.

    Example: vibration-monitor baseline accept 'fan-*/de/*' --reason 'inspected'
    """


@command.command("list")
@click.argument("channels", nargs=-1, metavar="[CH]...")
@on_baselines
def list_(channels: tuple[str, ...], access: "Access", as_json: bool) -> None:
    """List the channels and their current baselines, one a line.

    Example: vibration-monitor baseline list 'fan-*'
    """
    found = access.channels(channels, everything=False)
    if as_json:
        click.echo(json.dumps({"channels": found}))
        return
    for one in found:
        _say(_line(one))
        if one["problem"]:
            _say(f"  {one['problem']}")
    if not found:
        click.echo("no channel has a baseline yet")


@command.command()
@click.argument("channel", metavar="CH")
@on_baselines
def show(channel: str, access: "Access", as_json: bool) -> None:
    """Show the baselines of a channel: what they were learned from, the learned conditions, who changed what.

    Example: vibration-monitor baseline show fan-1/de/x
    """
    found = access.channels((channel,), everything=True)
    if as_json:
        click.echo(json.dumps({"channels": found}))
        return
    for one in found:
        _say(_line(one))
        for baseline in one.get("baselines", []):
            mark = "*" if one["baseline"] and baseline["number"] == one["baseline"]["number"] else " "
            _say(f" {mark} baseline {_about(baseline)}")
        _picture(one.get("profiles"))
        for change in one.get("changes", []):
            _say(f"   {_time(change['at_s'])} {_change(change)}")


def _changing(name: str, text: str, *options: Any) -> None:
    """Add one of the subcommands that change something."""

    @command.command(name, help=text)
    @click.argument("channels", nargs=-1, required=True, metavar="CH...")
    @on_baselines
    @with_options(*options, *reversed(WHO))
    def change(
        channels: tuple[str, ...],
        access: "Access",
        as_json: bool,
        reason: str,
        by: str | None,
        to: int | None = None,
    ) -> None:
        from monitor.runtime.baselines.changes import Action, Wish

        wish = Wish.checked(channels=channels, by=by or getpass.getuser(), reason=reason, to=to)
        _tell(access.change(Action(name), wish), as_json=as_json)


_changing(
    "accept",
    "Confirm the current baselines: they are provisional no more, and learning of these channels ends.\n\n"
    "Example: vibration-monitor baseline accept 'fan-*/de/*' --reason 'inspected' --by anna",
)
_changing(
    "revert",
    "Go back to the baselines before the current ones.\n\n"
    "Example: vibration-monitor baseline revert fan-1/de/x --reason 'learned while the pump was loose'",
    click.option("--to", type=click.IntRange(1), help="Number of the baseline to go back to."),
)
_changing(
    "learn",
    "Learn anew, for example after an overhaul; the old baseline judges until then.\n\n"
    "Example: vibration-monitor baseline learn 'fan-1/*' --reason 'new bearing'",
)
_changing(
    "extend",
    "Add newly met operating conditions to the baselines.\n\n"
    "Example: vibration-monitor baseline extend 'fan-1/*' --reason 'runs at 1200 rpm now'",
)


@command.command("export")
@click.argument("channels", nargs=-1, metavar="[CH]...")
@click.option("--out", required=True, type=FOLDER, help="Folder to write to.")
@on_baselines
def export_(channels: tuple[str, ...], out: Path, access: "Access", as_json: bool) -> None:
    """Write the current baselines as files: for each channel its calibration file, and its history as JSON.

    Example: vibration-monitor baseline export 'fan-*' --out baselines
    """
    from monitor.runtime.baselines.transfer import export

    names = []
    for history, calibration in access.files(channels):
        export(out, history, calibration)
        names.append(history.name)
    document = {"exported": names, "folder": str(out)}
    click.echo(json.dumps(document) if as_json else f"{out}: {len(names)} baselines")


@command.command("import")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option("--labels", help="For one calibration file: labels of its channel, machine=fan-1,sensor=de,axis=x.")
@on_baselines
@with_options(*WHO)
def import_(source: Path, labels: str | None, access: "Access", as_json: bool, reason: str, by: str | None) -> None:
    """Make exported baselines, or one calibration file, the current baselines of their channels.

    Example: vibration-monitor baseline import baselines --reason 'moved to the new server'
    """
    from monitor.errors import ConfigurationError
    from monitor.runtime.baselines.changes import Wish
    from monitor.runtime.baselines.transfer import import_folder

    pairs = [one.partition("=") for one in labels.split(",")] if labels is not None else []
    if not all(name and is_ and value for name, is_, value in pairs):
        raise ConfigurationError(f"--labels: '{labels}' is not of the form machine=fan-1,axis=x")
    asked = Wish.checked(channels=("*",), by=by or getpass.getuser(), reason=reason).asked
    refused: dict[str, str] = {}
    with access.importing(asked) as bring:
        if pairs:
            bring({name: value for name, _, value in pairs}, source, None)
            done = ["/".join(value for _, _, value in pairs)]
        else:
            done, refused = import_folder(bring, source)
    _tell({"changed": dict.fromkeys(done), "refused": refused}, as_json=as_json)


def _tell(outcome: dict[str, Any], *, as_json: bool) -> None:
    """Print an outcome; something that was refused is an exit status."""
    from monitor.errors import MonitorError

    changed, refused = outcome["changed"], outcome["refused"]
    if as_json:
        click.echo(json.dumps(outcome))
    else:
        for name, number in changed.items():
            _say(f"{name}: done" + (f", baseline {number} is current" if number is not None else ""))
        for reason in refused.values():
            _say(reason, err=True)
    if refused:
        raise SystemExit(MonitorError.exit_code)


def _say(line: str, *, err: bool = False) -> None:
    """Print a line with names from elsewhere, which must not control the terminal."""
    from monitor.runtime.log.printable import printable

    click.echo(printable(line), err=err)


def _line(one: dict[str, Any]) -> str:
    parts = [one["name"], one["state"]]
    if one["configured"]:
        parts.append(f"the configuration names {one['configured']}")
    elif one["baseline"]:
        parts.append(_about(one["baseline"]))
    if one["request"]:
        parts.append(f"asked to {one['request']['what']} on {_time(one['request']['at_s'])}")
    return "  ".join(parts)


def _about(baseline: dict[str, Any]) -> str:
    from monitor.quantities import spoken_duration

    span = "from recordings"
    if baseline["from_s"] is not None and baseline["to_s"] is not None:
        span = f"{_time(baseline['from_s'])} to {_time(baseline['to_s'])}"
    conditions = f"{baseline['prototypes']} conditions" if baseline["prototypes"] > 1 else "one condition"
    ranges = "".join(f", {name} {low:g} to {high:g}" for name, (low, high) in baseline["conditions"].items())
    seen = ", ".join(f"{decibels:.1f} dB in {over}" for over, decibels in baseline["sensitivity_db"].items())
    provisional = ", provisional" if baseline["provisional"] else ""
    return (
        f"{baseline['number']}: {span}, {spoken_duration(baseline['healthy_s'])} healthy, {conditions}{ranges}; "
        f"alarms on a rise of {seen}{provisional}"
    )


def _change(change: dict[str, Any]) -> str:
    number = f" (baseline {change['baseline']})" if change["baseline"] is not None else ""
    return f"{change['what']} by {change['by']}{number}: {change['reason']}"


SHADES = " .:-=+*#%@"
"""Characters from quiet to loud."""


def _picture(profiles: dict[str, Any] | None) -> None:
    """Print the learned conditions: a row each, darker where a band holds more, and where the machine is among them."""
    if profiles is None or len(profiles["level_db"]) < 2:
        return
    levels = profiles["level_db"]
    low, high = min(map(min, levels)), max(map(max, levels))
    edges = profiles["edges_hz"]
    span = f"{edges[0]:g} to {edges[-1]:g} Hz, ' ' is {low:.0f} dB, '@' is {high:.0f} dB"
    click.echo(f"   learned conditions, {span}")
    for number, row in enumerate(levels):
        drawn = "".join(SHADES[round((len(SHADES) - 1) * (one - low) / max(high - low, 1e-9))] for one in row)
        about = [f"{name} {values[number]:.4g}" for name, values in profiles["values"].items()]
        if (weights := profiles.get("weights")) is not None:
            about.append(f"{weights[number]:.0%} of the present")
        _say(f"   [{drawn}] {', '.join(about)}")


def _time(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M} UTC"
