"""The demo: runs the simulated plant and a real daemon, and prints a line for every event.

The lines follow from the daemon's own figures; they are not scripted.
"""

import asyncio
import json
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monitor.config.configuration import Config
from monitor.demo.narrator import Narrator
from monitor.demo.plant import NEWCOMER, SAMPLING_RATE_HZ, Plant, Story, plant_channels
from monitor.model.artefact.artefact import load_artefact
from monitor.model.calibration_file import ANY_REGIME, save_calibrations
from monitor.model.engines.engines import load_engine
from monitor.offline.calibration_run import calibrate_channels, cut
from monitor.recording.source import open_recording
from monitor.recording.write import write_recording
from monitor.runtime.baselines.store import Asked, Store
from monitor.runtime.daemon import Daemon
from monitor.shipped import shipped

MODEL = "models/demo"
TOPIC = "plant/{machine}/{sensor}/acceleration"
AXIS = "x"
INTERVAL_S = 0.5
POLL_S = 0.25
HEALTHY_S = 30.0
"""Seconds of healthy signal, from another simulated day, that the channels of the start are calibrated on: two
rounds of all speeds."""

LEARNING = {"enabled": True, "duration": 30.0, "minimum": 20.0, "settle": 0.0}
"""What takes a week in a plant, in seconds. A shorter minimum: a provisional baseline that has not seen all speeds, a
round of which takes 15 s, calls the others a fault."""


def calibrate_plant(folder: Path) -> None:
    """Make a baseline of a healthy day, in the state directory ``folder``, for all but the newcomer.

    Raises:
        MonitorError: the shipped model cannot be used.
    """
    artefact = load_artefact(shipped(MODEL))
    engine = load_engine(artefact, "onnxruntime")
    channels = [channel for channel in plant_channels(None, seed=11) if channel.machine != NEWCOMER]
    recordings = []
    for number, channel in enumerate(channels):
        file = folder / f"healthy-{number}.npz"
        samples = channel.simulation.next(round(HEALTHY_S * SAMPLING_RATE_HZ))
        write_recording(file, samples, SAMPLING_RATE_HZ, "m/s2")
        recordings.append([open_recording(str(file))])
    how = cut(recordings[0], INTERVAL_S, artefact.manifest.warmup_blocks, engine.block_samples)
    level_blocks = artefact.manifest.scaling.time_constant_blocks
    calibrations = calibrate_channels(engine, level_blocks, recordings, how)
    store, file = Store(folder, time.time), folder / "calibration.npz"
    for channel, calibration in zip(channels, calibrations, strict=True):
        labels = {"machine": channel.machine, "sensor": channel.point, "axis": AXIS}
        save_calibrations(
            file,
            {ANY_REGIME: calibration},
            model_sha256=artefact.sha256,
            channel="/".join(labels.values()),
            made={"healthy_s": HEALTHY_S},
        )
        store.bring(labels, file, Asked("demo", f"{HEALTHY_S:.0f} s of another, healthy day"))


def demo_config(broker_port: int, http_port: int, folder: Path) -> Config:
    """The demo's configuration; ``folder`` is the state directory, with the baselines."""
    return Config.model_validate(
        {
            "mqtt": {"url": f"mqtt://127.0.0.1:{broker_port}", "version": "3.1.1"},
            "models": {"default": MODEL},
            "sensors": [
                {
                    "topic": TOPIC,
                    "payload": {"format": "float32"},
                    "sampling_rate_hz": SAMPLING_RATE_HZ,
                    "unit": "m/s2",
                    "labels": {"axis": AXIS},
                }
            ],
            "learning": LEARNING,
            "scoring": {"interval": INTERVAL_S, "silent_after": 5.0},
            "limits": {"channels": 64},
            "http": {"listen": f"127.0.0.1:{http_port}"},
            "state_dir": folder,
        }
    )


