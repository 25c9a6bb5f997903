"""Reports the events of the demo in words: watches the daemon's figures and reports each event once."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from monitor.core.scoring.alarm import State
from monitor.core.scoring.kinds import IN_WORDS, Kind
from monitor.runtime.daemon import Daemon
from monitor.runtime.web.table import ChannelTable, read_table

BASELINE_S = 12.0
"""Seconds at the start over which a channel's healthy RMS is measured."""


@dataclass
class Watched:
    """What the narrator knows about one channel."""

    rms: list[float] = field(default_factory=list)
    """RMS values of the healthy time, in m/s²."""
    ratio: list[float] = field(default_factory=list)
    """Gap ratios of the healthy time."""
    latest: tuple[float, float] = (math.nan, math.nan)
    """Latest gap ratio, and RMS in m/s²."""
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
            watched.latest = ratio, rms
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
        return [
            {
                "channel": name,
                "gap_ratio_healthy": _median(watched.ratio),
                "gap_ratio": watched.latest[0],
                "rms_healthy": _median(watched.rms),
                "rms": watched.latest[1],
                "peak_score": watched.peak_score,
                "alarm_at_s": watched.told.get("alarm"),
            }
            for name, watched in self._watched.items()
        ]


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else math.nan


def _loudest(table: ChannelTable, place: int) -> str:
    return IN_WORDS[Kind(max((values[place], name) for name, values in table.evidence.items())[1])]
