"""The description of an alarm: the event for MQTT, its topic, and the figures of a capture."""

import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from monitor.core.scoring.alarm import State
from monitor.runtime.intake.channel import Channel


@dataclass(frozen=True)
class AlarmEvent:
    """A change of one channel's alarm state."""

    channel: str
    """Name of the channel."""
    labels: dict[str, str]
    """Values of the channel's labels, by name."""
    at_s: float
    """UNIX seconds of the change."""
    before: State
    """The previous state; equal to ``after`` if the state was restored from an earlier run."""
    after: State
    """The present state."""
    score: float
    """Score of the interval that changed the state; NaN: no interval changed it."""
    evidence: dict[str, float]
    """Score of each kind of evidence alone, in the latest interval."""
    band_hz: tuple[float, float] | None
    """Frequency band that stands out most; None: none does."""
    evidence_file: str | None
    """Name of the capture file of a new alarm; None: no capture."""
    provisional: bool = False
    """Whether the channel learns on, and its limits are provisional."""

    @property
    def payload(self) -> str:
        """The event as JSON; a missing figure is null."""
        return json.dumps(
            {
                "time": datetime.fromtimestamp(self.at_s, UTC).isoformat(timespec="milliseconds"),
                "labels": self.labels,
                "state": self.after.name.lower(),
                "previous_state": self.before.name.lower(),
                "score": _rounded(self.score),
                "evidence": {name: _rounded(value) for name, value in self.evidence.items()},
                "band_hz": None if self.band_hz is None else [round(edge, 1) for edge in self.band_hz],
                "evidence_file": self.evidence_file,
                "provisional": self.provisional,
            },
            allow_nan=False,
        )


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def restored_payload(channel: Channel, labels: dict[str, str], state: State | None, at_s: float) -> str:
    """The retained event that a channel should have after a restart.

    Args:
        channel: the channel, with the last event of the previous run.
        labels: values of its labels, by name.
        state: its restored alarm state; None: it has none.
        at_s: UNIX seconds now.

    Returns:
        The last event if it reports this state, else an event without figures. Without a state: empty, which deletes
        the retained event.
    """
    if state is None:
        return ""
    if channel.event and json.loads(channel.event)["state"] == state.name.lower():
        return channel.event
    return AlarmEvent(channel.name, labels, at_s, state, state, math.nan, {}, None, None).payload


@dataclass(frozen=True)
class Capture:
    """The figures of an alarm that are written with the samples."""

    channel: str
    """Name of the channel."""
    labels: dict[str, str]
    """Values of the channel's labels, by name."""
    at_s: float
    """UNIX seconds at which the alarm rose."""
    score: float
    """Score of the interval that raised the alarm."""
    evidence: dict[str, float]
    """Score of each kind of evidence alone, in that interval."""
    band_hz: tuple[float, float] | None
    """Frequency band that stood out most; None: none did."""
    sampling_rate_hz: float
    """Sampling rate of the channel."""
    model_sha256: str
    """Hash of the model that forecast the samples."""


def event_topic(prefix: str, labels: dict[str, str]) -> str:
    """The topic of a channel's events: prefix and label values; characters that a topic cannot contain become ``_``."""
    levels = [re.sub(r"[+#/\x00]", "_", value) for value in labels.values() if value]
    return "/".join([prefix, *levels])