async def run_demo(
    http_port: int, duration_s: float, story: Story, *, as_json: bool, on_page: Callable[[str], None]
) -> None:
    """Run plant and daemon until the duration is over, or Ctrl-C or SIGTERM ends it, then print a summary.

    Raises:
        MonitorError: the broker or the daemon does not start.
    """

    def say(text: str) -> None:
        if not as_json:
            print(text, flush=True)

    say(f"Learning what is healthy: fifteen channels, {HEALTHY_S:.0f} s of another day each ...")
    with tempfile.TemporaryDirectory(prefix="vibration-monitor-demo-") as folder:
        await asyncio.to_thread(calibrate_plant, Path(folder))
        await _run(http_port, duration_s, story, Path(folder), as_json=as_json, on_page=on_page)


async def _run(
    http_port: int, duration_s: float, story: Story, folder: Path, *, as_json: bool, on_page: Callable[[str], None]
) -> None:
    plant = Plant(plant_channels(story))
    await asyncio.to_thread(plant.start)
    daemon = Daemon(demo_config(plant.port, http_port, folder))

    def clock() -> float:
        return time.monotonic() - plant.started_s

    def tell(at_s: float, name: str, text: str) -> None:
        if as_json:
            print(json.dumps({"at_s": round(at_s, 1), "channel": name, "text": text}), flush=True)
        else:
            print(f"{at_s:6.1f} s  {name}: {text}", flush=True)

    serving: asyncio.Task[None] | None = None
    try:
        await daemon.start()
        serving = asyncio.create_task(daemon.serve())
        narrator = Narrator(daemon, tell, clock)
        if not as_json:
            print(_prologue(daemon.address, story), flush=True)
        on_page(daemon.address)
        broken = False
        with _stop_signals() as stopped:
            while clock() < duration_s and not serving.done() and not stopped.is_set():
                await asyncio.sleep(POLL_S)
                narrator.look()
                if not broken and clock() > narrator.watched_since_s(NEWCOMER) + story.watched_s:
                    broken = True
                    plant.break_down(NEWCOMER)
                    tell(clock(), NEWCOMER, "the outer race of its bearing begins to spall")
        if serving.done():
            serving.result()
        print(json.dumps({"channels": narrator.summary()}) if as_json else _epilogue(narrator.summary()), flush=True)
    finally:
        if serving is not None:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        await daemon.close()
        await asyncio.to_thread(plant.stop)


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C or SIGTERM sets, so that the demo ends with its summary; afterwards they act as before."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _prologue(address: str, story: Story) -> str:
    silent_s = story.dropout_s[1] - story.dropout_s[0]
    return f"""\
Fifteen accelerometers on five simulated machines send 12,000 samples a second each over MQTT.
  page     {address}/
  metrics  {address}/metrics
What will happen:
  all the time  pump-2 changes its speed, and with it its RMS; it has no fault
  after {story.bearing_fault_s:.0f} s    fan-2's bearing begins to spall, slowly
  after {story.gear_fault_s:.0f} s    a tooth of gearbox-1 begins to crack
  after {story.appears_s:.0f} s    fan-3 is connected, whose speed changes too; it learns by itself what is healthy
  after {story.dropout_s[0]:.0f} s    pump-1/foot stops sending, for {silent_s:.0f} s
  at the end    fan-3 is watched, and {story.watched_s:.0f} s later its bearing begins to spall
fan-1, pump-2 and the other points of pump-1 stay healthy. Ctrl-C ends it.
"""


def _epilogue(summary: list[dict[str, Any]]) -> str:
    line = "{:22} {:>11} {:>10} {:>6} {:>12} {:>6} {:>11} {:>9} {:>9}"
    heads = ("channel", "state", "gap ratio", "now", "RMS healthy", "now", "peak score", "watched", "alarm")
    lines = ["", line.format(*heads)]
    for row in summary:
        low, high = row["rms_healthy"]
        lines.append(
            line.format(
                row["channel"],
                row["state"],
                f"{row['gap_ratio_healthy']:.2f}",
                f"{row['gap_ratio']:.2f}",
                f"{low:.2f} to {high:.2f}",
                f"{row['rms']:.2f}",
                f"{row['peak_score']:.2f}",
                _at(row["watched_at_s"]),
                _at(row["alarm_at_s"]),
            )
        )
    return "\n".join(lines)


def _at(at_s: float | None) -> str:
    return "-" if at_s is None else f"{at_s:.0f} s"
