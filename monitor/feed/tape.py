"""The samples of a recording on their way to disk: contiguous parts of each channel, in raw files, then recordings.

A plant's recording may be larger than the memory, so samples go to hidden files as they come. Where samples are
missing, a new part begins. A part also knows when it was recorded and how fast its samples came, so that a wrong
sampling rate is noticed when it is read, and the measured quantities at its samples.
"""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from monitor.config.sensors import Sensor
from monitor.core.arrays import Float32, Numbers
from monitor.core.samples.condition_values import ConditionValues
from monitor.core.units import MeasuredRate
from monitor.recording.write import HOLDS_QUANTITIES, write_recording

HELD_SAMPLES = 2**16
"""Samples of a channel held in memory before they are written. Fewer: more system calls. More: memory, 256 KiB for each
channel, and samples that a kill loses."""

SHORTEST_S = 1.0
"""Parts that are shorter are not kept, unless the whole recording is. Shorter: files that are mostly warm-up. Longer:
a stream with many gaps leaves nothing."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Written:
    """One file of a recording."""

    file: Path
    samples: int
    """Samples in it, without a break."""
    measured: MeasuredRate | None
    """How fast they came; None: all in one message."""
    quantities: dict[str, tuple[float, float]]
    """Lowest and highest value of the measured quantities that were known."""


@dataclass
class Part:
    """Contiguous samples of one channel."""

    raw: Path
    """Hidden file with those that are not in ``held``, as float32."""
    began_at_s: float
    """UNIX time of the first sample."""
    samples: int = 0
    held: list[Float32] = field(default_factory=list)
    held_samples: int = 0
    first_arrived_s: float = 0.0
    """Monotonic instant of the first message."""
    first_samples: int = 0
    """Samples of the first message."""
    last_arrived_s: float = 0.0
    """Monotonic instant of the last message."""
    quantities: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """Values of the measured quantities, each from a sample on; NaN: not known."""

    def note(self, name: str, value: float) -> None:
        """A quantity has this value from the next sample on."""
        known = self.quantities.setdefault(name, [])
        if not known or (known[-1][1] != value and not (np.isnan(known[-1][1]) and np.isnan(value))):
            known.append((self.samples, value))

    def beside(self) -> dict[str, float | Float32]:
        """The known quantities for the file: one number, or (samples,) where it changed."""
        found: dict[str, float | Float32] = {}
        for name, known in self.quantities.items():
            starts, values = [start for start, _ in known], np.array([value for _, value in known], np.float32)
            if len(known) == 1 and not np.isnan(values[0]):
                found[name] = float(values[0])
            elif not np.isnan(values).all():
                found[name] = np.repeat(values, np.diff([*starts, self.samples]))
        return found

    def take(self, samples: Float32, arrived_s: float) -> None:
        """Append the samples of a message."""
        if not self.samples:
            self.first_arrived_s, self.first_samples = arrived_s, samples.size
        self.last_arrived_s = arrived_s
        self.held.append(samples)
        self.held_samples += samples.size
        self.samples += samples.size
        if self.held_samples >= HELD_SAMPLES:
            self.flush()

    def flush(self) -> None:
        """Write the samples that are held."""
        with self.raw.open("ab") as file:
            for samples in self.held:
                samples.tofile(file)
        self.held, self.held_samples = [], 0

    @property
    def measured(self) -> MeasuredRate | None:
        """How fast its samples came; None: all at once."""
        over_s = self.last_arrived_s - self.first_arrived_s
        return MeasuredRate((self.samples - self.first_samples) / over_s, over_s) if over_s > 0 else None


@dataclass
class Track:
    """One channel of a recording."""

    name: str
    """Its labels, or its topic, as a file name without a suffix."""
    topic: str
    axis: str
    sensor: Sensor
    wanted: int
    """Samples to record."""
    collected: int = 0
    """Samples in all its parts."""
    last_arrived_s: float = 0.0
    """Monotonic instant of its last message."""
    parts: list[Part] = field(default_factory=list)
    starting: bool = True
    """Whether the next samples begin a part."""
    rms_mps2: float = 0.0
    """RMS of its first message."""

    @property
    def complete(self) -> bool:
        """Whether it has all its samples."""
        return self.collected >= self.wanted

    def wrong_rate(self) -> MeasuredRate | None:
        """How fast the samples of its last part came, if that contradicts the stated rate."""
        found = self.parts[-1].measured if self.parts else None
        return found if found and found.contradicts(self.sensor.sampling_rate_hz) else None


class Tape:
    """Takes the samples of all channels; a :class:`monitor.runtime.intake.sink.SampleSink`."""

    def __init__(self, folder: Path, channels: int, duration_s: float) -> None:
        """Make a tape.

        Args:
            folder: gets the hidden files; it exists.
            channels: most channels.
            duration_s: seconds to record of each.
        """
        self.tracks: dict[int, Track] = {}
        self.conditions = ConditionValues(channels)
        """The latest measured quantities of the rows."""
        self._folder = folder
        self._channels = channels
        self._duration_s = duration_s
        self._next_sample = [0] * channels

    def begin(self, row: int, labels: Sequence[str], topic: str, sensor: Sensor) -> None:
        """Record the channel of a row; its last label is the axis. Rows that never begin are ignored."""
        name = "-".join(_UNSAFE.sub("_", label).lstrip(".-") for label in labels if label)
        name = name or _UNSAFE.sub("_", topic.strip("/").replace("/", "-")).lstrip(".-") or "channel"
        if any(track.name == name for track in self.tracks.values()) or len(name) > 150:
            name = f"{name[:150]}-{sha256(f'{topic} {labels}'.encode()).hexdigest()[:8]}"
        wanted = max(2, round(self._duration_s * sensor.sampling_rate_hz))
        self.tracks[row] = Track(name, topic, labels[-1], sensor, wanted)

    def rows(self) -> list[int]:
        """All rows."""
        return list(range(self._channels))

    def start_context(self, row: int, next_sample: int) -> int:
        """Samples are missing: the next ones of ``row`` begin a part."""
        self._next_sample[row] = next_sample
        if row in self.tracks:
            self.tracks[row].starting = True
        return 0

    def next_sample(self, row: int) -> int:
        """The index in its stream that the next sample of a row gets."""
        return self._next_sample[row]

    def has_room(self, row: int, coming: int) -> bool:  # noqa: ARG002 - a disk waits for nobody
        """All fit."""
        return True

    def append(self, row: int, samples: Numbers, factor: float, arrived_s: float) -> int:
        """Keep the samples of a message in the unit of their sensor, as far as they are wanted; all fit."""
        self._next_sample[row] += samples.shape[0]
        track = self.tracks.get(row)
        if track is None:
            return 0
        track.last_arrived_s = arrived_s
        if track.complete:
            return 0
        if not track.parts:
            track.rms_mps2 = float(np.sqrt(np.mean((samples.astype(np.float64) * factor) ** 2)))
        sensor = track.sensor
        if track.starting:
            raw = self._folder / f".{track.name}.{len(track.parts)}.part"
            raw.unlink(missing_ok=True)
            began_at_s = time.time() - samples.shape[0] / sensor.sampling_rate_hz
            track.parts.append(Part(raw, began_at_s))
            track.starting = False
        if sensor.conditions:
            values = dict(zip(self.conditions.names, self.conditions.of(np.array([row]), arrived_s)[0], strict=True))
            for name in sensor.conditions:
                track.parts[-1].note(name, float(values[name]))
        kept = samples[: track.wanted - track.collected]
        track.parts[-1].take(np.multiply(kept, sensor.scale, dtype=np.float32, casting="unsafe"), arrived_s)
        track.collected += kept.shape[0]
        return 0

    def write(self, track: Track, first: Path, suffix: str) -> Iterator[Written]:
        """Write the parts of a channel that are long enough, the first to ``first``, further ones as ``NAME-2``.

        ``suffix`` is that of ``first``, with which a format is selected.

        Raises:
            MonitorError: a file cannot be written; the hidden file of the part is kept.
        """
        rate_hz = track.sensor.sampling_rate_hz
        shortest = min(track.wanted, max(2, round(SHORTEST_S * rate_hz)))
        long_enough = [part for part in track.parts if part.samples >= shortest]
        stem = first.name[: -len(suffix)]
        for number, part in enumerate(long_enough, 1):
            file = first if number == 1 else first.with_name(f"{stem}-{number}{suffix}")
            part.flush()
            beside = part.beside() if suffix in HOLDS_QUANTITIES else {}
            write_recording(
                file,
                np.memmap(part.raw, np.float32, "r"),
                rate_hz,
                track.sensor.unit,
                recorded_at_s=part.began_at_s,
                measured=part.measured,
                beside=beside,
            )
            part.raw.unlink()
            ranges = {name: (float(np.nanmin(value)), float(np.nanmax(value))) for name, value in beside.items()}
            yield Written(file, part.samples, part.measured, ranges)

    def erase(self) -> None:
        """Delete what is left of hidden files."""
        for track in self.tracks.values():
            for part in track.parts:
                part.raw.unlink(missing_ok=True)
