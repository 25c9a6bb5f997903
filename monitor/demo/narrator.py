"""Reports the events of the demo in words: watches the daemon's figures and reports each event once."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from monitor.core.scoring.alarm import State
from monitor.core.scoring.evidence.kinds import IN_WORDS, Kind
from monitor.runtime.daemon import Daemon
from monitor.runtime.intake.channel import ChannelState
from monitor.runtime.web.table import ChannelTable, read_table

HEALTHY_S = 16.0
"""Seconds from its first score over which a channel's healthy figures are taken. Shorter: less than a round of speeds.
Longer: the first fault falls into it."""

STEADY = 1.3
"""Highest over lowest healthy RMS of a machine with one speed, at most."""

ROUNDED = 1.02
"""Factor beyond the healthy RMS that is still called the same."""

IN_STATE = {
    ChannelState.LEARNING: "is new: nobody has calibrated it, so it learns what is healthy",
    ChannelState.PROVISIONAL: "has a provisional baseline; it is judged by it and learns on",
    ChannelState.WATCHED: "has learned: its baseline is locked, and it is watched",
}
"""What is told of a channel that learns."""


@dataclass
class Watched:
    """What the narrator knows about one channel."""

    since_s: float = math.nan
    """Seconds at which it got its first score; NaN: it has none yet."""
    rms: list[float] = field(default_factory=list)
    """RMS values of the healthy time, in m/s²."""
    ratio: list[float] = field(default_factory=list)
    """Gap ratios of the healthy time."""
    latest: tuple[float, float] = (math.nan, math.nan)
    """Latest gap ratio, and RMS in m/s²."""
    peak_score: float = 0.0
    """Highest score so far."""
    states: list[ChannelState] = field(default_factory=list)
    """States so far, in their order; the last one is the present one."""
    told: dict[str, float] = field(default_factory=dict)
    """Seconds at which each kind of event was first reported."""

    @property
    def healthy_mps2(self) -> tuple[float, float]:
        """Lowest and highest healthy RMS."""
        return (min(self.rms), max(self.rms)) if self.rms else (math.nan, math.nan)

    @property
    def steady(self) -> bool:
        """Whether its RMS is that of one speed."""
        low, high = self.healthy_mps2
        return not high > STEADY * low


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
        for place, (channel, state) in enumerate(zip(table.channels, table.state, strict=True)):
            watched = self._watched.setdefault(channel.name, Watched())
            self._tell_state(watched, state, now_s, channel.name)
            ratio, rms, score = (float(table.figures[name][place]) for name in ("gap_ratio", "rms", "score"))
            if not math.isfinite(score):
                continue
            watched.since_s = now_s if math.isnan(watched.since_s) else watched.since_s
            watched.latest = ratio, rms
            watched.peak_score = max(watched.peak_score, score)
            if table.figures["alarm_state"][place] == State.ALARM:
                text = f"ALARM: score {score:.2f} (limit 1), driven by {_loudest(table, place)}"
                self._once(watched, "alarm", now_s, channel.name, text + _rms_text(watched, rms))
            if now_s < watched.since_s + HEALTHY_S:
                watched.rms.append(rms)
                watched.ratio.append(ratio)
                continue
            low, high = watched.healthy_mps2
            if not watched.steady and state is ChannelState.WATCHED and "alarm" not in watched.told:
                text = f"its RMS follows its speed, from {low:.2f} to {high:.2f} m/s²; its highest score is"
                self._once(watched, "speed", now_s, channel.name, f"{text} {watched.peak_score:.2f}")
            if rms > 2 * high:
                self._once(watched, "rms", now_s, channel.name, _late(watched, now_s))

    def watched_since_s(self, machine: str) -> float:
        """When the last channel of a machine that learned was watched; infinite if one is not, or there is none."""
        of = [watched for name, watched in self._watched.items() if name.startswith(f"{machine}/")]
        return max((watched.told.get(ChannelState.WATCHED, math.inf) for watched in of), default=math.inf)

    def _tell_state(self, watched: Watched, state: ChannelState, now_s: float, name: str) -> None:
        if watched.states[-1:] == [state]:
            return
        watched.states.append(state)
        if state is ChannelState.SILENT:
            self._once(watched, "silent", now_s, name, "is silent; its gauges are removed")
        elif "silent" in watched.told:
            self._once(watched, "back", now_s, name, "is back; it warms up before it is scored again")
        elif state in IN_STATE and watched.states[0] is ChannelState.LEARNING:
            self._once(watched, state, now_s, name, IN_STATE[state])

    def _once(self, watched: Watched, key: str, now_s: float, name: str, text: str) -> None:
        if key not in watched.told:
            watched.told[key] = now_s
            self._tell(now_s, name, text)

    def summary(self) -> list[dict[str, Any]]:
        """The states, and the healthy and current gap ratio and RMS, of each channel."""
        return [
            {
                "channel": name,
                "state": watched.states[-1],
                "states": watched.states,
                "gap_ratio_healthy": _median(watched.ratio),
                "gap_ratio": watched.latest[0],
                "rms_healthy": watched.healthy_mps2,
                "rms": watched.latest[1],
                "peak_score": watched.peak_score,
                "watched_at_s": watched.told.get(ChannelState.WATCHED),
                "alarm_at_s": watched.told.get("alarm"),
            }
            for name, watched in self._watched.items()
        ]


def _rms_text(watched: Watched, rms: float) -> str:
    low, high = watched.healthy_mps2
    if watched.steady:
        return f"; its RMS is {rms / _median(watched.rms):.2f} times its healthy level" if watched.rms else ""
    place = "as" if low / ROUNDED <= rms <= high * ROUNDED else "outside what it was"
    return f"; its RMS is {rms:.2f} m/s², {place} when healthy ({low:.2f} to {high:.2f})"


def _late(watched: Watched, now_s: float) -> str:
    text = "its RMS has passed twice its highest healthy level"
    if "alarm" in watched.told:
        text += f", {now_s - watched.told['alarm']:.0f} s after the alarm"
    return text


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else math.nan


def _loudest(table: ChannelTable, place: int) -> str:
    return IN_WORDS[Kind(max((values[place], name) for name, values in table.evidence.items())[1])]
