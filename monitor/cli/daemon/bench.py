"""``bench``: measures the capacity of this machine."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from monitor.bench.load import Load
from monitor.cli.options.broker import FILE, broker_settings
from monitor.cli.options.model import named_model
from monitor.config.kafka import Kafka
from monitor.config.mqtt import Mqtt
from monitor.errors import ConfigurationError

SHOWN = 6
"""Scrapes of the beginning of which is shown how many blocks were skipped by then. More: a longer line."""


@click.command()
@click.option(
    "--model", callback=named_model, help="Model directory, or name of a shipped model; default: the shipped reference."
)
@click.option(
    "--engine", type=click.Choice(["auto", "onnxruntime", "tensorflow", "jax"]), default="auto", show_default=True
)
@click.option("--workers", type=click.IntRange(0, 256), default=0, show_default=True, help="0: one for each core.")
@click.option("--sampling-rate-hz", "rates_hz", type=float, multiple=True, default=(12800.0,), show_default=True)
@click.option("--mqtt", "mqtt_url", help="Measure end to end over the MQTT broker at this address.")
@click.option(
    "--kafka",
    "kafka_url",
    help="Measure end to end over the Kafka cluster at this address (kafka://host:9092), in a topic of its own.",
)
@click.option(
    "--config",
    "config_file",
    type=FILE,
    help="End to end: take accounts and TLS from the section mqtt or kafka of this file.",
)
@click.option("--channels", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, help="End to end.")
@click.option(
    "--message-samples", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, help="With --mqtt."
)
@click.option("--seconds", type=click.FloatRange(1, 3600), default=60.0, show_default=True, help="End to end.")
@click.option(
    "--load",
    "factor",
    type=click.FloatRange(0.01, 100),
    default=1.0,
    show_default=True,
    help="Multiple of the sampling rate that is sent.",
)
@click.option("--calibrated", is_flag=True, help="End to end: every channel has a calibration, and so a score.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    model: Path | None,
    engine: str,
    workers: int,
    rates_hz: tuple[float, ...],
    mqtt_url: str | None,
    kafka_url: str | None,
    config_file: Path | None,
    channels: int,
    message_samples: int,
    seconds: float,
    factor: float,
    calibrated: bool,
    as_json: bool,
) -> None:
    """Measure the capacity of this machine: forecasts per second, channels in real time, latency, memory.

    Example: vibration-monitor bench --json
    """
    if mqtt_url is not None or kafka_url is not None:
        load = Load(channels, rates_hz[0], message_samples, seconds, factor)
        _end_to_end(_broker(config_file, mqtt_url, kafka_url), load, workers, calibrated=calibrated, as_json=as_json)
        return
    from monitor.bench import alone
    from monitor.model.artefact.artefact import load_artefact
    from monitor.model.engines.engines import load_engine
    from monitor.runtime.processes import procfs
    from monitor.shipped import shipped

    artefact = load_artefact(model or shipped("models/reference"))
    chosen = load_engine(artefact, engine)  # type: ignore[arg-type]
    results = alone.bench_engine(chosen, (1, 64, 1024))
    workers = 1 if chosen.name == "tensorflow" else workers or len(os.sched_getaffinity(0))
    results += [alone.bench_pipeline(artefact, chosen.name, batch, min(workers, batch)) for batch in (64, 1024)]  # type: ignore[arg-type]
    resident = procfs.resident_bytes(os.getpid())
    results += alone.bench_keras(artefact)
    ready_s = alone.start_to_ready_s(chosen.name)
    document = alone.document(results, rates_hz, ready_s, resident)
    if as_json:
        click.echo(json.dumps(document))
        return
    click.echo(f"device: {document['device']}")
    click.echo(f"{'stage':14} {'engine':12} {'mode':9} {'batch':>6} {'blocks/s':>12} {'p50':>10} {'p99':>10}")
    for r in results:
        click.echo(
            f"{r.stage:14} {r.engine:12} {r.mode:9} {r.batch:6} {r.blocks_per_s:12,.0f} "
            f"{r.latency_s_p50 * 1e3:7.3f} ms {r.latency_s_p99 * 1e3:7.3f} ms"
        )
    for rate, count in alone.channels_in_real_time(results, rates_hz).items():
        click.echo(f"channels in real time at {rate} Hz: {count:,}")
    click.echo(f"resident memory {resident / 1e6:.0f} MB, start to ready {ready_s:.2f} s")
    single = {r.stage: r.latency_s_p50 for r in results if r.batch == 1 and r.stage != "pipeline"}
    if "keras_predict" in single:
        carried = next(r for r in results if r.stage == "engine" and r.mode == "carried" and r.batch == 1)
        ratio = single["keras_predict"] / carried.latency_s_p50
        click.echo(f"one block against Keras predict: {ratio:,.0f} times faster")


def _broker(config_file: Path | None, mqtt_url: str | None, kafka_url: str | None) -> Mqtt | Kafka:
    """The broker to measure over.

    Raises:
        ConfigurationError: the options contradict each other, or the settings are invalid.
    """
    if mqtt_url is not None and kafka_url is not None:
        raise ConfigurationError("--mqtt and --kafka are both given; measure one after the other")
    broker = broker_settings(config_file, {"url": mqtt_url or kafka_url}, {})
    if mqtt_url is not None and not isinstance(broker, Mqtt):
        raise ConfigurationError(f"--mqtt: '{mqtt_url}' is the address of a Kafka cluster; write --kafka {mqtt_url}")
    if kafka_url is not None and not isinstance(broker, Kafka):
        raise ConfigurationError(f"--kafka: '{kafka_url}' is no Kafka cluster; write kafka://host:9092")
    return broker


def _end_to_end(broker: Mqtt | Kafka, load: Load, workers: int, *, calibrated: bool, as_json: bool) -> None:
    from monitor.bench.end_to_end import run_end_to_end

    result = run_end_to_end(broker, load, workers=workers, calibrated=calibrated)
    if as_json:
        rates = {"scored_per_s": result.scored_per_s, "cpu_ms_per_million": result.cpu_ms_per_million}
        click.echo(json.dumps(asdict(result) | rates))
        return
    sent = result.sent
    lines = {
        "sent": f"{sent.samples:,} samples in {sent.seconds:.1f} s: {sent.samples / sent.seconds / 1e6:.2f} million/s",
        "received": f"{result.samples_received:,} ({result.samples_received / max(1, sent.samples):.2%})",
        "scored": f"{result.blocks_scored:,} of {result.blocks_received:,} blocks; skipped: {result.blocks_skipped}",
        "scores": f"{result.channels_with_score} channels",
        "rejected": f"{result.messages_rejected}",
        "coverage": f"min {result.coverage_min:.3f}, mean {result.coverage_mean:.3f}, max {result.coverage_max:.3f}",
        "latency": f"p50 <= {result.latency_s_p50 * 1e3:g} ms, p99 <= {result.latency_s_p99 * 1e3:g} ms",
        "scrape": f"max {max(result.scrape_s, default=0) * 1e3:.0f} ms",
        "batches": f"{result.blocks_a_batch:.0f} blocks on average",
        "memory": f"{max(result.resident_memory_bytes, default=0) / 1e6:.0f} MB at most",
        "recovered": f"{result.recovered_s:.1f} s after the end",
        "rate": f"{result.scored_per_s / 1e6:.2f} million samples/s scored, until the backlog was empty",
        "processor": f"{result.cpu_ms_per_million:.1f} ms a million samples, without generator and broker",
    }
    begun = [f"{blocks:,} by {seconds:g} s" for seconds, blocks in result.overload[:SHOWN] if blocks]
    lines["overload"] = ", ".join(begun) or "nothing was skipped in the first seconds"
    if isinstance(broker, Kafka):
        lines["lag"] = f"max {result.lag_records_max} records still to be read at a scrape"
    for name, text in lines.items():
        click.echo(f"{name:10} {text}")
    for name, cpu_s in sorted(result.cpu_s.items(), key=lambda item: -item[1]):
        click.echo(f"CPU        {name:16} {cpu_s:7.2f} s = {cpu_s / sent.seconds:.2f} cores")
