"""From MQTT messages to samples in the rings: routes, channels, and a count of everything that is not used.

Runs on the event loop, once a message. A topic is matched once and remembered. A channel is a row of its lane's rings;
rows are given out on first sight, up to a limit, so traffic never grows memory. Refuses to know: MQTT, forecasts.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from monitor.config import Config, Sensor
from monitor.core.continuity import Arrival, Continuity
from monitor.core.decode import Decoder, Message, Reason, Rejected, decoder
from monitor.core.rings import Rings
from monitor.core.topics import TopicPattern
from monitor.runtime.channel import Channel
from monitor.runtime.internal_errors import InternalErrors, Where
from monitor.runtime.repeated_log import RepeatedLog

LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Route:
    sensor: Sensor
    labels: dict[str, str]
    rings: Rings
    decode: Decoder
    continuity: Continuity
    channels: dict[str, Channel] = field(default_factory=dict)


class Ingest:
    """Takes every message that arrives; owns the channels."""

    def __init__(
        self,
        config: Config,
        rings: dict[str, Rings],
        on_channel: Callable[[Channel], None],
        clock: Callable[[], float],
        errors: InternalErrors | None = None,
    ) -> None:
        """Make an ingest without channels.

        Args:
            config: sensors and limits.
            rings: the rings of each model's lane, by the model's name.
            on_channel: told of each new channel before its first samples are appended.
            clock: monotonic seconds.
            errors: counts what should not have happened; None: counts for itself.
        """
        self.channels: dict[tuple[str, ...], Channel] = {}
        self.rejected: Counter[Reason] = Counter()
        self.messages = 0
        self.payload_bytes = 0
        self._on_channel = on_channel
        self._clock = clock
        self._errors = InternalErrors(clock) if errors is None else errors
        self._log = RepeatedLog(LOG, clock)
        self._free_rows: dict[str, list[int]] = {}
        self._rings: dict[str, Rings] = {}
        self._routes: dict[str, _Route | None] = {}
        self._label_names: tuple[str, ...] = ()
        self._ignored_topics = 0
        self.configure(config, rings)

    def configure(self, config: Config, rings: dict[str, Rings]) -> list[Channel]:
        """Take a new configuration; channels whose sensor and lane did not change stay as they are.

        Returns:
            The channels that are gone; their rows may be given out again.
        """
        self._config = config
        self._patterns = [(TopicPattern.parse(sensor.topic), sensor) for sensor in config.sensors]
        label_names, self._label_names = self._label_names, config.label_names
        kept_lanes = {name for name, lane in rings.items() if self._rings.get(name) is lane}
        self._rings = rings
        kept = [c for c in self.channels.values() if c.model in kept_lanes and self._keeps(c, label_names)]
        kept_labels = {channel.labels for channel in kept}
        gone = [channel for labels, channel in self.channels.items() if labels not in kept_labels]
        self.channels.clear()
        for channel in kept:
            # Labels that only other sensors have come and go; they are empty here.
            channel.labels = self._label_values(dict(zip(label_names, channel.labels, strict=True)))
            self.channels[channel.labels] = channel
        self._free_rows = {}
        for model, lane in rings.items():
            used = {c.row for c in self.channels.values() if c.model == model}
            self._free_rows[model] = [row for row in reversed(lane.rows()) if row not in used]
        topics = {channel.topic for channel in kept} - {channel.topic for channel in gone}
        self._routes = {topic: route for topic, route in self._routes.items() if topic in topics}
        self._ignored_topics = 0
        return gone

    def _keeps(self, channel: Channel, label_names: tuple[str, ...]) -> bool:
        sensor, labels = self._match(channel.topic)
        if sensor != channel.sensor:
            return False
        before = {name: value for name, value in zip(label_names, channel.labels, strict=True) if value}
        now = {"axis": channel.labels[-1], **labels}
        return before == {name: value for name, value in now.items() if value}

    def _match(self, topic: str) -> tuple[Sensor | None, dict[str, str]]:
        for pattern, sensor in self._patterns:
            labels = pattern.match(topic)
            if labels is not None:
                return sensor, {**labels, **sensor.labels}
        return None, {}

    def _label_values(self, labels: dict[str, str]) -> tuple[str, ...]:
        return tuple(labels.get(name, "") for name in self._label_names)

    def deliver(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """Take one message; whatever is wrong with it is counted and costs this message only."""
        self.messages += 1
        self.payload_bytes += len(payload)
        try:
            if retained:
                raise Rejected(Reason.RETAINED, "a retained message is old; vibration is live")  # noqa: TRY301
            route = self._routes.get(topic)
            if route is None:
                route = self._route(topic)
            if len(payload) > self._config.mqtt.max_payload:
                raise Rejected(  # noqa: TRY301 - one way out for every rejection
                    Reason.TOO_LARGE, f"{len(payload)} bytes, mqtt.max_payload is {self._config.mqtt.max_payload}"
                )
            self._append(topic, route, route.decode(payload))
        except Rejected as rejected:
            self.rejected[rejected.reason] += 1
            self._log.warning(rejected.reason, f"message rejected: topic={topic!r:.200} {rejected.reason}: {rejected}")
        except Exception as error:  # noqa: BLE001 - the net: no message may end the daemon
            self._errors.caught(Where.MESSAGE, topic, error)

    def adopt(self, topic: str, axis: str) -> Channel | None:
        """Make the channel of a topic from which nothing has come yet; the caller sets its ``last_sample_s``.

        Args:
            topic: where its messages will come from.
            axis: its axis; "" for the only one of a sensor without named axes.

        Returns:
            The channel, told of like any new one; None when no sensor matches, when the sensor has no such axis, when
            the labels are taken, or when there is no room.
        """
        try:
            route = self._routes.get(topic) or self._route(topic)
            if route.sensor.axes and axis not in route.sensor.axes:
                return None
            channel = self._new_channel(topic, route, axis)
        except Rejected:
            return None
        route.channels[axis] = channel
        return channel

    def explain(self, topic: str, payload: bytes) -> tuple[Sensor, dict[str, str], Message]:
        """What :meth:`deliver` would read from a message, without using it.

        Raises:
            Rejected: with the reason.
        """
        if len(payload) > self._config.mqtt.max_payload:
            raise Rejected(Reason.TOO_LARGE, f"{len(payload)} bytes are over mqtt.max_payload")
        route = self._route(topic)
        message = route.decode(payload)
        return route.sensor, route.labels, message

    def _route(self, topic: str) -> _Route:
        sensor, labels = (None, {}) if topic in self._routes else self._match(topic)
        if sensor is None:
            if topic not in self._routes and self._ignored_topics < self._config.limits.channels:
                self._routes[topic] = None
                self._ignored_topics += 1
            raise Rejected(Reason.UNKNOWN_TOPIC, "no sensor of the configuration matches")
        axes = sensor.axes or (labels.get("axis", ""),)
        route = _Route(
            sensor,
            labels,
            self._rings[sensor.model],
            decoder(sensor.payload.format, axes, sensor.sampling_rate_hz),
            Continuity(sensor.sampling_rate_hz),
        )
        if len(self._routes) < 2 * self._config.limits.channels:
            self._routes[topic] = route
        return route

    def _append(self, topic: str, route: _Route, message: Message) -> None:
        axes = message.axes
        channels = route.channels
        if len(axes) != len(channels) or any(axis not in channels for axis in axes):
            for axis in axes:
                if axis not in channels:
                    channels[axis] = self._new_channel(topic, route, axis)
        count = next(iter(axes.values())).shape[0]
        missing = 0
        starts = False
        if message.seq is not None or message.t is not None:
            verdict = route.continuity.judge(count, message.seq, message.t)
            self._require_new(verdict.arrival, [channels[axis] for axis in axes], count)
            missing = verdict.missing_samples
            starts = verdict.arrival is not Arrival.CONTIGUOUS
        now = self._clock()
        # Without seq and t messages are taken as contiguous, but not across a silence that took the gauges away.
        silent_after_s = self._config.scoring.silent_after
        factor = route.sensor.factor_mps2
        rings = route.rings
        lost = 0
        for axis, samples in axes.items():
            channel = channels[axis]
            row = channel.row
            if starts or (channel.samples_received and now - channel.last_sample_s > silent_after_s):
                channel.samples_missing += missing
                if rings.start_context(row, rings.next_sample(row) + missing):
                    channel.blocks_incomplete += 1
            unfitting = rings.append(row, samples, factor, now)
            channel.samples_received += count - unfitting
            channel.last_sample_s = now
            lost += unfitting
        if lost:
            raise Rejected(Reason.RING_FULL, f"{lost} samples found no room: inference is a whole buffer behind")

    @staticmethod
    def _require_new(arrival: Arrival, channels: list[Channel], count: int) -> None:
        if arrival is Arrival.REPEATED:
            for channel in channels:
                channel.samples_repeated += count
            raise Rejected(Reason.REPEATED, "the message came before")
        if arrival is Arrival.LATE:
            for channel in channels:
                channel.samples_late += count
            raise Rejected(Reason.LATE, "the message is older than the one before it")

    def _new_channel(self, topic: str, route: _Route, axis: str) -> Channel:
        if "axis" in route.labels and axis != route.labels["axis"]:
            raise Rejected(Reason.WRONG_AXES, f"the topic names one axis, the payload another ('{axis}')")
        labels = self._label_values({"axis": axis, **route.labels})
        other = self.channels.get(labels)
        if other is not None:
            raise Rejected(Reason.LABEL_CONFLICT, f"the labels {labels} belong to topic '{other.topic}' already")
        free = self._free_rows[route.sensor.model]
        if len(self.channels) >= self._config.limits.channels or not free:
            raise Rejected(Reason.CHANNEL_LIMIT, f"limits.channels is {self._config.limits.channels}")
        channel = Channel(labels, topic, route.sensor, route.sensor.model, free.pop())
        route.rings.start_context(channel.row, 0)
        self.channels[labels] = channel
        self._on_channel(channel)
        LOG.info("new channel: %s topic=%s", channel.name, topic)
        return channel


def packed_samples(samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> bytes:
    """The payload ``float32`` of some samples, as ``replay`` and the demo send it."""
    return samples.astype("<f4", copy=False).tobytes()
