"""The interface between the daemon and its HTTP server: the data behind metrics and page.

A view copies nothing. A page is made on the event loop without waiting in between, so all figures on it belong
together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from monitor.config.configuration import Config
from monitor.runtime.alarms.acknowledge import Acknowledgements
from monitor.runtime.baselines.desk import BaselineDesk
from monitor.runtime.diagnosis.case import Case
from monitor.runtime.diagnosis.desk import DiagnosisDesk
from monitor.runtime.history.desk import HistoryDesk
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.intake.source import SourceState
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.lanes.loading import ModelInfo
from monitor.runtime.log.internal_errors import Where
from monitor.runtime.own_model.one_model import OwnShown
from monitor.runtime.scores.desk import ScoreDesk
from monitor.runtime.web.border.connections import Dropped


@dataclass(frozen=True)
class View:
    """The data behind metrics and page: counts are of one instant; channels, lanes and connection are live objects."""

    label_names: tuple[str, ...]
    """Names of the channels' labels."""
    ingest: Ingest
    """The channels and the counts of messages; live."""
    lanes: Mapping[str, Lane]
    """The lanes by model name; their boards and rings are live."""
    source: SourceState
    """The connection to the broker; live."""
    models: tuple[ModelInfo, ...]
    """The models in use."""
    now_s: float
    """Monotonic instant at which the view was made."""
    wall_offset_s: float
    """UNIX seconds minus monotonic seconds."""
    silent_after_s: float
    """Seconds without samples after which a channel is silent and loses its gauges."""
    channel_limit: int
    """Most channels (``limits.channels``)."""
    reload_successful: bool
    """Whether the last reload succeeded."""
    reloaded_at_s: float
    """UNIX seconds of the last successful load of the configuration."""
    evidence_written: int = 0
    """Captures of alarms that were written."""
    evidence_failures: Mapping[str, int] = field(default_factory=dict)
    """Captures that failed, by reason."""
    state_write_failures: int = 0
    """Failed saves of the state."""
    learning_restarts: Mapping[str, int] = field(default_factory=dict)
    """How often channels had to learn from the beginning, by reason."""
    learning_lost: int = 0
    """Intervals that were not learned because they could not be kept."""
    own_models: Sequence[OwnShown] = ()
    """What becomes of the plant's own models."""
    events_dropped: int = 0
    """Alarm events that could not be published."""
    scores: ScoreDesk | None = None
    """Writes the scores of intervals; live."""
    workers: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Process identifiers of the workers, by model."""
    certificates: Mapping[str, float] = field(default_factory=dict)
    """UNIX seconds at which certificates expire, by file."""
    internal_errors: Mapping[Where, int] = field(default_factory=dict)
    """Unexpected errors, by what was being handled."""
    http_connections: int = 0
    """Open HTTP connections."""
    http_dropped: Mapping[Dropped, int] = field(default_factory=dict)
    """HTTP connections that the server closed, by reason."""
    url: str = ""
    """URL at which a person opens the live page, without a slash at the end."""
    cases: Mapping[tuple[str, ...], Case] = field(default_factory=dict)
    """What is known of channels' faults, by their labels; live."""
    false_alarms_per_month: float = 1.0
    """Accepted false alarms of a healthy channel (``scoring.false_alarms_per_month``)."""


class Service(Protocol):
    """The part of the daemon that the server and the page use."""

    config: Config
    """The running configuration."""
    baselines: BaselineDesk
    """What the channels were learned from, and changing it."""
    history: HistoryDesk
    """What is kept of the channels over hours, days and weeks."""
    acknowledgements: Acknowledgements
    """Takes a person's word that an alarm was seen."""
    diagnosis: DiagnosisDesk
    """What is known of channels' faults, and looking at them."""

    def view(self) -> View:
        """The data behind metrics and page, now."""

    def metrics_page(self) -> bytes:
        """The metrics in Prometheus' text format."""

    def unready(self) -> list[str]:
        """The reasons why the service is not ready; empty when it is."""

    async def reload(self) -> None:
        """Reload the configuration; on failure it raises MonitorError and keeps the old one."""


def oldest_s(view: View) -> float:
    """Age in seconds of the oldest block that waits for its score; 0 if none waits."""
    oldest = [at_s for lane in view.lanes.values() if (at_s := lane.rings.oldest_arrival_s()) is not None]
    return max(0.0, view.now_s - min(oldest)) if oldest else 0.0


def status(view: View) -> str:
    """The service in one line, for systemd."""
    broker = "connected" if view.source.connected else f"no broker ({view.source.last_error})"
    return f"{len(view.ingest.channels)} channels, {broker}, oldest waiting block {oldest_s(view):.2f} s"
