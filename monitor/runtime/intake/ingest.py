"""From messages to samples in the rings: routes, channels, and a count of every rejected message.

Runs on the event loop, once for each message. A topic is matched once and its route is cached. A channel is a row of
its lane's rings. A new channel gets a free row; their number is limited, so traffic cannot grow memory. A rejected
message or a silence ends the context of its channels. Does not handle: the connection to a broker, forecasts.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from monitor.config.configuration import Config
from monitor.config.sensors import Sensor
from monitor.core.arrays import Numbers
from monitor.core.messages.decode import Message, Reason, Rejected
from monitor.core.messages.order.continuity import Piece, Verdict
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.conditions import Conditions
from monitor.runtime.intake.lane_rows import LaneRows
from monitor.runtime.intake.matching import Matching
from monitor.runtime.intake.route import NO_HOLE, REFUSALS, Axes, Route, require_label, size_bytes
from monitor.runtime.intake.sink import SampleSink
from monitor.runtime.intake.source import Reached
from monitor.runtime.intake.sparkplug import Order, Sparkplug
from monitor.runtime.log.internal_errors import InternalErrors, Where
from monitor.runtime.log.logs import RepeatedLog

LOG = logging.getLogger(__name__)

KEPT_BYTES = 64 * 2**20
"""Limit for the samples of all messages that wait for an earlier one. Less: in a large plant fewer messages are put
back in order. More: a hostile sender can use more memory."""


class Ingest:
    """Processes every message that arrives; owns the channels."""

    def __init__(
        self,
        config: Config,
        rings: Mapping[str, SampleSink],
        on_channel: Callable[[Channel], None],
        clock: Callable[[], float],
        errors: InternalErrors | None = None,
        conditions: Conditions | None = None,
        on_leave: Callable[[Channel], None] = lambda _: None,
    ) -> None:
        """Make an ingest without channels.

        Args:
            config: sensors and limits.
            rings: the rings of each model's lane, by the model's name.
            on_channel: called with each new channel before its first samples are appended.
            clock: monotonic seconds.
            errors: counts unexpected errors; None: it makes its own counter.
            conditions: takes the messages of measured quantities; its owner configures it. None: there are none.
            on_leave: called with each channel that another daemon has from now on, before it is forgotten.
        """
        self.channels: dict[tuple[str, ...], Channel] = {}
        self.rejected: Counter[Reason] = Counter()
        self.messages = 0
        self.payload_bytes = 0
        self.sparkplug = Sparkplug(self, clock)
        """The Sparkplug nodes, whose messages hold metrics of many channels."""
        self._on_channel = on_channel
        self._on_leave = on_leave
        self._clock = clock
        self._errors = InternalErrors(clock) if errors is None else errors
        self._conditions = Conditions(clock) if conditions is None else conditions
        self._log = RepeatedLog(LOG, clock)
        self._rows: dict[str, LaneRows] = {}
        self._rings: Mapping[str, SampleSink] = {}
        self._routes: dict[str, Route] = {}
        self._keeping: dict[str, Route] = {}
        self._kept_bytes = 0
        self._matching = Matching(config)
        self.configure(config, rings)

    def configure(self, config: Config, rings: Mapping[str, SampleSink]) -> list[Channel]:
        """Apply a new configuration; channels whose sensor and lane did not change stay as they are.

        Returns:
            The channels that are gone; their rows may be given out again.
        """
        self._config, self._max_payload = config, config.broker.max_payload
        label_names, self._matching = self._matching.label_names, Matching(config)
        kept_lanes = {name for name, lane in rings.items() if self._rings.get(name) is lane}
        self._rings = rings
        kept = [c for c in self.channels.values() if c.model in kept_lanes and self._matching.keeps(c, label_names)]
        kept_labels = {channel.labels for channel in kept}
        gone = [channel for labels, channel in self.channels.items() if labels not in kept_labels]
        self.channels.clear()
        for channel in kept:
            # The set of label names may change with other sensors.
            channel.labels = self._matching.values(dict(zip(label_names, channel.labels, strict=True)))
            self.channels[channel.labels] = channel
        self._rows = {
            model: LaneRows(lane.rows(), (c for c in kept if c.model == model)) for model, lane in rings.items()
        }
        topics = {channel.topic for channel in kept} - {channel.topic for channel in gone}
        self._routes = {topic: route for topic, route in self._routes.items() if topic in topics}
        self._keeping = {topic: route for topic, route in self._keeping.items() if topic in topics}
        self.sparkplug.configure(config)
        for channel in gone:
            channel.gone = True
            self.sparkplug.left(channel)
        for channel in kept:
            channel.sensor = self._matching.match(channel.topic)[0] or channel.sensor
        for route in self._routes.values():
            route.sensor = next(iter(route.channels.values())).sensor
        self._kept_bytes = sum(route.kept_bytes for route in self._keeping.values())
        return gone

    def deliver(self, topic: str, payload: bytes, *, retained: bool = False, arrived_s: float | None = None) -> None:
        """Process one message; any error in it is counted and costs this message only.

        ``retained``: the broker had kept it. ``arrived_s``: the monotonic instant at which it came, if that is not now.
        """
        self.messages += 1
        self.payload_bytes += len(payload)
        try:
            route = self._routes.get(topic)
            if route is None and self._conditions.deliver(topic, payload, arrived_s):
                return
            if retained:
                raise Rejected(Reason.RETAINED, "a retained message is old; vibration is live")  # noqa: TRY301
            self._require_size(payload)
            if route is None and self.sparkplug.deliver(topic, payload):
                return
            route = route or self._route(topic)
            self._take(topic, route, route.decode(payload), self._clock() if arrived_s is None else arrived_s)
        except Rejected as rejected:
            self.reject(topic, rejected)
        except Exception as error:  # noqa: BLE001 - the last net: no message may end the daemon
            self._errors.caught(Where.MESSAGE, topic, error)
            self._leave_hole(topic)

    def take_metric(self, topic: str, values: Numbers, t: float | None, order: Order) -> None:
        """Take the samples of a Sparkplug metric.

        Args:
            topic: of the metric.
            values: (n,) samples.
            t: UNIX seconds of the first one.
            order: tells, from the topic's sampling rate and longest pause, how they follow the ones before.

        Raises:
            Rejected: with the reason.
        """
        route = self._routes.get(topic) or self._route(topic)
        seq, hole = order(route.sensor.sampling_rate_hz, route.pause_s)
        if hole:
            self._leave_hole(topic)
        self._take(topic, route, Message({route.labels.get("axis", ""): values}, seq, t), self._clock())
        for channel in route.channels.values():
            channel.away = False

    def end(self, topics: Iterable[str]) -> int:
        """Make the channels of topics silent at once, until samples come; returns how many."""
        routes = [route for topic in topics if (route := self._routes.get(topic)) is not None]
        ended = [channel for route in routes for channel in route.channels.values()]
        for channel in ended:
            channel.away = True
        return len(ended)

    def reject(self, topic: str, rejected: Rejected) -> None:
        """Count a rejected message, and the samples that are missing with it."""
        self._refuse(topic, rejected.reason, str(rejected))
        if rejected.reason not in NO_HOLE:
            self._leave_hole(topic)

    def adopt(self, topic: str, axis: str) -> Channel | None:
        """Create the channel of a topic that has sent nothing yet; the caller sets its ``last_sample_s``.

        Args:
            topic: topic of its messages.
            axis: its axis; "" for the only axis of a sensor without named axes.

        Returns:
            The channel, after ``on_channel`` was called with it. None: no sensor matches, the sensor has no such axis,
            the labels are in use, or there is no free row.
        """
        try:
            route = self._routes.get(topic) or self._route(topic)
            if route.sensor.axes and axis not in route.sensor.axes:
                return None
            self._admit(topic, route, (axis,))
        except Rejected:
            return None
        return route.channels[axis]

    def forget(self, channel: Channel) -> None:
        """Remove a channel and free its row; its next message, if one comes, creates it again."""
        del self.channels[channel.labels]
        self.sparkplug.left(channel)
        self._rows[channel.model].give_back(channel)
        # Other axes of the topic get a new route with their next message.
        self._routes.pop(channel.topic, None)
        keeping = self._keeping.pop(channel.topic, None)
        if keeping is not None:  # what it keeps must not come into a row that another channel may have at once
            self._kept_bytes -= keeping.counted_bytes

    def of_rows(self, model: str) -> Mapping[int, Channel]:
        """The present channels of a model's lane, by row."""
        return self._rows[model].channels if model in self._rows else {}

    def knows(self, topic: str) -> bool:
        """Whether a topic has channels."""
        return topic in self._routes

    def reached(self, topic: str) -> Reached | None:
        """How far the stream of a topic is; None: it has no channels."""
        route = self._routes.get(topic)
        return None if route is None else route.reached()

    def has_room(self, topic: str) -> bool:
        """Whether the buffers of all channels of a topic are less than half full; also without channels."""
        route = self._routes.get(topic)
        return route is None or route.has_room()

    def leave(self, topics: Iterable[str]) -> None:
        """Let go of the channels of topics: another daemon has them from now on."""
        for route in [route for topic in topics if (route := self._routes.get(topic)) is not None]:
            for channel in route.channels.values():
                self._on_leave(channel)
                self.forget(channel)

    def explain(self, topic: str, payload: bytes) -> tuple[Sensor, dict[str, str], Message]:
        """Decode a message as :meth:`deliver` would, without using it; returns sensor, labels and message.

        Raises:
            Rejected: with the reason.
        """
        self._require_size(payload)
        route = self._route(topic)
        message = route.decode(payload)
        for axis in message.axes:
            self._labels_of(topic, route, axis)
        return route.sensor, route.labels, message

    def _route(self, topic: str) -> Route:
        """A new route; it is cached once it has a channel, so that unusable topics take no memory."""
        sensor, labels = self._matching.match(topic)
        if sensor is None:
            raise Rejected(Reason.UNKNOWN_TOPIC, "no sensor of the configuration matches")
        return Route.to(sensor, labels, self._rings[sensor.model])

    def _take(self, topic: str, route: Route, message: Message, now_s: float) -> None:
        axes, seq, t = message.axes, message.seq, message.t
        channels = route.channels
        if axes.keys() != channels.keys():
            self._admit(topic, route, axes)
        count = next(iter(axes.values())).shape[0]
        if seq is None and t is None and not route.ordered:
            if now_s <= route.direct_until_s:
                self._append(topic, route, axes, count, now_s)
            else:
                self._take_after_silence(topic, route, axes, count, now_s)
        elif route.continuity.continues(count, seq, t, now_s):
            self._append(topic, route, axes, count, now_s)
        else:
            route.behind_s = self._clock() - now_s
            if not route.ordered:
                route.ordered = True
                self._carry_out(topic, route, route.silence.overdue(math.inf))
            piece = Piece(axes, count, seq, t, now_s, size_bytes(axes))
            verdicts = route.continuity.take(piece, may_keep=self._may_keep(piece))
            self._carry_out(topic, route, verdicts)

    def _take_after_silence(self, topic: str, route: Route, axes: Axes, count: int, now_s: float) -> None:
        route.behind_s = self._clock() - now_s
        self._carry_out(topic, route, route.silence.overdue(now_s))
        piece = Piece(axes, count, None, None, now_s, size_bytes(axes))
        may_keep = self._may_keep(piece)
        if route.silence.keeps:
            verdicts = route.silence.take(piece, may_keep=may_keep)
        else:
            channel = route.channels[next(iter(axes))]
            open_samples = route.open_samples(channel, now_s, count)
            if not open_samples or now_s - channel.last_sample_s > self._config.scoring.silent_after:
                self._append(topic, route, axes, count, now_s)
                return
            verdicts = route.silence.begin(piece, open_samples, may_keep=may_keep)
        self._carry_out(topic, route, verdicts)

    def _may_keep(self, piece: Piece[Axes]) -> bool:
        return self._kept_bytes + piece.size_bytes <= KEPT_BYTES

    def release_overdue(self) -> None:
        """Use the messages that have waited for an earlier one for long enough; call it about every second."""
        now_s = self._clock()
        for topic, route in list(self._keeping.items()):
            with self._errors.contained(Where.MESSAGE, topic):
                then_s = now_s - route.behind_s
                verdicts = route.silence.overdue(then_s) + route.continuity.overdue(then_s)
                self._carry_out(topic, route, verdicts)

    def _carry_out(self, topic: str, route: Route, verdicts: list[Verdict[Axes]]) -> None:
        """Append or reject messages, and account for the memory of those that wait."""
        self._kept_bytes += route.kept_bytes - route.counted_bytes
        route.counted_bytes = route.kept_bytes
        if route.keeps:
            self._keeping[topic] = route
        else:
            self._keeping.pop(topic, None)
        for verdict in verdicts:
            arrival, piece = verdict.arrival, verdict.piece
            route.note(verdict)
            if arrival.used:
                missing = verdict.missing_samples
                self._append(
                    topic, route, piece.item, piece.count, piece.arrived_s, starts=arrival.starts, missing=missing
                )
            else:
                self._refuse(topic, *REFUSALS[arrival])

    def _append(
        self,
        topic: str,
        route: Route,
        axes: Axes,
        count: int,
        now_s: float,
        *,
        starts: bool = False,
        missing: int = 0,
    ) -> None:
        """Append a message's samples to the rings; if a new context ``starts``, after ``missing`` samples."""
        if count != route.count:
            route.measure_pause(count)
        pause_s, factor, rings, channels = route.pause_s, route.factor_mps2, route.rings, route.channels
        route.direct_until_s = now_s + pause_s
        lost = 0
        for axis, samples in axes.items():
            channel = channels[axis]
            row = channel.row
            if starts or channel.hole_samples or now_s - channel.last_sample_s > pause_s:
                silent_after_s = self._config.scoring.silent_after
                route.interrupt(channel, now_s, silent_after_s, starts=starts, missing=missing)
            if channel.lead_samples:
                samples = channel.without_lead(samples)  # noqa: PLW2901
            unfitting = rings.append(row, samples, factor, now_s)
            channel.samples_received += count - unfitting
            channel.last_sample_s = now_s
            if unfitting:
                lost += unfitting
                channel.samples_unfitting += unfitting
                channel.restart_measurement(now_s)
        if lost:
            self._refuse(topic, Reason.RING_FULL, f"{lost} samples dropped: inference is a whole buffer behind")

    def _require_size(self, payload: bytes) -> None:
        if len(payload) > self._max_payload:
            key = f"{self._config.broker.section}.max_payload"
            raise Rejected(Reason.TOO_LARGE, f"{len(payload)} bytes, {key} is {self._max_payload}")

    def _refuse(self, topic: str, reason: Reason, detail: str) -> None:
        self.rejected[reason] += 1
        self._log.warning(reason, f"message rejected: topic={topic!r:.200} {reason}: {detail}")

    def _leave_hole(self, topic: str) -> None:
        """Count a rejected message as missing samples, as many as the last message had."""
        route = self._routes.get(topic)
        if route is not None:
            for channel in route.channels.values():
                channel.hole_samples += route.count

    def _admit(self, topic: str, route: Route, axes: Iterable[str]) -> None:
        """Give every axis of a message its channel, or no axis if one cannot have a channel."""
        wanted = {axis: self._labels_of(topic, route, axis) for axis in axes if axis not in route.channels}
        new = sum(labels not in self.channels for labels in wanted.values())
        rows = self._rows[route.sensor.model]
        if new > rows.free or len(self.channels) + new > self._config.limits.channels:
            raise Rejected(Reason.CHANNEL_LIMIT, f"limits.channels is {self._config.limits.channels}")
        for axis, labels in wanted.items():
            channel = self.channels.get(labels)
            if channel is not None:
                # The channel is of this topic: its route was dropped when another axis of the topic was forgotten.
                route.rings.start_context(channel.row, route.rings.next_sample(channel.row))
            else:
                channel = Channel(labels, topic, route.sensor, route.sensor.model, rows.take())
                rows.channels[channel.row] = channel
                route.rings.start_context(channel.row, 0)
                self.channels[labels] = channel
                self.sparkplug.joined(channel)
                self._on_channel(channel)
                LOG.info("new channel: %s topic=%s", channel.name, topic)
            route.channels[axis] = channel
        self._routes[topic] = route

    def _labels_of(self, topic: str, route: Route, axis: str) -> tuple[str, ...]:
        if "axis" in route.labels and axis != route.labels["axis"]:
            raise Rejected(Reason.WRONG_AXES, f"the topic names one axis, the payload another ('{axis}')")
        require_label("axis", axis)
        labels = self._matching.values({"axis": axis, **route.labels})
        other = self.channels.get(labels)
        if other is not None and other.topic != topic:
            raise Rejected(Reason.LABEL_CONFLICT, f"the labels {labels} belong to topic '{other.topic}' already")
        return labels
