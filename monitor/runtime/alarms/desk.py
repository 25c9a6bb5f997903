"""What happens when an alarm state changes: a line in the log, evidence on disk, an event for whoever listens.

Runs on the event loop. An error with one channel's change costs that channel's line, evidence or event only.
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
    """The channel's name."""
    labels: dict[str, str]
    """Its labels."""
    at_s: float
    """UNIX seconds."""
    before: State
    """The state it had; the same as ``after`` when an earlier run left it there."""
    after: State
    """The state it has."""
    score: float
    """Of the interval that changed it; NaN: no interval did."""
    evidence: dict[str, float]
    """The score of each kind of evidence alone, in the latest interval."""
    band_hz: tuple[float, float] | None
    """The band that stands out most, None without one."""
    evidence_file: str | None
    """Name of the file with the samples around a new alarm."""

    @property
    def payload(self) -> str:
        """The event as JSON; a figure that does not exist is null."""
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
    """What the retained event of a channel should be after a restart.

    Args:
        channel: with the last event of the run before.
        labels: its labels.
        state: the alarm state that it came back with, None without one.
        at_s: UNIX seconds.

    Returns:
        The last event if it says this state, else one without figures; empty, which ends the retained one, where there
        is no state.
    """
    if state is None:
        return ""
    if channel.event and json.loads(channel.event)["state"] == state.name.lower():
        return channel.event
    return AlarmEvent(channel.name, labels, at_s, state, state, math.nan, {}, None, None).payload


class AlarmDesk:
    """Deals with every change."""

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
            writer: keeps evidence of new alarms.
            label_names: names of the channels' labels; a reload may replace them.
            wall_clock: UNIX seconds.
            on_event: told of every change.
            errors: counts what no change should raise; a net of its own without it.
        """
        self._writer = writer
        self.label_names = label_names
        self._wall_clock = wall_clock
        self._on_event = on_event
        self._errors = errors or InternalErrors(wall_clock)

    def changed(self, loaded: LoadedLane, changes: Changes, channels: Mapping[int, Channel]) -> None:
        """Deal with the changes of one batch; ``channels`` are those of the lane by row."""
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
    """The evidence of the channel's latest interval, and its band."""
    values, (low, high) = lane.board.row(("evidence", "band"), channel.row)
    nyquist_hz = channel.sensor.sampling_rate_hz / 2
    band_hz = (low * nyquist_hz, high * nyquist_hz) if low == low else None  # noqa: PLR0124 - NaN
    return dict(zip(KINDS, values, strict=True)), band_hz
