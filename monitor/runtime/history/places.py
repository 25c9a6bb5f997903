"""Which place of the history's files belongs to which channel, and since when.

Places are given out once and stay, so that a channel finds its history after a restart and after a silence of months.
When all are taken, the channel that came first and is away makes room. What lies in a place from before its channel
came is not read.
"""

import json
import logging
from collections.abc import Collection
from pathlib import Path

from monitor.atomic_file import write_atomically

LOG = logging.getLogger(__name__)

FORMAT = 1
FILE_NAME = "channels.json"

Identity = tuple[str, ...]
"""A channel's non-empty labels, each ``name=value``."""


class Places:
    """The places of the channels."""

    def __init__(self, folder: Path, most: int) -> None:
        """Read which channel has which place; ``most``: number of places. A file that cannot be read is set aside."""
        self._path = folder / FILE_NAME
        self.of: dict[Identity, tuple[int, float]] = {}
        """Place of each channel, and UNIX seconds at which it came."""
        if self._path.exists():
            try:
                self.of = _read(self._path, most)
            except (OSError, ValueError, KeyError, TypeError) as error:
                LOG.warning("history starts empty: file=%s reason=%s", self._path, error)
                # Without it nobody knows whose the figures in the other files are.
                for old in [self._path, *(file for file in folder.glob("[!.]*") if not file.suffix)]:
                    old.replace(old.with_name(f"{old.name}.bad"))
        self._free = sorted(set(range(most)) - {place for place, _ in self.of.values()}, reverse=True)

    @property
    def used(self) -> int:
        """Number of places up to the last that was ever given out."""
        return 1 + max((place for place, _ in self.of.values()), default=-1)

    def take(self, wanted: Collection[Identity], now_s: float) -> bool:
        """Give each of ``wanted`` a place, if there is any; returns whether something changed."""
        fresh = [identity for identity in wanted if identity not in self.of]
        if not fresh:
            return False
        if len(fresh) > len(self._free):
            present = set(wanted)
            away = sorted((since, old) for old, (_, since) in self.of.items() if old not in present)
            for _, old in away[: len(fresh) - len(self._free)]:
                self._free.append(self.of.pop(old)[0])
        for identity in fresh[: len(self._free)]:
            self.of[identity] = self._free.pop(), now_s
        return True

    def save(self) -> None:
        """Write the file; raises OSError."""
        lines = [[*identity, place, since] for identity, (place, since) in self.of.items()]
        write_atomically(self._path, json.dumps({"format": FORMAT, "channels": lines}).encode())


def _read(path: Path, most: int) -> dict[Identity, tuple[int, float]]:
    content = json.loads(path.read_bytes())
    if content["format"] != FORMAT:
        raise ValueError(f"it has format {content['format']}, this version reads {FORMAT}")
    found: dict[Identity, tuple[int, float]] = {}
    for *identity, place, since in content["channels"]:
        if 0 <= int(place) < most:
            found[tuple(map(str, identity))] = int(place), float(since)
    if len({place for place, _ in found.values()}) != len(found):
        raise ValueError("two channels have one place")
    return found
