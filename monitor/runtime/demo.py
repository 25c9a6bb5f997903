"""The demo: a plant in a box, the daemon as it would run beside a real one, and a line as each thing happens.

What is printed is measured on the daemon's own figures, not scripted. Refuses to know: how anything is computed.
"""

import asyncio
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from monitor.config import Config
from monitor.runtime.daemon import Daemon
from monitor.runtime.families import ChannelTable
from monitor.runtime.plant import SAMPLING_RATE_HZ, Plant, Story, plant_channels

TOPIC = "plant/{machine}/{sensor}/acceleration"
POLL_S = 0.25
BASELINE_S = 10.0
"""Seconds at the beginning of which a channel's healthy RMS and gap ratio are taken."""

RAISED = 1.3
"""A gap ratio this many times its healthy one is worth a line."""


@dataclass
class Watched:
    """What the narrator remembers of one channel."""

    rms: list[float] = field(default_factory=list)
    """Healthy RMS values."""
    ratio: list[float] = field(default_factory=list)
    """Healthy gap ratios."""
    told: set[str] = field(default_factory=set)
    """What has been said already."""


class Narrator:
    """Looks at the daemon's figures and says what happens."""

    def __init__(self, daemon: Daemon, tell: Callable[[float, str, str], None], clock: Callable[[], float]) -> None:
        """Make a narrator.

        Args:
            daemon: whose figures.
            tell: takes seconds since the start, the channel's name, and the text.
            clock: seconds since the plant's start.
        """
        self._daemon = daemon
        self._tell = tell
        self._clock = clock
        self._watched: dict[str, Watched] = {}

    def look(self) -> None:
        """Look once."""
        table = ChannelTable(self._daemon.view())
        now_s = self._clock()
        columns = [table.column(key) for key in ("gap_ratio", "rms")]
        for channel, silent, ratio, rms in zip(table.channels, table.silent, *columns, strict=True):
            watched = self._watched.setdefault(channel.name, Watched())
            self._look_at(channel.name, watched, now_s, silent=silent, ratio=ratio, rms=rms)

    def _look_at(self, name: str, watched: Watched, now_s: float, *, silent: bool, ratio: float, rms: float) -> None:
        if silent:
            self._once(watched, "silent", now_s, name, "is silent: its gauges are gone, its last sample's time stays")
            return
        if "silent" in watched.told:
            self._once(watched, "back", now_s, name, "is back; it warms up again before it is scored")
        if not math.isfinite(ratio):
            return
        if now_s < BASELINE_S:
            watched.rms.append(rms)
            watched.ratio.append(ratio)
            return
        if not watched.rms:
            return
        healthy_ratio, healthy_rms = _median(watched.ratio), _median(watched.rms)
        if ratio > RAISED * healthy_ratio:
            text = f"its gap ratio is {ratio:.2f}, {ratio / healthy_ratio:.1f} times its healthy {healthy_ratio:.2f}"
            self._once(watched, "ratio", now_s, name, text + f" (RMS: {rms / healthy_rms:.2f} times)")
        if rms > 2 * healthy_rms:
            self._once(watched, "rms", now_s, name, "its RMS has passed twice its healthy level")

    def _once(self, watched: Watched, key: str, now_s: float, name: str, text: str) -> None:
        if key not in watched.told:
            watched.told.add(key)
            self._tell(now_s, name, text)

    def summary(self) -> list[dict[str, object]]:
        """The channels with their healthy and present gap ratio and RMS."""
        table = ChannelTable(self._daemon.view())
        rows = zip(table.channels, table.column("gap_ratio"), table.column("rms"), strict=True)
        result: list[dict[str, object]] = []
        for channel, ratio, rms in rows:
            watched = self._watched.get(channel.name, Watched())
            result.append(
                {
                    "channel": channel.name,
                    "gap_ratio_healthy": _median(watched.ratio),
                    "gap_ratio": ratio,
                    "rms_healthy": _median(watched.rms),
                    "rms": rms,
                }
            )
        return result


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else math.nan


def demo_config(broker_port: int, http_port: int) -> Config:
    """The demo's configuration."""
    return Config.model_validate(
        {
            "mqtt": {"url": f"mqtt://127.0.0.1:{broker_port}", "version": "3.1.1"},
            "sensors": [
                {
                    "topic": TOPIC,
                    "payload": {"format": "float32"},
                    "sampling_rate_hz": SAMPLING_RATE_HZ,
                    "unit": "m/s2",
                    "labels": {"axis": "x"},
                }
            ],
            "scoring": {"silent_after": 5.0},
            "limits": {"channels": 64},
            "http": {"listen": f"127.0.0.1:{http_port}"},
        }
    )


async def run_demo(
    http_port: int, duration_s: float, story: Story, *, as_json: bool, on_page: Callable[[str], None]
) -> None:
    """Run plant and daemon until the time is over or cancelled.

    Raises:
        MonitorError: broker or daemon do not start.
    """
    plant = Plant(plant_channels(story))
    await asyncio.to_thread(plant.start)
    daemon = Daemon(demo_config(plant.port, http_port))

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
    lines = [f"{'channel':24} {'gap ratio healthy':>18} {'now':>6} {'RMS healthy':>12} {'now':>6}"]
    lines += [
        f"{row['channel']:24} {row['gap_ratio_healthy']:18.2f} {row['gap_ratio']:6.2f} "
        f"{row['rms_healthy']:12.2f} {row['rms']:6.2f}"
        for row in summary
    ]
    return "\n".join(["", *lines])
