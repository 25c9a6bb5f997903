"""``check-message``: shows how the daemon would decode one message."""

import json
import time
from pathlib import Path

import click

from monitor.cli.daemon.checked_channel import channel_figures, channel_line, time_text


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--topic", required=True, help="Topic of the message.")
@click.option(
    "--payload", "payload_file", required=True, type=click.Path(path_type=Path), help="File with the payload."
)
@click.option(
    "--birth", "birth_file", type=click.Path(path_type=Path), help="File with the birth of a Sparkplug message."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(file: Path, topic: str, payload_file: Path, birth_file: Path | None, as_json: bool) -> None:
    """Show how the daemon with configuration FILE would decode one message, or why it would reject it.

    Exits 0 if the message is used and 4 if it is rejected. Sparkplug data that names its metrics by alias needs
    the birth of its node or device too: --birth.

    Example: vibration-monitor check-message config/example.yaml --topic plant/fan-1/de/x/acceleration --payload m.bin
    """
    from monitor.cli.daemon.check_sparkplug import explain_metrics
    from monitor.config.file import read_config
    from monitor.core.messages.decode import Rejected
    from monitor.core.samples.rings import Rings
    from monitor.runtime.intake.conditions import Conditions
    from monitor.runtime.intake.ingest import Ingest

    config = read_config(file)
    payload = _read("--payload", payload_file)
    birth = None if birth_file is None else _read("--birth", birth_file)
    rings = {name: Rings(config.limits.channels, 1, 1) for name in config.models}
    ingest = Ingest(config, rings, lambda _: None, time.monotonic)
    conditions = Conditions(time.monotonic)
    conditions.configure(config, {}, ())
    try:
        if quantities := conditions.explain(topic, payload):
            _show_quantities(quantities, as_json)
            return
        if metrics := explain_metrics(config, topic, payload, birth):
            click.echo(json.dumps(metrics.document) if as_json else "\n".join(metrics.lines))
            raise SystemExit(0 if metrics.document["used"] else 4)
        sensor, labels, message = ingest.explain(topic, payload)
    except Rejected as rejected:
        document: dict[str, object] = {"used": False, "reason": rejected.reason, "detail": str(rejected)}
        click.echo(json.dumps(document) if as_json else f"rejected ({rejected.reason}): {rejected}")
        raise SystemExit(4) from rejected
    channels = [channel_figures(sensor, {**labels, "axis": axis}, samples) for axis, samples in message.axes.items()]
    document = {"used": True, "sensor": sensor.topic, "seq": message.seq, "t": message.t, "channels": channels}
    if as_json:
        click.echo(json.dumps(document))
        return
    seq = "none" if message.seq is None else message.seq
    click.echo(f"used: sensor {sensor.topic}, seq {seq}, t {time_text(message.t)}")
    for figures in channels:
        click.echo(f"  {channel_line(figures)}")


def _read(option: str, file: Path) -> bytes:
    from monitor.errors import ConfigurationError

    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{option}: cannot read {file}: {error.strerror}") from error


def _show_quantities(quantities: list[tuple[str, dict[str, str], float]], as_json: bool) -> None:
    """Show the measured quantities of a message."""
    if as_json:
        found = [{"condition": name, "labels": labels, "value": value} for name, labels, value in quantities]
        click.echo(json.dumps({"used": True, "conditions": found}))
        return
    for name, labels, value in quantities:
        where = ", ".join(f"{label}={text}" for label, text in labels.items()) or "this sensor"
        click.echo(f"used: condition {name} is {value:g} for the channels of {where}")
