"""``record``: records channels from their live messages."""

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.cli.options.broker import broker_options
from monitor.cli.options.duration import duration as duration_option
from monitor.cli.options.force import force_option
from monitor.cli.progress import Bar, progress_bar
from monitor.cli.warning import warn
from monitor.config.kafka import Kafka
from monitor.config.mqtt import Mqtt, Sparkplug
from monitor.core.messages.decode import FORMATS
from monitor.core.units import UNITS_MPS2

if TYPE_CHECKING:
    from monitor.feed.record import Recorder
    from monitor.feed.tape import Tape, Track, Written
    from monitor.feed.wanted import Wanted

LINES_S = 10.0
"""Seconds between two lines of progress, where there is no terminal."""


@click.command()
@click.option("--topic", help="Topic, or pattern with + or {name}; default: all sensors of --config.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="A file, such as fan.npz, for one channel; a folder for any number.",
)
@click.option("--duration", callback=duration_option, required=True, help="Length of the recording, for example 60s.")
@click.option("--sampling-rate-hz", type=click.FloatRange(1, 10_000_000), help="If --config does not say it.")
@click.option("--unit", type=click.Choice(list(UNITS_MPS2)), help="If --config does not say it.")
@click.option("--format", "payload_format", type=click.Choice(FORMATS), help="If --config does not say it; or float32.")
@click.option("--axis", help="The only axis to record, if a message has several named axes.")
@click.option(
    "--rebirth", is_flag=True, help="Ask Sparkplug nodes for their births, without which aliases mean nothing."
)
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@broker_options
def command(
    topic: str | None,
    out: Path,
    duration: float,
    sampling_rate_hz: float | None,
    unit: str | None,
    payload_format: str | None,
    axis: str | None,
    rebirth: bool,
    force: bool,
    as_json: bool,
    broker: Mqtt | Kafka,
) -> None:
    """Record channels from their live messages, each to a file of its own.

    With --config FILE, rate, unit and format come from the sensors of the daemon's configuration, and all their
    channels are recorded into one folder, or those that --topic matches. Where samples are missing, a further file
    begins (NAME-2). Ctrl-C ends the recording and keeps what it has. Measured quantities (conditions) are kept beside
    the samples; calibrate and backtest use them as 'FILE?speed_rpm'.

    A Sparkplug metric is named by the topic of its data with its name behind, and --format sparkplug.

    Example: vibration-monitor record --config /etc/vibration-monitor/config.yaml --out healthy --duration 1h

    Example: vibration-monitor record --topic plant/fan-1/de/x --sampling-rate-hz 12000 --unit g --duration 60s
    --out healthy.npz
    """
    from monitor.errors import ConfigurationError, MonitorError
    from monitor.feed.record import Recorder
    from monitor.feed.tape import Tape
    from monitor.feed.wanted import Stated, what_to_record

    config_file = click.get_current_context().params["config_file"]
    if rebirth and isinstance(broker, Kafka):
        raise ConfigurationError("--rebirth: asks nodes of Sparkplug B, which need MQTT; leave it out")
    if rebirth and isinstance(broker, Mqtt):
        broker = broker.model_copy(update={"sparkplug": Sparkplug(rebirth=True)})
    stated = Stated(topic, sampling_rate_hz, unit, payload_format, axis)
    wanted = what_to_record(config_file, broker, stated)
    folder, suffix = _destination(out, single=wanted.single, force=force)
    for text in (*wanted.warnings, *_without_quantities(wanted, suffix)):
        warn(text)
    _show_log()
    tape = Tape(folder, wanted.config.limits.channels, duration)
    try:
        with progress_bar("recording") as bar:

            async def run() -> Recorder:
                recorder = Recorder(wanted, tape, warn, single=folder != out)
                await recorder.run(broker, _Shown(recorder, tape, duration, bar).look)
                return recorder

            recorder = asyncio.run(run())
        found = [(track, list(_written(tape, track, out, folder, suffix))) for track in tape.tracks.values()]
    finally:
        tape.erase()
        if folder == out and not any(out.iterdir()):
            out.rmdir()
    for track, _ in found:
        recorder.tell_rate(track)
    for expected in sorted(set(wanted.expected()) - {track.topic for track, _ in found}):
        warn(f"{expected}: the configuration expects it, but it sent nothing")
    _tell(found, recorder, as_json=as_json)
    if not any(files for _, files in found):
        raise MonitorError("record: nothing was recorded: it ended before a second of samples had come")
    if recorder.lost and not any(track.complete for track, _ in found):
        raise MonitorError(f"{recorder.lost}; what had come by then was kept")


def _without_quantities(wanted: "Wanted", suffix: str) -> Iterator[str]:
    """What is not recorded because the format has no place for it."""
    from monitor.recording.write import HOLDS_QUANTITIES

    if (names := wanted.config.condition_names) and suffix not in HOLDS_QUANTITIES:
        yield f"{suffix} files have no place for {', '.join(names)}; to keep them, write .npz or .h5"


