"""From messages with measured operating quantities to the rows of the channels that they belong to.

A message's topic names, for example, a machine. Its value belongs to every channel that has the same labels, and to
those that come later: a value may arrive before its channels, above all a retained one. Values without channels are
kept in a table of bounded size. The rows are worked out when a channel comes, so that a value is one assignment to an
array however many channels have it. Does not handle: what a value says of a score.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from monitor.config.configuration import Config
from monitor.config.sensors import Condition
from monitor.core.arrays import Rows
from monitor.core.messages.condition import ConditionDecoder, condition_decoder
from monitor.core.messages.decode import Reason, Rejected
from monitor.core.messages.topics import TopicPattern
from monitor.core.samples.condition_values import ConditionValues
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.route import require_label

KEPT_TOPICS = 4096
"""Topics whose labels are remembered. Fewer: in a large plant topics are matched again with each message. More: topics
that no sensor shares take more memory."""

LONGEST_KEPT_TOPIC = 512
"""Most characters of a topic that is remembered. Longer ones are matched with each message."""

SWEEP_S = 1.0
"""Shortest time between two searches of a full table for values that are too old. Shorter: a flood of values of unknown
machines costs more time. Longer: a new machine's value is rejected for longer."""

LabelValues = tuple[str, ...]


@dataclass(slots=True)
class Quantity:
    """One quantity of, for example, one machine: its latest value, and the rows that it belongs to."""

    value: float = math.nan
    """The latest value; NaN: none came yet."""
    until_s: float = 0.0
    """Monotonic instant until which it holds."""
    rows: dict[str, set[int]] = field(default_factory=dict)
    """Rows of its channels, by model."""
    arrays: dict[str, Rows] | None = None
    """``rows`` as arrays; None: they have changed."""


@dataclass(slots=True)
class Source:
    """The messages of one entry of ``conditions``; sensors with an equal entry share it."""

    name: str
    """Name of the quantity."""
    pattern: TopicPattern
    """Topics of its messages."""
    decode: ConditionDecoder
    """Decodes its payloads."""
    max_age_s: float
    """Seconds for which a value holds."""
    joined: dict[LabelValues, Quantity] = field(default_factory=dict)
    """The quantities that have channels, by the values of the pattern's labels."""
    waiting: dict[LabelValues, Quantity] = field(default_factory=dict)
    """Those that have none."""
    swept_s: float = -math.inf
    """Monotonic instant at which ``waiting`` was last searched for values that are too old."""

    @classmethod
    def of(cls, name: str, condition: Condition) -> "Source":
        """The source of one entry of the configuration."""
        payload = condition.payload
        decode = condition_decoder(payload.format, payload.key)
        return cls(name, TopicPattern.parse(condition.topic), decode, condition.max_age)


