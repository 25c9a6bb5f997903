"""What happens when an alarm state changes: a line in the log, evidence on disk, an event for whoever listens.

Runs on the event loop. Refuses to know: how states come about.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from monitor.core.alarm import Changes, State
from monitor.core.kinds import KINDS
from monitor.runtime.channel import Channel
from monitor.runtime.evidence import Capture, EvidenceWriter
from monitor.runtime.lane import Lane
from monitor.runtime.models import LoadedLane

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
    """The state it had."""
    after: State
    """The state it has."""
    score: float
    """Of the interval that changed it."""
    evidence: dict[str, float]
    """The score of each kind of evidence alone."""
    band_hz: tuple[float, float] | None
    """The band that stands out most, None without one."""
    evidence_file: str | None
    """Name of the file with the samples around a new alarm."""


class AlarmDesk:
    """Deals with every change."""

    def __init__(
        self,
        writer: EvidenceWriter,
        label_names: tuple[str, ...],
        wall_clock: Callable[[], float],
        on_event: Callable[[AlarmEvent], None] = lambda _: None,
    ) -> None:
        self._writer = writer
        self.label_names = label_names
        self._wall_clock = wall_clock
        self._on_event = on_event

    def changed(self, loaded: LoadedLane, changes: Changes, channels: Mapping[int, Channel]) -> None:
        """Deal with the changes of one batch; ``channels`` are those of the lane by row."""
        for row, before, after in zip(changes.rows.tolist(), changes.before, changes.after, strict=True):
            channel = channels.get(row)
            if channel is not None:
                self._one(loaded, channel, State(int(before)), State(int(after)))

    def _one(self, loaded: LoadedLane, channel: Channel, before: State, after: State) -> None:
        lane = loaded.lane
        score, evidence, band_hz = _figures(lane, channel)
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
            file = self._writer.start(capture, lane.rings, channel, lane.viewer, lane.shape.level_blocks)
        LOG.warning(
            "alarm state: channel=%s from=%s to=%s score=%.2f evidence=%s",
            channel.name,
            before.name.lower(),
            after.name.lower(),
            score,
            max(evidence, key=evidence.__getitem__) if evidence else "none",
        )
        self._on_event(AlarmEvent(channel.name, labels, at_s, before, after, score, evidence, band_hz, file))


def _figures(lane: Lane, channel: Channel) -> tuple[float, dict[str, float], tuple[float, float] | None]:
    board, row = lane.board, channel.row
    score, values, (low, high) = board.read(
        lambda: (float(board.score[row]), board.evidence[row].tolist(), board.band[row].tolist())
    )
    nyquist_hz = channel.sensor.sampling_rate_hz / 2
    band_hz = (low * nyquist_hz, high * nyquist_hz) if low == low else None  # noqa: PLR0124 - NaN
    return score, dict(zip(KINDS, values, strict=True)), band_hz
