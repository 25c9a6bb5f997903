"""The demo: runs the simulated plant and a real daemon, and prints a line for every event.

The lines follow from the daemon's own figures; they are not scripted.
"""

import asyncio
import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from monitor.config import Config
from monitor.core.scoring.alarm import State
from monitor.demo.plant import SAMPLING_RATE_HZ, Plant, Story, plant_channels
from monitor.model.artefact.artefact import load_artefact
from monitor.model.calibration_file import ANY_REGIME, save_calibrations
from monitor.model.engines.engines import load_engine
from monitor.offline.calibration_run import calibrate_channels, cut
from monitor.recording.source import open_recording
from monitor.recording.write import write_recording
from monitor.runtime.daemon import Daemon
from monitor.runtime.web.table import ChannelTable, read_table
from monitor.shipped import shipped

MODEL = "models/demo"
TOPIC = "plant/{machine}/{sensor}/acceleration"
POLL_S = 0.25
BASELINE_S = 12.0
"""Seconds at the start over which a channel's healthy RMS is measured."""

HEALTHY_S = 60.0
"""Seconds of healthy signal, from another simulated day, that each channel is calibrated on."""


@dataclass
class Watched:
    """What the narrator knows about one channel."""

    rms: list[float] = field(default_factory=list)
    """RMS values of the healthy time, in m/s²."""
    ratio: list[float] = field(default_factory=list)
    """Gap ratios of the healthy time."""
    peak_score: float = 0.0
    """Highest score so far."""
    told: dict[str, float] = field(default_factory=dict)
    """Seconds at which each kind of event was first reported."""


class Narrator:
    """Watches the daemon's figures and reports events."""

    def __init__(self, daemon: Daemon, tell: Callable[[float, str, str], None], clock: Callable[[], float]) -> None:
        """Watch a daemon.

        Args:
            daemon: the daemon to watch.
            tell: called with seconds since the start, the channel's name, and the text.
            clock: returns seconds since the start of the plant.
        """
        self._daemon = daemon
        self._tell = tell
        self._clock = clock
        self._watched: dict[str, Watched] = {}

    def look(self) -> None:
        """Check all channels once and report new events."""
        table = read_table(self._daemon.view())
        now_s = self._clock()
        columns = [table.figures[key].tolist() for key in ("gap_ratio", "rms", "score", "alarm_state")]
        for place, (channel, silent, ratio, rms, score, state) in enumerate(
            zip(table.channels, table.silent.tolist(), *columns, strict=True)
        ):
            watched = self._watched.setdefault(channel.name, Watched())
            if silent:
                self._once(watched, "silent", now_s, channel.name, "is silent; its gauges are removed")
                continue
            if "silent" in watched.told:
                text = "is back; it warms up before it is scored again"
                self._once(watched, "back", now_s, channel.name, text)
            if not math.isfinite(ratio):
                continue
            if now_s < BASELINE_S:
                watched.rms.append(rms)
                watched.ratio.append(ratio)
            if math.isfinite(score):
                watched.peak_score = max(watched.peak_score, score)
            if state == State.ALARM:
                text = f"ALARM: score {score:.2f} (limit 1), driven by {_loudest(table, place)}"
                self._once(watched, "alarm", now_s, channel.name, text + self._rms_text(watched, rms))
            if watched.rms and now_s >= BASELINE_S and rms > 2 * _median(watched.rms):
                self._once(watched, "rms", now_s, channel.name, self._late(watched, now_s))

    @staticmethod
    def _rms_text(watched: Watched, rms: float) -> str:
        if not watched.rms:
            return ""
        return f"; its RMS is {rms / _median(watched.rms):.2f} times its healthy level"

    @staticmethod
    def _late(watched: Watched, now_s: float) -> str:
        text = "its RMS has passed twice its healthy level"
        if "alarm" in watched.told:
            text += f", {now_s - watched.told['alarm']:.0f} s after the alarm"
        return text

    def _once(self, watched: Watched, key: str, now_s: float, name: str, text: str) -> None:
        if key not in watched.told:
            watched.told[key] = now_s
            self._tell(now_s, name, text)

    def summary(self) -> list[dict[str, object]]:
        """The healthy and current gap ratio and RMS of each channel."""
        table = read_table(self._daemon.view())
        figures = (table.figures[key].tolist() for key in ("gap_ratio", "rms"))
        result: list[dict[str, object]] = []
        for channel, ratio, rms in zip(table.channels, *figures, strict=True):
            watched = self._watched.get(channel.name, Watched())
            result.append(
                {
                    "channel": channel.name,
                    "gap_ratio_healthy": _median(watched.ratio),
                    "gap_ratio": ratio,
                    "rms_healthy": _median(watched.rms),
                    "rms": rms,
                    "peak_score": watched.peak_score,
                    "alarm_at_s": watched.told.get("alarm"),
                }
            )
        return result


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else math.nan


