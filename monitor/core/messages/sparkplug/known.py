"""What is known of a node, of its devices, and of the order of each metric: plain records, kept by ``nodes``."""

from dataclasses import dataclass, field

FIRST_NUMBER = 2**40
"""Number of the first message of a metric: beyond the counters of sensors, which begin again at 0."""

ENDED = -1
"""Stands for the number of breaks where a death came after the last samples."""


@dataclass(slots=True)
class Stream:
    """The order of the samples of one metric."""

    breaks: int
    """Breaks of its node's numbers when its last samples came; ``ENDED``: its device has died since."""
    number: int = FIRST_NUMBER
    """Number of its last message."""
    t: float | None = None
    """UNIX seconds of its last samples."""
    count: int = 0
    """How many those were."""


@dataclass(slots=True)
class Device:
    """What is known of a device, or of a node as far as its own metrics are concerned."""

    born: bool = False
    """Whether its birth is known."""
    topics: dict[int, str] = field(default_factory=dict)
    """Topics of the metrics of its birth that sensors want, by alias."""
    types: dict[str, int] = field(default_factory=dict)
    """Types of these metrics, by topic."""
    streams: dict[str, Stream] = field(default_factory=dict)
    """The order of its metrics that are channels, by topic."""


@dataclass(slots=True)
class Node:
    """What is known of a node."""

    seq: int | None = None
    """Number of its last message; None: not known."""
    bd_seq: int | None = None
    """Number of its present session, from its birth."""
    breaks: int = 0
    """Breaks in the numbers of its messages, and messages that could not be read."""
    again: bool = False
    """Whether its last message had the number of the one before."""
    devices: dict[str, Device] = field(default_factory=dict)
    """Its devices by name; empty name: itself."""
