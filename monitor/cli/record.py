"""``record``: records a channel from its live messages."""

import asyncio
import json
from pathlib import Path

import click

from monitor.cli.broker_options import broker_options
from monitor.cli.recordings import duration as duration_option
from monitor.config import Mqtt
from monitor.core.messages.decode import FORMATS
from monitor.core.units import UNITS_MPS2


@click.command()
@click.option("--topic", required=True, help="Topic of one channel, without wildcards.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write, for example fan.npz.")
@click.option("--duration", callback=duration_option, required=True, help="Length of the recording, for example 60s.")
@click.option("--sampling-rate-hz", type=click.FloatRange(1, 10_000_000), required=True)
@click.option("--unit", type=click.Choice(list(UNITS_MPS2)), default="m/s2", show_default=True)
@click.option("--format", "payload_format", type=click.Choice(FORMATS), default="float32", show_default=True)
@click.option("--axis", help="Axis to record, if a message has several named axes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@broker_options
def command(
    topic: str,
    out: Path,
    duration: float,
    sampling_rate_hz: float,
    unit: str,
    payload_format: str,
    axis: str | None,
    as_json: bool,
    broker: Mqtt,
) -> None:
    """Record one channel from its live messages, without missing samples.

    If samples are missing between messages, the recording restarts. Rejected messages are counted.

    Example: vibration-monitor record --config /etc/vibration-monitor/config.yaml --topic plant/fan-1/de/x
    --sampling-rate-hz 12000 --duration 60s --out healthy.npz
    """
    from monitor.errors import ConfigurationError
    from monitor.feed.record import LiveChannel, record
    from monitor.recording.write import write_recording

    if "+" in topic or "#" in topic:
        raise ConfigurationError(f"--topic: '{topic}' has wildcards; give the topic of one channel")
    channel = LiveChannel(payload_format, sampling_rate_hz, axis, round(duration * sampling_rate_hz))
    samples = asyncio.run(record(broker, topic, channel))
    write_recording(out, samples, sampling_rate_hz, unit)
    if as_json:
        document = {"file": str(out), "samples": int(samples.size), "restarts": channel.restarts}
        click.echo(json.dumps({**document, "rejected": channel.rejected}))
    else:
        click.echo(
            f"{out}: {samples.size} samples, {duration:g} s; restarted {channel.restarts} times, "
            f"{channel.rejected} messages rejected"
        )
