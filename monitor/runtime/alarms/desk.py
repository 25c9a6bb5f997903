"""Handles changes of alarm states: a log line, a capture on disk, an event over MQTT.

Runs on the event loop. An error with one channel's change costs that channel's line, capture or event only.
"""

import json
import logging
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from monitor.core.scoring.alarm import Changes, State
from monitor.core.scoring.evidence.kinds import KINDS
from monitor.runtime.alarms.capture import EvidenceWriter
from monitor.runtime.alarms.event import (
    NAMED,
    AlarmEvent,
    Capture,
    renamed,
    restored_payload,
    seen_in,
    since_s,
    still_seen,
)
from monitor.runtime.alarms.in_words import Figures
from monitor.runtime.diagnosis.case import Case
from monitor.runtime.diagnosis.documents import in_words, summary
from monitor.runtime.history.healthy import Healthy
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.lanes.loading import LoadedLane
from monitor.runtime.log.internal_errors import InternalErrors, Where

LOG = logging.getLogger(__name__)


class AlarmDesk:
    """Logs, captures and announces every change of an alarm state."""

    def __init__(
        self,
        writer: EvidenceWriter,
        label_names: tuple[str, ...],
        wall_clock: Callable[[], float],
        page: Callable[[Mapping[str, str]], str],
        on_event: Callable[[AlarmEvent], None] = lambda _: None,
        errors: InternalErrors | None = None,
        healthy: Callable[[Channel, str], Healthy | None] = lambda *_: None,
        outlook: Callable[[Channel], str] = lambda _: "",
    ) -> None:
        """Make a desk.

        Args:
            writer: writes captures of new alarms.
            label_names: names of the channels' labels; a reload may replace them.
            wall_clock: returns UNIX seconds.
            page: returns the URL of the channel that has these labels.
            on_event: called with the event of every change.
            errors: counts unexpected errors; None: it makes its own counter.
            healthy: called on a thread with a channel and its state key; returns what it looks like when healthy.
            outlook: returns where the score of a channel goes, as a sentence; it must not wait.
        """
        self._outlook = outlook
        self._healthy = healthy
        self._writer = writer
        self.label_names = label_names
        self._wall_clock = wall_clock
        self._page = page
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

    def restored(
        self,
        channel: Channel,
        labels: dict[str, str],
        state: State | None,
        retain: Callable[[dict[str, str], str], None],
        *,
        retained_is_right: bool,
    ) -> None:
        """Take up a channel's alarm after a restart.

        Args:
            channel: the channel, with the last event of the previous run.
            labels: values of its labels, by name.
            state: its restored alarm state; None: it has none.
            retain: called with labels and payload if the event that the broker retains may be another one.
            retained_is_right: whether the broker retains what it should: so after a clean stop, not after a kill.
        """
        page = "" if state is None else self._page(labels)
        payload = restored_payload(channel, labels, state, self._wall_clock(), page)
        channel.alarm_since_s, channel.acknowledged = since_s(payload), seen_in(payload)
        if channel.event or (payload and not retained_is_right):
            retain(labels, payload)
        channel.event = payload if channel.event else ""

    def named(self, channel: Channel, case: Case, retain: Callable[[dict[str, str], str], None]) -> None:
        """Tell what a channel in warning or alarm is named as: in its event, and in the capture of its alarm.

        Args:
            channel: the channel, with its last event.
            case: what is known of its fault.
            retain: called with labels and payload of the event that the broker should retain.
        """
        if not channel.event or json.loads(channel.event)["state"] == State.OK.name.lower():
            return
        before, diagnosis, words = json.loads(channel.event), summary(case), in_words(case)
        channel.event = renamed(channel.event, diagnosis, words)
        known = before.get("diagnosis") or {}
        if not known or _parts(known) != _parts(diagnosis):
            retain(dict(zip(self.label_names, channel.labels, strict=True)), channel.event)
        if before["evidence_file"]:
            healthy = partial(self._healthy, channel, channel.key)
            self._writer.name(before["evidence_file"], channel.name, diagnosis, words, case.latest, healthy)

    def _one(self, loaded: LoadedLane, channel: Channel, before: State, after: State, score: float) -> None:
        lane = loaded.lane
        figures = _figures(lane, channel, score, self._outlook(channel))
        labels = dict(zip(self.label_names, channel.labels, strict=True))
        at_s = self._wall_clock()
        file = None
        if after is State.ALARM:
            with self._errors.contained(Where.CAPTURE, channel.name):
                file = self._capture(loaded, channel, labels, at_s, figures)
                channel.captured_score = score
        LOG.warning(
            "alarm state: channel=%s from=%s to=%s score=%.2f evidence=%r%s",
            channel.name,
            before.name.lower(),
            after.name.lower(),
            score,
            figures.strongest,
            " provisional=yes" if channel.provisional else "",
        )
        if after is State.OK:
            channel.alarm_since_s = math.nan
        elif before is State.OK or math.isnan(channel.alarm_since_s):
            channel.alarm_since_s = at_s
        channel.acknowledged = still_seen(channel.acknowledged, before, after)
        known = json.loads(channel.event) if channel.event and after is not State.OK else {}
        event = AlarmEvent(
            channel.name,
            labels,
            at_s,
            before,
            after,
            figures,
            channel.alarm_since_s,
            file,
            self._page(labels),
            provisional=channel.provisional,
            acknowledged=channel.acknowledged,
            diagnosis=known.get("diagnosis"),
            named=known.get("text", "").partition(NAMED)[2].removesuffix("."),
        )
        channel.event = event.payload
        self._on_event(event)

    def grown(self, loaded: LoadedLane, channel: Channel, mark: float) -> None:
        """Capture a channel in alarm again, whose score has passed ``mark``."""
        (score,) = loaded.lane.board.row(("score",), channel.row)
        figures = _figures(loaded.lane, channel, score, self._outlook(channel))
        labels = dict(zip(self.label_names, channel.labels, strict=True))
        LOG.warning("alarm grown: channel=%s past=%g evidence=%r", channel.name, mark, figures.strongest)
        self._capture(loaded, channel, labels, self._wall_clock(), figures, mark)

    def _capture(
        self,
        loaded: LoadedLane,
        channel: Channel,
        labels: dict[str, str],
        at_s: float,
        figures: Figures,
        mark: float = 1.0,
    ) -> str | None:
        """Start a capture; returns the name of its file, None if there is none."""
        lane, rate_hz = loaded.lane, channel.sensor.sampling_rate_hz
        capture = Capture(channel.name, labels, at_s, figures, rate_hz, loaded.info.sha256, mark)
        healthy = partial(self._healthy, channel, channel.key)
        return self._writer.start(capture, lane.rings, channel, lane.viewer, lane.shape.level_blocks, healthy)


def _figures(lane: Lane, channel: Channel, score: float, outlook: str) -> Figures:
    """The figures of the channel's latest interval, and the score of the one that changed the state."""
    values, (low, high), times = lane.board.row(("evidence", "band", "times_healthy"), channel.row)
    nyquist_hz = channel.sensor.sampling_rate_hz / 2
    band_hz = (low * nyquist_hz, high * nyquist_hz) if low == low else None  # noqa: PLR0124 - NaN
    rms, band = times
    return Figures(score, dict(zip(KINDS, values, strict=True)), band_hz, rms, band, outlook)


def _parts(diagnosis: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(fault["fault"], fault["part"]) for fault in diagnosis["faults"]}