def _destination(out: Path, *, single: bool, force: bool) -> tuple[Path, str]:
    """Check ``--out`` before anything is recorded; make the folder.

    Returns:
        The folder of the files (``out`` itself, or the one that it lies in), and their suffix.

    Raises:
        ConfigurationError: it cannot be used.
    """
    from monitor.cli.options.force import refuse_existing
    from monitor.errors import ConfigurationError
    from monitor.recording.write import destination_problems, other_suffix, written_suffix

    suffix = written_suffix(out)
    if suffix is not None and not out.is_dir():
        if problems := destination_problems(out):
            raise ConfigurationError("\n".join(f"--out {problem}" for problem in problems))
        if not single:
            raise ConfigurationError(f"--out {out}: is one file, for one topic; give a folder for several channels")
        refuse_existing(out, force=force)
        return out.parent, suffix
    if out.suffix and not out.is_dir():
        raise ConfigurationError(f"--out {other_suffix(out)}, or give a folder for several channels")
    before = sorted(file.name for file in out.glob("*.npz")) if out.is_dir() else []
    if before and not force:
        raise ConfigurationError(
            f"--out {out}: holds {len(before)} recordings, such as {before[0]}; give another folder, or --force "
            "to replace those of the same name"
        )
    # Whether its own files can be written is found out as for one of them.
    probe = (out if out.is_dir() else out.parent) / "channel.npz"
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"--out {out}: is a file without a suffix; give a folder, or a name such as fan.npz")
    if problems := destination_problems(probe):
        raise ConfigurationError("\n".join(f"--out {problem}" for problem in problems))
    out.mkdir(exist_ok=True)
    return out, ".npz"


class _Shown:
    """The progress of a recording, on a bar or in lines."""

    def __init__(self, recorder: "Recorder", tape: "Tape", duration_s: float, bar: Bar | None) -> None:
        self._recorder = recorder
        self._tape = tape
        self._duration_s = duration_s
        self._bar = bar
        self._next_line_s = time.monotonic() + LINES_S
        self._began = False

    def look(self) -> None:
        """Show how far the recording is."""
        tracks = self._tape.tracks.values()
        done = sum(track.collected / track.wanted for track in tracks) / max(1, len(tracks))
        rejected = sum(self._recorder.rejected.values())
        told = f"{len(tracks)} channel{'s' if len(tracks) != 1 else ''}, {rejected} messages rejected"
        if self._bar is not None:
            self._bar(done, told)
        elif time.monotonic() >= self._next_line_s or (tracks and not self._began):
            self._began = bool(tracks)
            self._next_line_s = time.monotonic() + LINES_S
            click.echo(f"{done * self._duration_s:.0f} s of {self._duration_s:g} s: {told}", err=True)


class _Warnings(logging.Handler):
    """Shows the warnings of the intake, such as why a message was rejected."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one warning."""
        warn(record.getMessage())


def _show_log() -> None:
    logging.basicConfig(level=logging.WARNING, handlers=[_Warnings()], force=True)
    for name in ("mqtt", "librdkafka"):  # failed connections are told by the recorder
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _written(tape: "Tape", track: "Track", out: Path, folder: Path, suffix: str) -> "list[Written]":
    return list(tape.write(track, out if folder != out else folder / f"{track.name}{suffix}", suffix))


def _tell(found: "list[tuple[Track, list[Written]]]", recorder: "Recorder", *, as_json: bool) -> None:
    """Print what was recorded."""
    if as_json:
        channels = [
            {
                "name": track.name,
                "topic": track.topic,
                "files": [str(each.file) for each in files],
                "samples": sum(each.samples for each in files),
                "sampling_rate_hz": track.sensor.sampling_rate_hz,
                "measured_rate_hz": [each.measured.rate_hz if each.measured else None for each in files],
                "unit": track.sensor.unit,
                "quantities": [each.quantities for each in files],
                "complete": track.complete,
            }
            for track, files in found
        ]
        click.echo(
            json.dumps({"channels": channels, "rejected": recorder.rejected, "interrupted": recorder.interrupted})
        )
        return
    for track, files in found:
        rate_hz = track.sensor.sampling_rate_hz
        for each in files:
            click.echo(
                f"{each.file}: {each.samples:,} samples, {each.samples / rate_hz:.6g} s at {rate_hz:g} Hz, "
                f"{track.sensor.unit}"
                + "".join(f", {name} {low:g} to {high:g}" for name, (low, high) in each.quantities.items())
            )
        if not track.complete:
            came_s, wanted_s = track.collected / rate_hz, track.wanted / rate_hz
            warn(f"{track.name}: not complete: {came_s:.6g} s of {wanted_s:.6g} s came")
        if len(files) > 1:
            missing = len(track.parts) - 1
            warn(f"{track.name}: samples were missing {missing} times; calibrate takes all its files at once")
    rejected = recorder.rejected
    reasons = f" ({', '.join(f'{count} {reason}' for reason, count in rejected.items())})" if rejected else ""
    click.echo(
        f"{len(found)} channel{'s' if len(found) != 1 else ''}, {sum(rejected.values())} messages rejected{reasons}"
    )
