"""Handles changes of alarm states: a log line, a capture on disk, an event over MQTT.

Runs on the event loop. An error with one channel's change costs that channel's line, capture or event only.
"""

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from monitor.core.scoring.alarm import Changes, State
from monitor.core.scoring.kinds import KINDS
from monitor.runtime.alarms.capture import Capture, EvidenceWriter
from monitor.runtime.intake.channel import Channel
from monitor.runtime.internal_errors import InternalErrors, Where
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.lanes.loading import LoadedLane

LOG = logging.getLogger(__name__)


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


class AlarmDesk:
    """Logs, captures and announces every change of an alarm state."""

    def __init__(
        self,
        writer: EvidenceWriter,
        label_names: tuple[str, ...],
        wall_clock: Callable[[], float],
        on_event: Callable[[AlarmEvent], None] = lambda _: None,
        errors: InternalErrors | None = None,
    ) -> None:
        """Make a desk.

        Args:
            writer: writes captures of new alarms.
            label_names: names of the channels' labels; a reload may replace them.
            wall_clock: returns UNIX seconds.
            on_event: called with the event of every change.
            errors: counts unexpected errors; None: it makes its own counter.
        """
        self._writer = writer
        self.label_names = label_names
        self._wall_clock = wall_clock
        self._on_event = on_event
        self._errors = errors or InternalErrors(wall_clock)

    def changed(self, loaded: LoadedLane, changes: Changes, channels: Mapping[int, Channel]) -> None:
        """Handle the changes of one batch; ``channels`` are the lane's channels by row."""
        columns = (changes.rows.tolist(), changes.before.tolist(), changes.after.tolist(), changes.score.tolist())
        for row, before, after, score in zip(*columns, strict=True):
            channel = channels.get(row)
            if channel is not None:
                with self._errors.contained(Where.ALARM, channel.name):
                    self._one(loaded, channel, State(before), State(after), score)

    def _one(self, loaded: LoadedLane, channel: Channel, before: State, after: State, score: float) -> None:
        lane = loaded.lane
        evidence, band_hz = _figures(lane, channel)
        labels = dict(zip(self.label_names, channel.labels, strict=True))
        at_s = self._wall_clock()
        file = None
        if after is State.ALARM:
            capture = Capture(
                channel.name,
                labels,
                at_s,
                score,
                evidence,
                band_hz,
                channel.sensor.sampling_rate_hz,
                loaded.info.sha256,
            )
            with self._errors.contained(Where.CAPTURE, channel.name):
                file = self._writer.start(capture, lane.rings, channel, lane.viewer, lane.shape.level_blocks)
        LOG.warning(
            "alarm state: channel=%s from=%s to=%s score=%.2f evidence=%s",
            channel.name,
            before.name.lower(),
            after.name.lower(),
            score,
            max(evidence, key=evidence.__getitem__) if evidence else "none",
        )
        event = AlarmEvent(channel.name, labels, at_s, before, after, score, evidence, band_hz, file)
        channel.event = event.payload
        self._on_event(event)


def _figures(lane: Lane, channel: Channel) -> tuple[dict[str, float], tuple[float, float] | None]:
    """Score by kind of evidence of the channel's latest interval, and the band in Hz that stands out."""
    values, (low, high) = lane.board.row(("evidence", "band"), channel.row)
    nyquist_hz = channel.sensor.sampling_rate_hz / 2
    band_hz = (low * nyquist_hz, high * nyquist_hz) if low == low else None  # noqa: PLR0124 - NaN
    return dict(zip(KINDS, values, strict=True)), band_hz
