"""What births, deaths and sequence numbers say of the metrics of Sparkplug B nodes.

A birth gives each metric a name, a type and, as a rule, an alias; data that follows may name the alias only. A death
ends a device, or a node with all of its devices. Each message of a node, whatever its device, has the next number of
256: a break in the numbers means that messages of some metrics are missing, or that a birth is. Then the time of the
next samples decides for each metric whether it is concerned (:meth:`Nodes.order`), and the node can be asked for its
births again.

Only metrics that a sensor wants are remembered, and no more than a given number. Does not handle: channels, and sending
the request.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from monitor.core.arrays import Numbers
from monitor.core.messages.order.continuity import LATE_MESSAGES
from monitor.core.messages.rejection import Reason, Rejected, shown
from monitor.core.messages.sparkplug.addresses import Address, NodeName, Wanted, owner_of
from monitor.core.messages.sparkplug.known import ENDED, FIRST_NUMBER, Device, Node, Stream
from monitor.core.messages.sparkplug.payload import (
    ARRAYS,
    INTEGERS,
    Metric,
    Payload,
    captured_at,
    integer,
    parse_payload,
    plain_type,
    samples_of,
)
from monitor.core.messages.sparkplug.rebirths import Rebirths
from monitor.core.messages.sparkplug.schema import Datatype

SEQ_RANGE = 256
"""Numbers of messages begin again after this many."""

DEVICES_A_METRIC = 16
"""Devices whose birth is remembered, for each metric that may be. Fewer: in a plant of many devices without vibration
their data is taken for data without birth. More: births of made-up devices take more memory, half a kilobyte each."""

SAMPLED = frozenset({*ARRAYS, *INTEGERS, Datatype.FLOAT, Datatype.DOUBLE, Datatype.BYTES})
"""Types of metrics that hold samples."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of one metric in one message."""

    topic: str
    """Topic of the metric."""
    values: Numbers
    """(n,) finite samples."""
    t: float | None
    """UNIX seconds of the first one."""


@dataclass(slots=True)
class Heard:
    """What one message holds."""

    samples: list[Samples] = field(default_factory=list)
    """Samples of metrics that a sensor wants."""
    rejected: list[tuple[str, Rejected]] = field(default_factory=list)
    """What cannot be used: topic of the metric or of the message, and why."""
    ended: list[str] = field(default_factory=list)
    """Topics of the channels that a death has ended."""
    born: dict[str, int] | None = None
    """Types of the metrics of a birth that are wanted, by topic."""


