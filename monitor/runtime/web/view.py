"""What the daemon hands to its HTTP server: the parts that metrics and page are read from.

A view copies nothing: who makes a page reads channels, boards and rings once, on the event loop, and without waiting in
between, so that what stands on one page belongs together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from monitor.config import Config
from monitor.runtime.intake.connection import MqttState
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.internal_errors import Where
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.lanes.loading import ModelInfo
from monitor.runtime.web.connections import Dropped


@dataclass(frozen=True)
class View:
    """What metrics and page are made of: counts of one instant, but channels, lanes and connection as they live on."""

    label_names: tuple[str, ...]
    """Names of the channels' labels."""
    ingest: Ingest
    """The channels and the counts of messages; live."""
    lanes: Mapping[str, Lane]
    """The lanes by model name; their boards and rings are live."""
    mqtt: MqttState
    """The connection; live."""
    models: tuple[ModelInfo, ...]
    """The models in use."""
    now_s: float
    """Monotonic now."""
    wall_offset_s: float
    """Add to a monotonic instant to get UNIX seconds."""
    silent_after_s: float
    """Silence after which a channel loses its gauges."""
    channel_limit: int
    """Most channels."""
    reload_successful: bool
    """Whether the configuration in the file is the one that runs."""
    reloaded_at_s: float
    """UNIX seconds of the last successful load of the configuration."""
    evidence_written: int = 0
    """Captures of alarms that were written."""
    evidence_failures: Mapping[str, int] = field(default_factory=dict)
    """Captures that were not, by reason."""
    state_write_failures: int = 0
    """Times the state could not be saved."""
    events_dropped: int = 0
    """Alarm events that could not be published."""
    workers: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Processes that forecast, by model."""
    certificates: Mapping[str, float] = field(default_factory=dict)
    """UNIX seconds at which certificates expire, by file."""
    internal_errors: Mapping[Where, int] = field(default_factory=dict)
    """Errors that nobody foresaw, by what was being handled."""
    http_connections: int = 0
    """HTTP connections open now."""
    http_dropped: Mapping[Dropped, int] = field(default_factory=dict)
    """HTTP connections that the server ended, by reason."""


class Service(Protocol):
    """What the server and the page ask of the daemon."""

    config: Config
    """The configuration that runs."""

    def view(self) -> View:
        """What metrics and page show, now."""

    def metrics_page(self) -> bytes:
        """The metrics in the text format."""

    def unready(self) -> list[str]:
        """Why the service is not ready; empty when it is."""

    async def reload(self) -> None:
        """Load the configuration anew; raises MonitorError and keeps the old one on failure."""


def oldest_s(view: View) -> float:
    """Age of the oldest block that waits for its score, seconds; 0 if none waits."""
    oldest = [at_s for lane in view.lanes.values() if (at_s := lane.rings.oldest_arrival_s()) is not None]
    return max(0.0, view.now_s - min(oldest)) if oldest else 0.0
