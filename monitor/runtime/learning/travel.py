"""What a channel has learned, on its way to another worker of a Kafka group, and where it waits there.

How far the channel is goes along with its state every few seconds. What is kept of it (:mod:`kept_file`) has up to 0.28
MB and grows ever more slowly, so it follows every few minutes, with how far the channel was then in a first line. Every
worker keeps what comes of the others' channels (:mod:`arrived`). The digest of the head tells whether intervals and
progress belong together. Does not handle: when something is sent, and who may (``intake.kafka.ownership``).
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from monitor.core.learning.bursts import Burst
from monitor.errors import ArtefactError, MonitorError
from monitor.runtime.baselines.history import given, slug_of
from monitor.runtime.baselines.store import MOST_CHANNELS
from monitor.runtime.intake.channel import Channel
from monitor.runtime.learning.arrived import ARRIVED, Heading, parsed
from monitor.runtime.learning.kept_file import MAGIC, MOST_BYTES
from monitor.runtime.learning.one_channel import ChannelLearning
from monitor.runtime.learning.progress import HowFar, bursts_of, how_far


class Travel:
    """What the channels of this worker have learned, to be sent; and what came of others."""

    def __init__(self, folder: Path | None, learning_of: Callable[[Channel], ChannelLearning | None]) -> None:
        """Know what an earlier run left.

        Args:
            folder: that of the learner's files; None: nothing is kept.
            learning_of: returns the learning of a channel; None: it does not learn.
        """
        self.bursts: dict[str, Burst] = bursts_of(folder)
        """The bursts of channels that learned elsewhere or in an earlier run, by the names of their files."""
        self._folder, self._learning_of = folder, learning_of
        self._brought: dict[str, HowFar] = {}
        self._present: set[str] | None = None

    def progress(self, channel: Channel) -> bytes:
        """How far a channel is, as a document; empty: it does not learn, or that is not known yet."""
        found = self._how_far(channel)
        return b"" if found is None else msgspec.json.encode(found)

    def bring(self, labels: Mapping[str, str], progress: bytes) -> None:
        """Take note of how far a channel is that comes from another worker; a document that is none is not used."""
        found = how_far(progress)
        if found is not None:
            self._brought[slug_of(dict(labels))] = found
            if found.burst is not None:
                self.bursts[slug_of(dict(labels))] = found.burst

    def brought(self, name: str) -> HowFar | None:
        """How far a channel was that has come since the last call, by the name of its file."""
        return self._brought.pop(name, None)

    def mark(self, labels: Mapping[str, str]) -> str:
        """Text that is the same while the file of a channel is; empty: it has none. On any thread."""
        try:
            found = self._path(labels).stat()
        except OSError:
            return ""
        return f"{found.st_mtime_ns} {found.st_size}"

    def packed(self, channel: Channel, labels: Mapping[str, str]) -> bytes:
        """What is kept of a channel, as a document; on any thread.

        Raises:
            ArtefactError: its file cannot be read.
        """
        heading = Heading(given(dict(labels)), self._how_far(channel))
        path = self._path(labels)
        try:
            return msgspec.json.encode(heading) + b"\n" + path.read_bytes()
        except OSError as error:
            raise ArtefactError(f"{path}: cannot be read: {error.strerror or error}") from error

    def keep(self, document: bytes) -> None:
        """Keep what :meth:`packed` made elsewhere; on a thread. It need not be on disk at once, it can come again.

        Raises:
            ArtefactError: it is no such document.
            MonitorError: it cannot be written.
        """
        if self._folder is None:
            return
        heading, data = parsed(document)
        if not data.startswith(MAGIC) or len(data) > MOST_BYTES:
            raise ArtefactError("what a channel learns from is of another version, or is none")
        folder, name = self._folder / ARRIVED, slug_of(heading.labels)
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self._present is None:
                self._present = {each.name for each in folder.iterdir()}
            if name in self._present and path.is_file() and path.read_bytes() == document:
                return
            if name not in self._present and len(self._present) >= MOST_CHANNELS:
                raise MonitorError(f"{folder}: has the files of {MOST_CHANNELS} channels, no more are kept")
            self._present.add(name)
            fresh = folder / f".{name}.part"
            fresh.write_bytes(document)
            fresh.replace(path)
        except OSError as error:
            raise MonitorError(f"{path}: cannot be written: {error.strerror or error}; check free space") from error

    def _path(self, labels: Mapping[str, str]) -> Path:
        return (self._folder or Path()) / f"{slug_of(dict(labels))}.learning"

    def _how_far(self, channel: Channel) -> HowFar | None:
        one = self._learning_of(channel)
        return None if one is None else one.how_far