class Nodes:
    """All nodes whose messages arrive."""

    def __init__(self, wanted: Wanted, clock: Callable[[], float]) -> None:
        """Know of no node; :meth:`configure` sets the limits.

        Args:
            wanted: the metrics that sensors want.
            clock: monotonic seconds.
        """
        self.breaks = 0
        """Breaks in the numbers of all nodes so far."""
        self.rebirths = Rebirths(clock)
        """The nodes that are to be asked for their births."""
        self._wanted = wanted
        self._most = 0
        self._nodes: dict[NodeName, Node] = {}
        self._latest: Samples | None = None
        self._metrics = 0
        self._devices = 0

    def configure(self, wanted: Wanted, most: int, *, asks: bool) -> None:
        """Take a new configuration. If it wants other metrics, all births are forgotten: they must come again.

        Args:
            wanted: the metrics that sensors want.
            most: most metrics to remember from births.
            asks: whether nodes are asked for their births.
        """
        self._most = most
        self.rebirths.configure(most, asks=asks)
        if wanted.sensors != self._wanted.sensors:
            for name, node in list(self._nodes.items()):
                for device in list(node.devices):
                    self._forget_birth(name, device)
        self._wanted = wanted

    def joined(self, topic: str) -> None:
        """Note that a metric is a channel now; the samples that made it one were the last that :meth:`order` saw."""
        name, device = owner_of(topic)
        node = self._nodes.setdefault(name, Node())
        stream = node.devices.setdefault(device, Device()).streams[topic] = Stream(node.breaks)
        if self._latest is not None and self._latest.topic == topic:
            stream.t, stream.count = self._latest.t, self._latest.values.shape[0]
            self._latest = None

    def left(self, topic: str) -> None:
        """Note that a metric is not a channel any more."""
        name, device = owner_of(topic)
        known = self._device(name, device)
        if known is not None:
            known.streams.pop(topic, None)
            self._tidy(name, device)

    def take(self, address: Address, payload: bytes) -> Heard:
        """Take one message.

        Args:
            address: its topic.
            payload: its bytes, of any contents.

        Returns:
            What it holds. Samples are not in order yet: see :meth:`order`.

        Raises:
            Rejected: the payload cannot be read.
        """
        node = self._nodes.get(address.node)
        try:
            read = parse_payload(payload)
        except Rejected:
            if node is not None:
                node.breaks += 1  # it may have been of any metric of this node
                node.seq = None
            raise
        heard = Heard()
        if address.kind == "NDEATH":
            self._node_dies(address, read, heard)
            return heard
        if address.kind == "NBIRTH":
            self._begin_session(address.node)
        elif node is not None:
            self._follow(address.node, node, read.seq)
        if address.kind in {"NBIRTH", "DBIRTH"}:
            self._bear(address, read, heard)
        elif address.kind == "DDEATH":
            self._device_dies(address, heard)
        else:
            self._hear(address, read, heard)
        return heard

    def order(self, samples: Samples, sampling_rate_hz: float, pause_s: float) -> tuple[int | None, bool]:
        """Number the messages of one metric, as :class:`monitor.core.messages.order.continuity.Continuity` expects it.

        As long as no message of the node is missing, none of the metric is: then samples follow each other although
        their times jitter, as they do when a gateway takes the time of sending. Otherwise their time tells how many
        messages are missing, or that this one is repeated or late. A jump of the time by more than a pause always
        counts: the sensor has rested.

        Args:
            samples: of one message; call it once.
            sampling_rate_hz: rate of its samples.
            pause_s: longest pause between two messages that is not a silence.

        Returns:
            The number; None without a time. And whether samples may be missing that no time can tell.
        """
        self._latest = samples
        name, device = owner_of(samples.topic)
        known = self._device(name, device)
        stream = known.streams.get(samples.topic) if known is not None else None
        if stream is None:  # its first samples
            return (FIRST_NUMBER if samples.t is not None else None), False
        node = self._nodes[name]
        broken, stream.breaks = stream.breaks != node.breaks, node.breaks
        step = 1
        if samples.t is None:
            stream.t = None
            return None, broken
        if stream.t is not None:
            ahead = (samples.t - stream.t) * sampling_rate_hz - stream.count
            if broken or node.again or node.seq is None or ahead > pause_s * sampling_rate_hz:
                step = 1 + round(ahead / stream.count)
        number = stream.number + step
        if step > 0 or step < -LATE_MESSAGES:  # else it is repeated or late
            stream.number, stream.t, stream.count = number, samples.t, samples.values.shape[0]
        return number, False

    def _device(self, name: NodeName, device: str) -> Device | None:
        node = self._nodes.get(name)
        return node.devices.get(device) if node is not None else None

    def _follow(self, name: NodeName, node: Node, seq: int | None) -> None:
        """Compare the number of a message with that of the one before."""
        node.again = False
        if seq is None:
            return
        last, node.seq = node.seq, seq
        if last is not None:
            step = (seq - last) % SEQ_RANGE
            node.again = step == 0
            if step > 1:
                node.breaks += 1
                self.breaks += 1
                self.rebirths.want(name)

    def _begin_session(self, name: NodeName) -> None:
        """Forget the births of an earlier session: those of the devices come again."""
        self.rebirths.answered(name)
        for device in list(self._nodes[name].devices) if name in self._nodes else ():
            self._forget_birth(name, device)

    def _bear(self, address: Address, read: Payload, heard: Heard) -> None:
        """Take what a birth says of the metrics; their values are those of earlier data."""
        name, device = address.node, address.device
        kept = self._nodes.get(name)
        self._forget_birth(name, device)
        if not (self._wanted.concerns(address) if device else self._wanted.concerns_node(name)):
            return
        types: dict[str, int] = {}
        topics: dict[int, str] = {}
        for metric in read.metrics:
            topic = address.prefix + metric.name if metric.name and metric.datatype in SAMPLED else ""
            if topic and self._wanted.packing(topic) is not None:
                types[topic] = metric.datatype
                if metric.alias is not None:
                    topics[metric.alias] = topic
        room = self._most - self._metrics
        if self._devices >= DEVICES_A_METRIC * self._most or len(types) > room:
            text = f"a birth of {len(types)} metrics that sensors want, and limits.channels leaves room for {room}"
            heard.rejected.append((address.prefix, Rejected(Reason.CHANNEL_LIMIT, text)))
            return
        node = self._nodes.setdefault(name, kept or Node())
        known = node.devices.setdefault(device, Device())
        known.born, known.types, known.topics = True, types, topics
        self._devices += 1
        self._metrics += len(types)
        heard.born = dict(types)
        if address.kind == "NBIRTH":
            node.seq, node.again, node.bd_seq = read.seq, False, _session(read)

    def _forget_birth(self, name: NodeName, device: str) -> None:
        known = self._device(name, device)
        if known is not None and known.born:
            self._devices -= 1
            self._metrics -= len(known.types)
            known.born = False
            known.topics, known.types = {}, {}
        self._tidy(name, device)

    def _tidy(self, name: NodeName, device: str) -> None:
        """Drop a device, and a node, of which nothing is known any more."""
        node = self._nodes.get(name)
        if node is not None:
            known = node.devices.get(device)
            if known is not None and not known.born and not known.streams:
                del node.devices[device]
            if not node.devices:
                del self._nodes[name]

    def _node_dies(self, address: Address, read: Payload, heard: Heard) -> None:
        """End a node and its devices.

        The death of an earlier session may come after the birth of the next. Tahu's Python helper, which many nodes
        use, gives a birth the number after that of its own death. So a death with the number before ends the channels,
        which live again with their next samples, but forgets no birth; older ones are left out.
        """
        name = address.node
        node = self._nodes.get(name)
        if node is None:
            return
        session = _session(read)
        earlier = 0 if session is None or node.bd_seq is None else (node.bd_seq - session) % SEQ_RANGE
        if earlier > 1:
            return
        for device, known in list(node.devices.items()):
            heard.ended += known.streams
            for stream in known.streams.values():
                stream.breaks = ENDED
            if not earlier:
                self._forget_birth(name, device)
        if not earlier:
            node.seq = node.bd_seq = None

    def _device_dies(self, address: Address, heard: Heard) -> None:
        known = self._device(address.node, address.device)
        if known is not None:
            heard.ended += known.streams
            for stream in known.streams.values():
                stream.breaks = ENDED
            self._forget_birth(address.node, address.device)

    def _hear(self, address: Address, read: Payload, heard: Heard) -> None:
        """Take the samples of data."""
        known = self._device(address.node, address.device)
        parts: dict[str, list[Samples]] = {}
        unknown = 0
        for metric in read.metrics:
            topic = self._topic(address, metric, known)
            if topic is None:
                unknown += metric.name is None and (known is None or not known.born)
                continue
            packing = self._wanted.packing(topic)
            if packing is None or metric.null:
                continue
            try:
                found = _samples(topic, metric, known, packing)
                if found is not None:
                    parts.setdefault(topic, []).append(found)
            except Rejected as rejected:
                heard.rejected.append((topic, rejected))
                if rejected.reason is Reason.NO_BIRTH:
                    self.rebirths.want(address.node)
        heard.samples += [_joined(found) for found in parts.values()]
        if unknown and self._wanted.concerns(address):
            text = f"{unknown} metrics have an alias only; the birth that names them is missing: have the node send it"
            heard.rejected.append((address.prefix, Rejected(Reason.NO_BIRTH, text)))
            self.rebirths.want(address.node)

    def _topic(self, address: Address, metric: Metric, known: Device | None) -> str | None:
        if metric.name:
            return address.prefix + metric.name
        return known.topics.get(metric.alias) if known is not None and metric.alias is not None else None


