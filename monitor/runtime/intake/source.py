"""What the daemon needs of the connection that its messages come from, whatever is at the other end.

:class:`monitor.runtime.intake.mqtt.connection.MqttSource` and
:class:`monitor.runtime.intake.kafka.source.KafkaSource` are sources. Does not handle: which of them a configuration
wants (``broker``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from monitor.core.messages.rejection import Rejected


@dataclass
class SourceState:
    """State of the connection, for the metrics and the readiness answer."""

    connected: bool = False
    """Whether messages can come."""
    connections: int = 0
    """Successful connections since the start."""
    last_error: str = "not connected yet"
    """Why the last connection ended or failed."""

    @property
    def reconnects(self) -> int:
        """Successful connections after the first."""
        return max(0, self.connections - 1)

    @property
    def problem(self) -> str:
        """Why the connection is not ready, for the readiness answer; empty when it is."""
        return "" if self.connected else self.last_error


class Source(Protocol):
    """Keeps one connection alive and hands its messages on."""

    @property
    def state(self) -> SourceState:
        """State of the connection."""

    async def run(self) -> None:
        """Connect, and connect again after every loss, until cancelled."""

    async def publish(self, topic: str, payload: str | bytes, *, retain: bool = False) -> bool:
        """Publish if connected; returns whether the message was accepted."""

    async def close(self) -> None:
        """Say goodbye while still connected; :meth:`run` is cancelled afterwards."""


class Reached(NamedTuple):
    """How far the stream of a topic is."""

    samples: int
    """Samples of each axis in the last message that was used."""
    next_samples: Mapping[str, int]
    """Stream index of the next sample, by axis."""
    waits: bool
    """Whether messages wait for an earlier one."""


class Receiver(Protocol):
    """Takes the messages of a source: :class:`monitor.runtime.intake.ingest.Ingest`."""

    def deliver(self, topic: str, payload: bytes, *, retained: bool = False, arrived_s: float | None = None) -> None:
        """Take one message, which came at the monotonic instant ``arrived_s``; None: now."""

    def has_room(self, topic: str) -> bool:
        """Whether the buffers of a topic's channels are at most half full."""

    def knows(self, topic: str) -> bool:
        """Whether a topic has channels."""

    def reached(self, topic: str) -> Reached | None:
        """How far the stream of a topic is; None: it has no channels."""

    def reject(self, topic: str, rejected: Rejected) -> None:
        """Count a message that is not used."""

    def leave(self, topics: Iterable[str]) -> None:
        """Let go of the channels of topics: another daemon has them from now on."""