class Conditions:
    """Takes the messages of all measured quantities, and knows whose they are."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Make one without sources; :meth:`configure` gives it some.

        Args:
            clock: monotonic seconds.
        """
        self._clock = clock
        self._sources: dict[tuple[str, Condition], Source] = {}
        self._lanes: Mapping[str, ConditionValues] = {}
        self._columns: dict[str, dict[str, int]] = {}
        self._label_names: tuple[str, ...] = ()
        self._most_waiting = 0
        self._topics: dict[str, list[tuple[Source, LabelValues]]] = {}

    def configure(self, config: Config, lanes: Mapping[str, ConditionValues], channels: Iterable[Channel]) -> None:
        """Apply a new configuration; values of entries that did not change stay.

        Args:
            config: sensors and limits.
            lanes: the values of each model's lane, by the model's name.
            channels: the present channels, with their sensors in ``config``.
        """
        before, self._sources = self._sources, {}
        for sensor in config.sensors:
            for name, condition in sensor.conditions.items():
                if (name, condition) not in self._sources:
                    source = self._sources[name, condition] = Source.of(name, condition)
                    if (old := before.get((name, condition))) is not None:
                        known = (old.joined | old.waiting).items()
                        source.waiting = {labels: Quantity(q.value, q.until_s) for labels, q in known if q.until_s}
        self._lanes, self._label_names = lanes, config.label_names
        self._most_waiting = config.limits.channels
        self._topics = {}
        self._columns = {model: values.rename(config.condition_names) for model, values in lanes.items()}
        joined = {model: np.zeros(values.shape, np.bool_) for model, values in lanes.items()}
        for channel in channels:
            joined[channel.model][self._join(channel), channel.row] = True
        for model, values in lanes.items():
            values.clear_all_but(joined[model])
        for source in self._sources.values():
            source.waiting = dict(islice(source.waiting.items(), self._most_waiting))

    def join(self, channel: Channel) -> None:
        """Give a new channel the values that are known, and those to come."""
        self._lanes[channel.model].clear(channel.row)
        self._join(channel)

    def leave(self, channel: Channel) -> None:
        """Forget a channel; its row may be given out again. The values stay for channels to come."""
        for source, labels in self._of(channel):
            quantity = source.joined[labels]
            quantity.rows[channel.model].discard(channel.row)
            quantity.arrays = None
            if not any(quantity.rows.values()):
                del source.joined[labels]
                if quantity.until_s and len(source.waiting) < self._most_waiting:
                    source.waiting[labels] = quantity
        self._lanes[channel.model].clear(channel.row)

    def deliver(self, topic: str, payload: bytes, arrived_s: float | None = None) -> bool:
        """Take one message, which came at ``arrived_s``; returns whether its topic is that of a measured quantity.

        Raises:
            Rejected: a value that it should have cannot be used; what else it has is used.
        """
        if not self._sources:
            return False
        rejected: Rejected | None = None
        found = self._match(topic)
        for source, labels in found:
            try:
                self._take(source, labels, source.decode(payload), self._clock() if arrived_s is None else arrived_s)
            except Rejected as error:
                rejected = error
        if rejected is not None:
            raise rejected
        return bool(found)

    def explain(self, topic: str, payload: bytes) -> list[tuple[str, dict[str, str], float]]:
        """Name, labels and value of each quantity that :meth:`deliver` would find in a message, without using it.

        Raises:
            Rejected: with the reason.
        """
        return [
            (source.name, dict(zip(source.pattern.names, labels, strict=True)), source.decode(payload))
            for source, labels in self._match(topic)
        ]

    def _match(self, topic: str) -> list[tuple[Source, LabelValues]]:
        found = self._topics.get(topic)
        if found is None:
            found = []
            for source in self._sources.values():
                labels = source.pattern.match(topic)
                if labels is not None:
                    for name, value in labels.items():
                        require_label(name, value)
                    found.append((source, tuple(labels.values())))
            if found and len(topic) <= LONGEST_KEPT_TOPIC:
                if len(self._topics) >= KEPT_TOPICS:
                    self._topics.clear()
                self._topics[topic] = found
        return found

    def _take(self, source: Source, labels: LabelValues, value: float, now_s: float) -> None:
        quantity = source.joined.get(labels) or source.waiting.get(labels)
        if quantity is None:
            self._make_room(source, now_s)
            quantity = source.waiting[labels] = Quantity()
        quantity.value, quantity.until_s = value, now_s + source.max_age_s
        if quantity.arrays is None:
            quantity.arrays = {model: np.array(sorted(rows), np.intp) for model, rows in quantity.rows.items()}
        for model, rows in quantity.arrays.items():
            self._lanes[model].write(self._columns[model][source.name], rows, value, quantity.until_s)

    def _make_room(self, source: Source, now_s: float) -> None:
        if len(source.waiting) >= self._most_waiting and now_s - source.swept_s >= SWEEP_S:
            source.swept_s = now_s
            source.waiting = {labels: one for labels, one in source.waiting.items() if one.until_s >= now_s}
        if len(source.waiting) >= self._most_waiting:
            raise Rejected(
                Reason.CHANNEL_LIMIT,
                f"{len(source.waiting)} values of {source.name} are kept for channels to come, and limits.channels is "
                f"{self._most_waiting}",
            )

    def _of(self, channel: Channel) -> list[tuple[Source, LabelValues]]:
        """The sources of a channel's quantities, and its values of their labels."""
        labels = dict(zip(self._label_names, channel.labels, strict=True))
        sources = [self._sources[entry] for entry in channel.sensor.conditions.items()]
        return [(source, tuple(labels[name] for name in source.pattern.names)) for source in sources]

    def _join(self, channel: Channel) -> list[int]:
        """Add a channel's row to its quantities; returns the columns that may have a value there."""
        values, columns = self._lanes[channel.model], []
        for source, labels in self._of(channel):
            quantity = source.joined.get(labels)
            if quantity is None:
                quantity = source.joined[labels] = source.waiting.pop(labels, Quantity())
            quantity.rows.setdefault(channel.model, set()).add(channel.row)
            quantity.arrays = None
            column = self._columns[channel.model][source.name]
            if quantity.until_s:
                values.write(column, np.array([channel.row]), quantity.value, quantity.until_s)
            columns.append(column)
        return columns