def _samples(topic: str, metric: Metric, known: Device | None, packing: str) -> Samples | None:
    """The samples of a wanted metric; None if its type holds none.

    Raises:
        Rejected: they cannot be used.
    """
    born = known.types.get(topic, 0) if known is not None else 0
    datatype = born or metric.datatype or plain_type(metric)
    if not datatype:
        raise Rejected(Reason.NO_BIRTH, "the metric has no type, and no birth has said which it is")
    if datatype not in SAMPLED:
        return None
    if metric.datatype and metric.datatype != datatype:
        text = f"the metric has the type {shown(metric.datatype)}, its birth said {datatype}: a later birth is missing"
        raise Rejected(Reason.NO_BIRTH, text)
    if metric.historical:
        raise Rejected(Reason.LATE, "the node stored the metric while it had no connection; vibration is live")
    return Samples(topic, samples_of(metric, datatype, packing), captured_at(metric))


def _joined(parts: list[Samples]) -> Samples:
    """One run of samples from a metric that occurs several times in a message."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return Samples(first.topic, np.concatenate([part.values for part in parts]), first.t)


def _session(read: Payload) -> int | None:
    """The number of a session in a birth or a death of a node; None if it is not there."""
    return next((integer(metric) for metric in read.metrics if metric.name == "bdSeq"), None)
