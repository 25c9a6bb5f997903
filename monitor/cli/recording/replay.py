"""``replay``: publishes a recording to a broker, as its sensor would have sent it."""

import asyncio
import contextlib
import json
import math

import click

from monitor.cli.options.broker import broker_options
from monitor.cli.options.duration import duration as duration_option
from monitor.cli.options.recording import recording_options
from monitor.config.kafka import Kafka
from monitor.config.mqtt import Mqtt
from monitor.recording.options import RecordingOptions


class Speed(click.ParamType[float]):
    """A factor above 0, or ``max``."""

    name = "X|max"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse the factor; ``max`` is infinity."""
        if value == "max":
            return math.inf
        try:
            speed = float(str(value))
        except ValueError:
            speed = 0.0
        if not speed > 0:
            self.fail(f"{value!r} is not a speed; give a factor above 0, or max", param, ctx)
        return speed


def one_topic(ctx: click.Context, param: click.Parameter, value: str) -> str:  # noqa: ARG001 - click's
    """Callback of an option: a topic that a message can be published to; others are a usage error."""
    if not value or set(value) & set("+#\0") or len(value.encode()) > LONGEST_TOPIC_BYTES:
        raise click.BadParameter(
            f"'{value:.100}' is no topic that a message can have; give one without wildcards, such as plant/fan-1/de/x"
        )
    return value


LONGEST_TOPIC_BYTES = 65535
"""Most bytes of a topic, in MQTT."""


@click.command()
@click.argument("recording")
@click.option("--topic", required=True, callback=one_topic, help="Topic to publish to.")
@click.option("--speed", type=Speed(), default=1.0, show_default=True, help="Multiple of real time, or max.")
@click.option(
    "--format", "payload_format", type=click.Choice(["float32", "json"]), default="float32", show_default=True
)
@click.option("--message-samples", type=click.IntRange(1, 10_000_000), help="Samples in a message; default: 0.1 s.")
@click.option("--duration", callback=duration_option, help="Stop after this part of the recording; default: all of it.")
@click.option("--loop", is_flag=True, help="Begin again at the end, until --duration or Ctrl-C.")
@click.option("--qos", type=click.Choice(["0", "1"]), default="0", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@broker_options
@recording_options
def command(
    recording: str,
    topic: str,
    speed: float,
    payload_format: str,
    message_samples: int | None,
    duration: float | None,
    loop: bool,
    qos: str,
    as_json: bool,
    broker: Mqtt | Kafka,
    options: RecordingOptions,
) -> None:
    """Publish RECORDING in real time, X times as fast, or as fast as the broker accepts it.

    Ctrl-C ends it. With --loop the signal jumps where its end meets its beginning, which a score may show.

    Example: vibration-monitor replay fan.npz --topic plant/fan-1/de/x/acceleration --speed 4
    """
    import aiomqtt

    from monitor.errors import ConfigurationError, MonitorError
    from monitor.feed.kafka import kafka_publisher
    from monitor.feed.replay import Replay, ReplayPlan
    from monitor.recording.source import open_recording
    from monitor.runtime.intake.mqtt.direct_client import client_options

    source = open_recording(recording, options)
    if source.records > 1 and payload_format != "json":
        raise ConfigurationError(
            f"{recording}: holds {source.records} separate records; packed messages have no times for the pauses "
            "between them; use --format json"
        )
    length_s = math.inf if duration is None else duration
    plan = ReplayPlan(topic, payload_format, speed, message_samples, length_s, loop, int(qos))
    replay = Replay(source, plan)

    async def publish() -> None:
        if isinstance(broker, Kafka):
            async with kafka_publisher(broker) as publisher:
                await replay.run(publisher)
            return
        try:
            async with aiomqtt.Client(**client_options(broker)) as client:
                await replay.run(client)
        except aiomqtt.MqttError as error:
            raise MonitorError(f"replay: no broker at {broker.url}: {error}") from error

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(publish())
    done = replay.done
    if as_json:
        click.echo(json.dumps({"messages": done.messages, "samples": done.samples, "seconds": done.seconds}))
    else:
        click.echo(f"{source.name}: {done.samples} samples in {done.messages} messages, {done.seconds:.1f} s")
