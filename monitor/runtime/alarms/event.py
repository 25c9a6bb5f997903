"""The description of an alarm: the event for MQTT, its topic, and the figures of a capture."""

import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from monitor.core.scoring.alarm import State
from monitor.runtime.alarms.in_words import NOTHING, Figures, grown, told
from monitor.runtime.intake.channel import Acknowledgement, Channel


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
    figures: Figures
    """What the latest interval shows."""
    since_s: float
    """UNIX seconds since which the state has not been ok; NaN: it is ok, or not known."""
    evidence_file: str | None
    """Name of the capture file of a new alarm; None: no capture."""
    page: str
    """URL of the channel on the live page."""
    provisional: bool = False
    """Whether the channel learns on, and its limits are provisional."""
    acknowledged: Acknowledgement | None = None
    """Who has seen the alarm; None: nobody yet."""
    diagnosis: dict[str, Any] | None = None
    """What is known of the fault; None: it has not been looked at yet."""
    named: str = ""
    """The named fault in words; empty: none."""

    @property
    def payload(self) -> str:
        """The event as JSON; a missing figure is null."""
        figures = self.figures
        return json.dumps(
            {
                "text": with_name(told(self.channel, self.before, self.after, figures), self.named),
                "time": written_time(self.at_s),
                "labels": self.labels,
                "state": self.after.name.lower(),
                "previous_state": self.before.name.lower(),
                "since": None if math.isnan(self.since_s) else written_time(self.since_s),
                "score": rounded(figures.score),
                "rms_times_healthy": rounded(figures.rms_times_healthy),
                "band_times_healthy": rounded(figures.band_times_healthy),
                "band_hz": None if figures.band_hz is None else [round(edge, 1) for edge in figures.band_hz],
                "strongest_evidence": figures.strongest,
                "evidence": {name: rounded(value) for name, value in figures.evidence.items()},
                "evidence_file": self.evidence_file,
                "provisional": self.provisional,
                "acknowledged": None if self.acknowledged is None else seen_document(self.acknowledged),
                "diagnosis": self.diagnosis,
                "page": self.page,
            },
            allow_nan=False,
        )


NAMED = " Named: "


def with_name(text: str, named: str) -> str:
    """The text of an event with the named fault in words, in place of one that it names already; empty: without."""
    bare = text.partition(NAMED)[0]
    return f"{bare}{NAMED}{named}." if named else bare


def renamed(payload: str, diagnosis: dict[str, Any], named: str) -> str:
    """The payload of an event with another diagnosis."""
    about = json.loads(payload)
    return json.dumps(about | {"text": with_name(about["text"], named), "diagnosis": diagnosis}, allow_nan=False)


def written_time(unix_s: float) -> str:
    """An instant as events write it."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds")


def rounded(value: float) -> float | None:
    """A figure as JSON has it; None if it is not finite."""
    return round(value, 4) if math.isfinite(value) else None


def since_s(payload: str) -> float:
    """UNIX seconds since which the alarm state of an event has not been ok; NaN: it is ok, or it does not say."""
    since = json.loads(payload).get("since") if payload else None
    return math.nan if since is None else datetime.fromisoformat(since).timestamp()


def seen_document(seen: Acknowledgement) -> dict[str, str]:
    """An acknowledgement as JSON."""
    return {"by": seen.by, "reason": seen.reason, "time": written_time(seen.at_s), "state": seen.state.name.lower()}


def seen_in(payload: str) -> Acknowledgement | None:
    """The acknowledgement in an event; None: there is none."""
    seen = json.loads(payload).get("acknowledged") if payload else None
    if seen is None:
        return None
    at_s = datetime.fromisoformat(seen["time"]).timestamp()
    return Acknowledgement(seen["by"], seen["reason"], at_s, State[seen["state"].upper()])


def still_seen(seen: Acknowledgement | None, before: State, after: State) -> Acknowledgement | None:
    """What is left of an acknowledgement after a change: it ends with the alarm, and when it becomes a worse one."""
    if seen is None or State.OK in {before, after} or after > seen.state:
        return None
    return seen


def restored_payload(channel: Channel, labels: dict[str, str], state: State | None, at_s: float, page: str) -> str:
    """The retained event that a channel should have after a restart.

    Args:
        channel: the channel, with the last event of the previous run.
        labels: values of its labels, by name.
        state: its restored alarm state; None: it has none.
        at_s: UNIX seconds now.
        page: URL of the channel on the live page.

    Returns:
        The last event if it reports this state, else an event without figures. Without a state: empty, which deletes
        the retained event.
    """
    if state is None:
        return ""
    if channel.event and json.loads(channel.event)["state"] == state.name.lower():
        return channel.event
    began_s = math.nan if state is State.OK else since_s(channel.event)
    seen = still_seen(seen_in(channel.event), state, state)
    return AlarmEvent(channel.name, labels, at_s, state, state, NOTHING, began_s, None, page, acknowledged=seen).payload


@dataclass(frozen=True)
class Capture:
    """The figures of an alarm that are written with the samples."""

    channel: str
    """Name of the channel."""
    labels: dict[str, str]
    """Values of the channel's labels, by name."""
    at_s: float
    """UNIX seconds at which the alarm rose."""
    figures: Figures
    """What the interval shows that raised it."""
    sampling_rate_hz: float
    """Sampling rate of the channel."""
    model_sha256: str
    """Hash of the model that forecast the samples."""
    mark: float = 1.0
    """Score that was passed: 1 at the beginning of an alarm, more as a fault grows."""

    @property
    def text(self) -> str:
        """What is captured, for a person."""
        if self.mark > 1.0:
            return grown(self.channel, self.mark, self.figures)
        return told(self.channel, State.WARNING, State.ALARM, self.figures)


def event_topic(prefix: str, labels: dict[str, str]) -> str:
    """The topic of a channel's events: prefix and label values; characters that a topic cannot contain become ``_``."""
    return f"{prefix}/{channel_key(labels)}"


def channel_key(labels: dict[str, str]) -> str:
    """The label values with ``/`` between them: what a topic, or the key of a record, says of a channel."""
    return "/".join(re.sub(r"[+#/\x00]", "_", value) for value in labels.values() if value)
