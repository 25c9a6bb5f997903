"""``check-message``: shows how the daemon would decode one message."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--topic", required=True, help="Topic of the message.")
@click.option(
    "--payload", "payload_file", required=True, type=click.Path(path_type=Path), help="File with the payload."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(file: Path, topic: str, payload_file: Path, as_json: bool) -> None:
    """Show how the daemon with configuration FILE would decode one message, or why it would reject it.

    Exits 0 if the message is used and 4 if it is rejected.

    Example: vibration-monitor check-message config/example.yaml --topic plant/fan-1/de/x/acceleration --payload m.bin
    """
    from monitor.config_file import read_config
    from monitor.core.messages.decode import Rejected
    from monitor.core.rings import Rings
    from monitor.errors import ConfigurationError
    from monitor.runtime.intake.conditions import Conditions
    from monitor.runtime.intake.ingest import Ingest

    config = read_config(file)
    try:
        payload = payload_file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--payload: cannot read {payload_file}: {error.strerror}") from error
    rings = {name: Rings(config.limits.channels, 1, 1) for name in config.models}
    ingest = Ingest(config, rings, lambda _: None, time.monotonic)
    conditions = Conditions(time.monotonic)
    conditions.configure(config, {}, ())
    try:
        if quantities := conditions.explain(topic, payload):
            _show_quantities(quantities, as_json)
            return
        sensor, labels, message = ingest.explain(topic, payload)
    except Rejected as rejected:
        document: dict[str, object] = {"used": False, "reason": rejected.reason, "detail": str(rejected)}
        click.echo(json.dumps(document) if as_json else f"rejected ({rejected.reason}): {rejected}")
        raise SystemExit(4) from rejected
    axes = {}
    for axis, samples in message.axes.items():
        scaled = samples.astype(float) * sensor.factor_mps2
        axes[axis] = {
            "labels": {**labels, "axis": axis},
            "samples": int(samples.size),
            "duration_s": samples.size / sensor.sampling_rate_hz,
            "mean_mps2": float(scaled.mean()),
            "rms_mps2": float(scaled.std()),
            "peak_mps2": float(abs(scaled).max()),
        }
    document = {
        "used": True,
        "sensor": sensor.topic,
        "seq": message.seq,
        "t": message.t,
        "channels": list(axes.values()),
    }
    if as_json:
        click.echo(json.dumps(document))
        return
    seq = "none" if message.seq is None else message.seq
    t = "none" if message.t is None else f"{message.t} ({datetime.fromtimestamp(message.t, UTC):%Y-%m-%d %H:%M:%S} UTC)"
    click.echo(f"used: sensor {sensor.topic}, seq {seq}, t {t}")
    for figures in axes.values():
        names = ", ".join(f"{name}={value}" for name, value in figures["labels"].items())  # type: ignore[attr-defined]
        click.echo(
            f"  channel {names}: {figures['samples']} samples, {figures['duration_s']:.4g} s, "
            f"mean {figures['mean_mps2']:.4g}, RMS {figures['rms_mps2']:.4g}, peak {figures['peak_mps2']:.4g} m/s^2"
        )


def _show_quantities(quantities: list[tuple[str, dict[str, str], float]], as_json: bool) -> None:
    """Show the measured quantities of a message."""
    if as_json:
        found = [{"condition": name, "labels": labels, "value": value} for name, labels, value in quantities]
        click.echo(json.dumps({"used": True, "conditions": found}))
        return
    for name, labels, value in quantities:
        where = ", ".join(f"{label}={text}" for label, text in labels.items()) or "this sensor"
        click.echo(f"used: condition {name} is {value:g} for the channels of {where}")
