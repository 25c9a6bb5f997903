"""The route of one topic: its sensor, labels and decoder, and the order and silences of its stream.

Also which rejected messages hold samples of the stream, and what is said of those that came out of order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.config.sensors import Sensor
from monitor.core.arrays import Numbers
from monitor.core.messages.decode import Decoder, Reason, Rejected, decoder
from monitor.core.messages.order.continuity import Arrival, Continuity, Verdict
from monitor.core.messages.order.silence import Silence
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.sink import SampleSink
from monitor.runtime.intake.source import Reached

Axes = Mapping[str, Numbers]
"""The samples of a message by axis."""

LONGEST_LABEL = 128
"""Most characters of a label's value. More: a topic level that is not a name fills pages, logs and file names."""

SHORTEST_PAUSE_S = 1.0
"""Shortest pause in seconds that counts as a silence, however short the messages. Shorter: jitter ends contexts.
Longer: short outages go unnoticed and join unrelated samples."""

PAUSE_MESSAGES = 3.0
"""Shortest pause that counts as a silence, in message durations. Fewer: late messages end contexts. More: outages of
sensors with long messages go unnoticed."""

NO_HOLE = frozenset({Reason.RETAINED, Reason.EMPTY})
"""Reasons of rejected messages that contain no samples of the stream, so none are missing."""

REFUSALS = {
    Arrival.REPEATED: (Reason.REPEATED, "the message is a duplicate"),
    Arrival.LATE: (Reason.LATE, "the message is older than the one before it"),
    Arrival.FAR_AHEAD: (Reason.WRONG_TIME, "its time 't' is far ahead of the messages before and after it"),
}
"""Reason and text for messages that are rejected because of when they came."""


@dataclass(slots=True)
class Route:
    """How messages of a topic are processed; make it with :meth:`to`."""

    sensor: Sensor
    labels: dict[str, str]
    rings: SampleSink
    decode: Decoder
    continuity: Continuity[Axes]
    silence: Silence[Axes]
    factor_mps2: float
    ordered: bool = False
    """Whether messages have come with sequence numbers or times."""
    count: int = 0
    """Samples of each axis in the last message."""
    pause_s: float = 0.0
    """Longest pause between two messages that is not a silence."""
    direct_until_s: float = 0.0
    """Monotonic instant until which a message without number and time simply follows the last one."""
    behind_s: float = 0.0
    """Seconds by which the last message that may wait was handed on later than it arrived, because it lay in Kafka."""
    counted_bytes: int = 0
    """The part of ``kept_bytes`` that the sum over all routes already includes."""
    channels: dict[str, Channel] = field(default_factory=dict)

    @classmethod
    def to(cls, sensor: Sensor, labels: dict[str, str], rings: SampleSink) -> "Route":
        """A route for a topic of ``sensor`` with these labels.

        Raises:
            Rejected: a label is too long or not printable.
        """
        for name, value in labels.items():
            require_label(name, value)
        rate_hz = sensor.sampling_rate_hz
        decode = decoder(sensor.payload.format, sensor.axes or (labels.get("axis", ""),), rate_hz)
        return cls(sensor, labels, rings, decode, Continuity(rate_hz), Silence(rate_hz), sensor.factor_mps2)

    @property
    def keeps(self) -> bool:
        """Whether messages wait for an earlier one."""
        return self.continuity.keeps or self.silence.keeps

    @property
    def kept_bytes(self) -> int:
        """Memory of the messages that wait."""
        return self.continuity.kept_bytes + self.silence.kept_bytes

    def reached(self) -> Reached:
        """How far the stream is."""
        following = {axis: self.rings.next_sample(channel.row) for axis, channel in self.channels.items()}
        return Reached(self.count, following, self.keeps)

    def has_room(self) -> bool:
        """Whether the buffers of all channels are less than half full, also with the messages that wait."""
        held = self.silence.kept_samples if self.silence.keeps else 0
        for channel in self.channels.values():  # noqa: SIM110 - once a record, and a generator takes 1 µs
            if not self.rings.has_room(channel.row, held):
                return False
        return True

    def note(self, verdict: Verdict[Axes]) -> None:
        """Count a decision at the channels of its message."""
        arrival, piece = verdict.arrival, verdict.piece
        for axis in piece.item:
            channel = self.channels[axis]
            channel.samples_repeated += piece.count * (arrival is Arrival.REPEATED)
            channel.samples_late += piece.count * (arrival is Arrival.LATE)
            channel.samples_reordered += piece.count * verdict.reordered
            channel.clock_steps += arrival is Arrival.CLOCK_STEP
            if arrival is Arrival.CAUGHT_UP:
                channel.last_sample_s = piece.arrived_s
                channel.restart_measurement(piece.arrived_s, piece.count)

    def measure_pause(self, count: int) -> None:
        """Set the samples of a message, and the longest pause that follows from it."""
        self.count = count
        self.pause_s = max(SHORTEST_PAUSE_S, PAUSE_MESSAGES * count / self.sensor.sampling_rate_hz)

    def open_samples(self, channel: Channel, now_s: float, count: int) -> int:
        """Samples missing from a channel's silence before a message of ``count`` samples; 0 if there is no silence.

        It compares the samples received since the measurement began with the time that passed. So messages that arrive
        in batches have no silence between them.
        """
        silence_s = now_s - channel.last_sample_s
        if not channel.measured_from_s or silence_s <= self.pause_s:
            return 0
        rate_hz = self.sensor.sampling_rate_hz
        came = channel.samples_received - channel.measured_from_samples + count
        found = round((now_s - channel.measured_from_s) * rate_hz) - came
        return found if 2 * found > silence_s * rate_hz else 0

    def interrupt(self, channel: Channel, now_s: float, silent_after_s: float, *, starts: bool, missing: int) -> None:
        """End the context of a channel if samples are missing before the ones that arrive now.

        If messages have neither numbers nor times, the number of missing samples follows from the length of rejected
        messages, or from the length of a silence.
        """
        silence_s = now_s - channel.last_sample_s
        if channel.measured_from_s and (not self.ordered or self.continuity.standing):
            missing = max(missing, channel.hole_samples)
            if not starts:
                missing = max(missing, self.open_samples(channel, now_s, self.count))
            starts = starts or missing > 0
        channel.hole_samples = 0
        starts = starts or (channel.measured_from_s > 0 and silence_s > silent_after_s)
        if starts:
            channel.samples_missing += missing
            lost = self.rings.start_context(channel.row, self.rings.next_sample(channel.row) + missing)
            channel.samples_incomplete += lost
            channel.blocks_incomplete += lost > 0
        if starts or silence_s > self.pause_s:
            channel.restart_measurement(now_s, self.count)


def require_label(name: str, value: str) -> None:
    """Require that a value from a topic or a payload can be a label's value.

    Raises:
        Rejected: it is too long or not printable.
    """
    if len(value) > LONGEST_LABEL or not value.isprintable():
        raise Rejected(
            Reason.WRONG_LABEL,
            f"the label {name} is {value!r:.60}, {len(value)} characters; at most {LONGEST_LABEL}, all printable",
        )


def size_bytes(axes: Axes) -> int:
    """Memory of the samples of a message."""
    return sum(samples.nbytes for samples in axes.values())
