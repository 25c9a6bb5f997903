"""What must survive a restart: alarm states, accumulated evidence, counters; one small file, written at once.

The file is a line with version and SHA-256, and an npz after it. It is replaced by a rename after an fsync, so a kill
at any instant leaves the old one or the new one. A file that cannot be read is set aside with a message and never stops
a start. Refuses to know: what the numbers mean, when it is time to save.
"""

import hashlib
import io
import json
import logging
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.atomic_file import write_atomically

LOG = logging.getLogger(__name__)

Array = npt.NDArray[Any]

MAGIC = b"vibration-monitor state 1 "
MAX_BYTES = 1 << 28
"""A larger file is no state of ours: 100,000 channels have about 150 MB."""


@dataclass(frozen=True)
class ChannelState:
    """What is kept of one channel."""

    key: str
    """What it depends on: topic and calibration; with another key it is not taken over."""
    arrays: dict[str, Array]
    """Numbers by name."""


State = dict[tuple[str, ...], ChannelState]
"""By the channel's labels, ``name=value``."""


@dataclass(frozen=True)
class Kept:
    """The contents of a state file."""

    channels: State
    """The channels."""
    final: bool
    """Whether it was written when everything had come to rest, so that nothing was counted after it."""


def _group(name: str, array: Array) -> str:
    return f"{name}:{array.dtype.str}:{'x'.join(str(n) for n in array.shape)}"


def pack(state: State, *, final: bool = False) -> bytes:
    """The bytes of a state file; arrays of one name, type and shape are stored together."""
    index = []
    stacked: dict[str, list[Array]] = {}
    for labels, channel in state.items():
        groups = {name: _group(name, array) for name, array in channel.arrays.items()}
        for name, group in groups.items():
            stacked.setdefault(group, []).append(channel.arrays[name])
        index.append({"labels": list(labels), "key": channel.key, "groups": groups})
    numbers = {group: f"a{number}" for number, group in enumerate(stacked)}
    arrays: dict[str, Array] = {numbers[group]: np.stack(values) for group, values in stacked.items()}
    text = json.dumps({"channels": index, "arrays": numbers, "final": final})
    arrays["index"] = np.frombuffer(text.encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type] # keyword arrays, not allow_pickle
    data = buffer.getvalue()
    return MAGIC + hashlib.sha256(data).hexdigest().encode() + b"\n" + data


def unpack(content: bytes) -> Kept:
    """What the bytes of a state file hold.

    Raises:
        ValueError: they are not a state file of this version, or damaged.
    """
    head, separator, data = content.partition(b"\n")
    if not separator or not head.startswith(MAGIC):
        raise ValueError("it is not a state file of this version")
    if hashlib.sha256(data).hexdigest().encode() != head[len(MAGIC) :]:
        raise ValueError("its checksum is wrong")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            index = json.loads(arrays["index"].tobytes())
            stacked = {group: iter(arrays[name]) for group, name in index["arrays"].items()}
        channels = {
            tuple(entry["labels"]): ChannelState(
                entry["key"], {name: np.asarray(next(stacked[group])) for name, group in entry["groups"].items()}
            )
            for entry in index["channels"]
        }
        return Kept(channels, final=index["final"] is True)
    except (KeyError, TypeError, AttributeError, StopIteration, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"its contents do not fit together: {error}") from error


def save(path: Path, state: State, *, final: bool = False) -> None:
    """Write a state file at once.

    Raises:
        OSError: it cannot be written; the old file is still there.
    """
    write_atomically(path, pack(state, final=final))


def load(path: Path) -> Kept:
    """The state in a file; empty where there is none. One that cannot be read is set aside, with a message."""
    try:
        with path.open("rb") as file:
            return unpack(file.read(MAX_BYTES + 1))
    except FileNotFoundError:
        return Kept({}, final=False)
    except (OSError, ValueError) as error:
        aside = path.with_name(f"{path.name}.bad-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
        try:
            path.replace(aside)
        except OSError:
            aside = path
        LOG.warning("the state is not used: file=%s reason=%s kept_as=%s", path, error, aside.name)
        return Kept({}, final=False)
