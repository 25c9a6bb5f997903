"""WAV files, which many recorders write: interleaved channels, the rate in the header, no unit.

Floating-point samples are read as they are. Integer samples are read as fractions of full scale (-1 to 1), so their
unit is whatever full scale means. The file's comment may state it: ``unit: m/s2``, with other facts after ``;``.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitor.core.arrays import Numbers
from monitor.errors import RecordingError
from monitor.recording.readers.contents import FACT_NAMES, Contents, Layout, Stored, why_empty

FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64"})

SHORTER = re.compile(r"^data *: (\d+) \(should be (\d+)\)", re.MULTILINE)
"""The note of libsndfile about a file that is shorter than its header states."""

STATED = re.compile(r"(?:^|;) *(\w+): *([^\s;]+)")
"""A fact in the file's comment."""

UNKNOWN_LENGTH = frozenset({0, 2**32 - 1})
"""Lengths that a recorder writes while the length is still unknown."""


def read_wav(path: Path) -> Contents:
    """Read the header of a ``.wav`` file; its channels are one array (samples, channels)."""
    import soundfile

    with soundfile.SoundFile(path) as file:
        if file.format not in FORMATS:
            raise RecordingError(f"{path.name}: is a {file.format} file; expected WAV. Convert it, losslessly")
        shorter = SHORTER.search(file.extra_info)
        samples, channels = len(file), file.channels
        facts: dict[str, Any] = {"sampling_rate_hz": float(file.samplerate)}
        facts |= {key: value for key, value in STATED.findall(file.comment) if key in FACT_NAMES}
    if shorter and int(shorter[1]) not in UNKNOWN_LENGTH:
        raise RecordingError(
            f"{path.name}: holds {int(shorter[2]):,} of {int(shorter[1]):,} bytes of samples; it was cut short: copy "
            "or export it again"
        )

    def frames(layout: Layout, channel: int, max_samples: int) -> Iterator[Numbers]:
        del layout
        done = 0
        with soundfile.SoundFile(path) as file:
            while done < samples:
                block: Numbers = file.read(min(max_samples, samples - done), dtype="float64", always_2d=True)
                if not len(block):
                    raise EOFError(f"{samples - done:,} samples are missing")
                done += len(block)
                yield block[:, channel]

    reason = why_empty(samples)
    stored = Stored("", (samples, channels), frames, {"channels": [str(k) for k in range(channels)]})
    return Contents({} if reason else {"": stored}, facts, {"": reason} if reason else {}, key_is_channel=True)