def _loudest(table: ChannelTable, place: int) -> str:
    return max((values[place], name) for name, values in table.evidence.items())[1]


def calibrate_plant(folder: Path) -> None:
    """Calibrate every channel of the plant on a healthy day; writes one file a channel to ``folder``.

    Raises:
        MonitorError: the shipped model cannot be used.
    """
    artefact = load_artefact(shipped(MODEL))
    engine = load_engine(artefact, "onnxruntime")
    channels = plant_channels(None, seed=11)
    recordings = []
    for number, channel in enumerate(channels):
        file = folder / f"healthy-{number}.npz"
        samples = channel.simulation.next(round(HEALTHY_S * SAMPLING_RATE_HZ))
        write_recording(file, samples, SAMPLING_RATE_HZ, "m/s2")
        recordings.append([open_recording(str(file))])
    how = cut(recordings[0], 1.0, artefact.manifest.warmup_blocks, engine.block_samples)
    level_blocks = artefact.manifest.scaling.time_constant_blocks
    calibrations = calibrate_channels(engine, level_blocks, recordings, how)
    for channel, calibration in zip(channels, calibrations, strict=True):
        save_calibrations(
            folder / f"{channel.machine}-{channel.point}.calibration",
            {ANY_REGIME: calibration},
            model_sha256=artefact.sha256,
            channel=f"{channel.machine}/{channel.point}",
            made={"healthy_s": HEALTHY_S},
        )


def demo_config(broker_port: int, http_port: int, folder: Path) -> Config:
    """The demo's configuration; ``folder`` has the calibrations, and the daemon writes the evidence to it."""
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
                    "labels": {"axis": "x"},
                    "calibration": str(folder / "{machine}-{sensor}.calibration"),
                }
            ],
            "scoring": {"silent_after": 5.0},
            "limits": {"channels": 64},
            "http": {"listen": f"127.0.0.1:{http_port}"},
            "state_dir": folder,
        }
    )


async def run_demo(
    http_port: int, duration_s: float, story: Story, *, as_json: bool, on_page: Callable[[str], None]
) -> None:
    """Run plant and daemon until the duration is over or the task is cancelled.

    Raises:
        MonitorError: the broker or the daemon does not start.
    """

    def say(text: str) -> None:
        if not as_json:
            print(text, flush=True)

    say(f"Learning what is normal: twelve channels, {HEALTHY_S:.0f} s of another, healthy day each ...")
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
        while clock() < duration_s and not serving.done():
            await asyncio.sleep(POLL_S)
            narrator.look()
        if serving.done():
            serving.result()
        print(json.dumps({"channels": narrator.summary()}) if as_json else _epilogue(narrator.summary()), flush=True)
    finally:
        if serving is not None:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        await daemon.close()
        await asyncio.to_thread(plant.stop)


def _prologue(address: str, story: Story) -> str:
    silent_s = story.dropout_s[1] - story.dropout_s[0]
    return f"""\
Twelve accelerometers on four simulated machines send 12,000 samples a second each over MQTT.
  page     {address}/
  metrics  {address}/metrics
What will happen:
  after {story.bearing_fault_s:.0f} s  fan-2's bearing begins to spall, slowly
  after {story.gear_fault_s:.0f} s  a tooth of gearbox-1 begins to crack
  after {story.dropout_s[0]:.0f} s  pump-1/foot stops sending, for {silent_s:.0f} s
fan-1 and the other points of pump-1 stay healthy. Ctrl-C ends it.
"""


def _epilogue(summary: list[dict[str, object]]) -> str:
    heads = ("channel", "gap ratio healthy", "now", "RMS healthy", "now", "peak score", "alarm at")
    lines = ["", "{:24} {:>18} {:>6} {:>12} {:>6} {:>11} {:>9}".format(*heads)]
    for row in summary:
        alarm = "-" if row["alarm_at_s"] is None else f"{row['alarm_at_s']:.0f} s"
        lines.append(
            f"{row['channel']:24} {row['gap_ratio_healthy']:18.2f} {row['gap_ratio']:6.2f} "
            f"{row['rms_healthy']:12.2f} {row['rms']:6.2f} {row['peak_score']:11.2f} {alarm:>9}"
        )
    return "\n".join(lines)
