"""Topics of Sparkplug B messages, and the topic of one metric.

A message of a device arrives on ``spBv1.0/GROUP/DDATA/NODE/DEVICE`` and holds many metrics. A sensor names metrics by
that topic with the metric's name behind it, ``spBv1.0/{group}/DDATA/{node}/{device}/{metric}``; those of a node itself
by ``spBv1.0/{group}/NDATA/{node}/{metric}``. A ``/`` in the name of a metric begins another level, as in any topic. So
a metric has labels, and no two sensors have the same one, by the rules of all other topics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from monitor.core.messages.topics import TopicPattern

NAMESPACE = "spBv1.0"
"""First level of every topic of Sparkplug B."""

LONGEST_TOPIC = 512
"""Most characters of a topic, with the name of a metric. Shorter: metrics with long names are not taken. Longer: what
is remembered of nodes takes more memory."""

Kind = Literal["NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"]
"""The kinds of messages that nodes send for themselves (N) and for their devices (D)."""

KINDS: tuple[Kind, ...] = get_args(Kind)

NodeName = tuple[str, str]
"""Group and node."""


@dataclass(frozen=True, slots=True)
class Address:
    """The topic of one message, taken apart."""

    kind: Kind
    """Kind of the message."""
    node: NodeName
    """Its group and node."""
    device: str
    """Its device; empty: the node itself."""

    @property
    def prefix(self) -> str:
        """What comes before a metric's name in its topic."""
        group, node = self.node
        return (
            f"{NAMESPACE}/{group}/DDATA/{node}/{self.device}/" if self.device else f"{NAMESPACE}/{group}/NDATA/{node}/"
        )


def address_of(topic: str) -> Address | None:
    """Take a message's topic apart; None if it is not that of a birth, of data or of a death."""
    levels = topic.split("/", 5)
    if levels[0] != NAMESPACE or len(topic) > LONGEST_TOPIC or not 4 <= len(levels) <= 5 or not all(levels):
        return None
    for kind in KINDS:
        if levels[2] == kind and len(levels) == (4 if kind[0] == "N" else 5):
            return Address(kind, (levels[1], levels[3]), levels[4] if len(levels) == 5 else "")
    return None


def owner_of(topic: str) -> tuple[NodeName, str]:
    """The node and the device of a metric's topic."""
    levels = topic.split("/", 5)
    return (levels[1], levels[3]), levels[4] if levels[2] == "DDATA" else ""


def rebirth_topic(node: NodeName) -> str:
    """The topic of commands to a node."""
    return f"{NAMESPACE}/{node[0]}/NCMD/{node[1]}"


def require_metric_topic(pattern: str) -> None:
    """Check the topic pattern of a sensor.

    Raises:
        ValueError: it cannot be that of metrics.
    """
    levels = pattern.split("/")
    device = len(levels) > 2 and levels[2] == "DDATA"
    if levels[0] != NAMESPACE or len(levels) < (6 if device else 5) or not (device or levels[2] == "NDATA"):
        raise ValueError(
            f"topic: '{pattern}' is not that of Sparkplug metrics; write spBv1.0/{{group}}/DDATA/{{node}}/{{device}}/"
            "{metric}, or spBv1.0/{group}/NDATA/{node}/{metric} for metrics of the node itself"
        )


def message_filters(pattern: str) -> list[str]:
    """The MQTT topic filters for the metrics of a sensor.

    The messages of a node are numbered together, so those of all its devices are needed to know that none is missing.
    """
    levels = TopicPattern.parse(pattern).subscription.split("/")
    group, node = levels[1], levels[3]
    filters = {kind: f"{NAMESPACE}/{group}/{kind}/{node}" for kind in KINDS}
    return [text if kind[0] == "N" else f"{text}/+" for kind, text in filters.items()]


class Wanted:
    """Tells which metrics the sensors of a configuration want."""

    def __init__(self, sensors: Sequence[tuple[str, str]]) -> None:
        """Take the sensors.

        Args:
            sensors: topic pattern of each, and NumPy's type of the samples in its metrics of type Bytes.
        """
        self.sensors = tuple(sensors)
        self._patterns = [(TopicPattern.parse(topic), packing) for topic, packing in sensors]

    def packing(self, topic: str) -> str | None:
        """How metrics of type Bytes are packed, for the topic of a metric that a sensor wants; else None."""
        if len(topic) > LONGEST_TOPIC:
            return None
        return next((packing for pattern, packing in self._patterns if pattern.match(topic) is not None), None)

    def concerns(self, address: Address) -> bool:
        """Whether a metric of this node itself, or of this device, can be wanted."""
        own = address.prefix.split("/")[:-1]
        return any(_begins(pattern, own) for pattern, _ in self._patterns)

    def concerns_node(self, node: NodeName) -> bool:
        """Whether a metric of this node or of any of its devices can be wanted."""
        group, name = node
        kinds = ("NDATA", "DDATA")
        return any(_begins(pattern, [NAMESPACE, group, kind, name]) for pattern, _ in self._patterns for kind in kinds)


def _begins(pattern: TopicPattern, levels: Sequence[str]) -> bool:
    """Whether a topic that begins with these levels can match a pattern."""
    pairs = zip(pattern.levels, levels, strict=False)
    return len(pattern.levels) > len(levels) and all(
        wanted in {"+", level} or wanted.startswith("{") for wanted, level in pairs
    )
