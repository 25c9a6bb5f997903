"""One topic as messages from it are read: its sensor, its labels, and the order and the silences of its stream."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.config import Sensor
from monitor.core.arrays import Numbers
from monitor.core.messages.continuity import Continuity
from monitor.core.messages.decode import Decoder, Reason, Rejected, decoder
from monitor.core.messages.silence import Silence
from monitor.core.rings import Rings
from monitor.runtime.intake.channel import Channel

Axes = Mapping[str, Numbers]
"""The samples of a message by axis."""

LONGEST_LABEL = 128
"""Characters of a label's value. More: a topic level that is no name fills pages, logs and file names."""

SHORTEST_PAUSE_S = 1.0
"""Seconds without a message that are no silence, however short the messages. Shorter: jitter delays messages. Longer:
shorter outages join what was before with what comes after."""

PAUSE_MESSAGES = 3.0
"""Lengths of a message without one that are no silence. Fewer: late messages end contexts. More: outages of sensors
with long messages go unseen."""


@dataclass(slots=True)
class Route:
    """What is known of a topic; make it with :meth:`to`."""

    sensor: Sensor
    labels: dict[str, str]
    rings: Rings
    decode: Decoder
    continuity: Continuity[Axes]
    silence: Silence[Axes]
    factor_mps2: float
    ordered: bool = False
    """Whether messages came with numbers or times."""
    count: int = 0
    """Samples an axis in the last message."""
    pause_s: float = 0.0
    """Longest time between two messages that is no silence."""
    direct_until_s: float = 0.0
    """Monotonic instant until which a message without number and time may come that simply follows the last one."""
    counted_bytes: int = 0
    """``kept_bytes`` as it is part of the sum over all routes."""
    channels: dict[str, Channel] = field(default_factory=dict)

    @classmethod
    def to(cls, sensor: Sensor, labels: dict[str, str], rings: Rings) -> "Route":
        """A route from a topic that gives these labels.

        Raises:
            Rejected: a label is no name.
        """
        for name, value in labels.items():
            require_label(name, value)
        rate_hz = sensor.sampling_rate_hz
        decode = decoder(sensor.payload.format, sensor.axes or (labels.get("axis", ""),), rate_hz)
        return cls(sensor, labels, rings, decode, Continuity(rate_hz), Silence(rate_hz), sensor.factor_mps2)

    @property
    def keeps(self) -> bool:
        """Whether messages are kept that are not judged yet."""
        return self.continuity.keeps or self.silence.keeps

    @property
    def kept_bytes(self) -> int:
        """Memory of the messages that are kept."""
        return self.continuity.kept_bytes + self.silence.kept_bytes

    def measure_pause(self, count: int) -> None:
        """Take ``count`` for the samples of a message from now on."""
        self.count = count
        self.pause_s = max(SHORTEST_PAUSE_S, PAUSE_MESSAGES * count / self.sensor.sampling_rate_hz)

    def open_samples(self, channel: Channel, now_s: float, count: int) -> int:
        """Samples that a silence of a channel leaves open before a message of ``count`` samples; 0 if it is none.

        With the samples that came since the measurement began, less time was filled than passed. So messages that come
        in batches have no silence between them.
        """
        silence_s = now_s - channel.last_sample_s
        if not channel.measured_from_s or silence_s <= self.pause_s:
            return 0
        rate_hz = self.sensor.sampling_rate_hz
        came = channel.samples_received - channel.measured_from_samples + count
        found = round((now_s - channel.measured_from_s) * rate_hz) - came
        return found if 2 * found > silence_s * rate_hz else 0


def require_label(name: str, value: str) -> None:
    """Require that a value from outside may be a label's.

    Raises:
        Rejected: it is no name.
    """
    if len(value) > LONGEST_LABEL or not value.isprintable():
        raise Rejected(
            Reason.WRONG_LABEL,
            f"the label {name} is {value!r:.60}, {len(value)} characters; at most {LONGEST_LABEL}, all printable",
        )
