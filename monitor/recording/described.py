"""Recordings with their own reading options in the address: ``FILE#key?decimate=4&unit=g``.

The recordings of one command often differ in rate, unit or channel. Options after the question mark override those of
the command. ``first=0.25`` takes only the first quarter, such as the healthy beginning of a run-to-failure test.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qsl

from monitor.core.arrays import Float32
from monitor.errors import ConfigurationError
from monitor.recording.fit import require_samples
from monitor.recording.options import RecordingOptions
from monitor.recording.source import Recording, open_recordings

KEYS = ("sampling-rate-hz", "channel", "decimate", "unit", "first")


@dataclass(frozen=True)
class Described:
    """One channel, and the part of it to be read."""

    recording: Recording
    """The channel, opened."""
    first: float
    """Fraction from its beginning, 0 to 1."""

    def load(self) -> list[Float32]:
        """Load the part as records, (n,) float32 each; several records are never split."""
        records = self.recording.load()
        if len(records) > 1:
            return records[: max(1, round(self.first * len(records)))]
        return [record[: round(self.first * record.size)] for record in records]


def open_described(texts: tuple[str, ...], options: RecordingOptions, needed: int, purpose: str) -> list[Described]:
    """Open recordings as described.

    Args:
        texts: ``FILE``, ``FILE#key``, either with ``?key=value&key=value``.
        options: of the command, for what a text does not say.
        needed: samples without a break that each must have.
        purpose: what they are needed for, for the message.

    Raises:
        ConfigurationError: a key or value cannot be.
        RecordingError: a recording cannot be read or is too short.
    """
    found = []
    for text in texts:
        address, own, first = _described(text, options)
        for recording in open_recordings([address], own):
            require_samples(recording, needed, purpose)
            found.append(Described(recording, first))
    return found


def _described(text: str, options: RecordingOptions) -> tuple[str, RecordingOptions, float]:
    address, mark, query = text.rpartition("?")
    if not mark or Path(text).is_file():
        return text, options, 1.0
    values = dict(parse_qsl(query, keep_blank_values=True))
    unknown = [key for key in values if key not in KEYS]
    if unknown or not values:
        raise ConfigurationError(
            f"{text}: '{', '.join(unknown) or query}' is not known after '?'; there are {', '.join(KEYS)}, "
            "written key=value and joined with &"
        )
    try:
        first = float(values.get("first", 1.0))
        own = replace(
            options,
            sampling_rate_hz=float(values["sampling-rate-hz"])
            if "sampling-rate-hz" in values
            else options.sampling_rate_hz,
            channel=values.get("channel", options.channel),
            decimate=int(values.get("decimate", options.decimate)),
            unit=values.get("unit", options.unit),
        )
    except ValueError as error:
        raise ConfigurationError(f"{text}: {error}; write numbers after '?'") from error
    if not 0 < first <= 1:
        raise ConfigurationError(f"{text}: first is {first:g}; it is a part of the recording, above 0 and at most 1")
    return address, own, first
