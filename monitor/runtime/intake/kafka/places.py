"""Which partition each channel's records came from, kept over a restart.

A daemon that starts brings back the channels that it knew, silent. Those whose partition another daemon of the group
has by now must not stay: they would be reported as silent while they are scored elsewhere. Does not handle: what is
reported of channels whose partition is still here.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from monitor.atomic_file import write_atomically

LOG = logging.getLogger(__name__)

FILE_NAME = "kafka-partitions.json"

Place = tuple[str, int]
"""A partition: its topic in Kafka, and its number."""


class KeptPlaces:
    """The file in the state directory; without a directory nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / FILE_NAME if folder is not None else None
        self._written: dict[str, Place] = {}

    def load(self) -> dict[str, Place]:
        """The partitions by the topic of a channel; empty without a file. A damaged file is named in the log."""
        if self._path is None or not self._path.exists():
            return {}
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Place])
        except (OSError, msgspec.MsgspecError) as error:
            LOG.warning(
                "the partitions of an earlier run cannot be read and are left out: file=%s %s", self._path, error
            )
            return {}

    def save(self, places: Mapping[str, Place]) -> None:
        """Write the partitions if they have changed; a failure is logged."""
        if self._path is None or self._written == places:
            return
        try:
            write_atomically(self._path, msgspec.json.encode(places))
        except OSError as error:
            LOG.warning("partitions not saved: file=%s reason=%s", self._path, error.strerror or error)
        else:
            self._written = dict(places)
