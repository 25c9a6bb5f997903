"""The baselines of all channels on disk: the last five of each, with who changed what, when and why.

All are in one folder of the state directory. A channel has one file of its history (JSON), and one calibration file
(that of ``calibrate``) for each baseline. A change writes the calibration first, then the history that names it, each
atomically, and then deletes what no history names. So after a kill at any instant the old state is there or the new
one. A file that cannot be used costs its channel only, and is told. Methods that change something write to disk: call
them on a thread. Does not handle: who may change something, and what a running daemon does then (``desk``).
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from monitor.atomic_file import write_atomically
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.errors import ArtefactError, MonitorError
from monitor.model.calibration_file import ANY_REGIME, CalibrationFile, load_calibrations, save_calibrations
from monitor.runtime.baselines.history import (
    KEPT_BASELINES,
    Baseline,
    Change,
    History,
    Source,
    given,
    name_of,
    read_history,
    require_model,
    slug_of,
)
from monitor.runtime.log.printable import printable

LOG = logging.getLogger(__name__)

FOLDER = "baselines"
"""Name of the folder in the state directory."""

MOST_CHANNELS = 100_000
"""Most channels with baselines. More: a topic that names everything anew fills the disk."""

LEARNER = "learning"
"""Who made a baseline that the daemon learned."""

WHATEVER = "", 0.0
"""Stands for whatever happened last to a channel's baselines."""

FROM_RECORDINGS = Source()
"""The source of a calibration file of ``calibrate``, which says itself what is known."""


@dataclass(frozen=True)
class Asked:
    """Who asks for a change, and why."""

    by: str
    """Name of a person or program."""
    reason: str
    """Why."""


class Store:
    """The baselines of all channels; safe to use from several threads."""

    def __init__(self, folder: Path | None, now_s: Callable[[], float]) -> None:
        """Read what is there.

        Args:
            folder: the state directory; None: there are no baselines, and none can be made.
            now_s: returns UNIX seconds.
        """
        self.problems: dict[str, str] = {}
        """Why files are not used, by the beginning of their names."""
        self._folder = folder / FOLDER if folder is not None else None
        self._now_s = now_s
        self._writing = threading.RLock()
        """Held by a change. Reading needs none, so that the event loop never waits for a disk."""
        self._histories: dict[str, History] = {}
        self._loaded: dict[str, CalibrationFile] = {}
        """Calibration files that were read, by the beginning of their names."""
        if self._folder is not None and self._folder.is_dir():
            for path in sorted(self._folder.glob("[!.]*.json")):
                self._read(path)

    @property
    def histories(self) -> list[History]:
        """The histories of all channels, by name."""
        return sorted(self._histories.copy().values(), key=lambda history: history.name)

    def history(self, labels: dict[str, str]) -> History | None:
        """The history of a channel; None: it has none."""
        return self._histories.get(slug_of(labels)) if self._histories else None

    def changed(self, labels: dict[str, str]) -> tuple[str, float] | None:
        """What last happened to a channel's baseline, and when in UNIX seconds; None: nothing yet."""
        history = self.history(labels)
        return None if history is None or not history.changes else (history.changes[-1].what, history.changes[-1].at_s)

    def current(self, labels: dict[str, str], model_sha256: str) -> Calibration | None:
        """The calibration of a channel's current baseline, the same object until it changes; None: no usable one.

        Args:
            labels: the channel's labels.
            model_sha256: hash of the model that forecasts the channel.
        """
        while True:
            history = self.history(labels)
            baseline = None if history is None else history.baseline
            if history is None or baseline is None:
                return None
            try:
                require_model(baseline, model_sha256)
                found = self.calibration_file(history, baseline).of_channel(labels)
            except ArtefactError as error:
                if self.history(labels) is not history:
                    continue  # another thread has just replaced it
                self._problem(history.slug, f"{history.name}: no score: {error}")
                return None
            self.problems.pop(history.slug, None)
            return found

    def calibration_file(self, history: History, baseline: Baseline) -> CalibrationFile:
        """The calibration file of one baseline.

        Raises:
            ArtefactError: it cannot be read, is damaged, or is another one than the history says.
        """
        kept = self._loaded.get(history.slug)
        if kept is not None and kept.header.sha256 == baseline.arrays_sha256:
            return kept
        file = load_calibrations(self._path(history.file_name(baseline.number)))
        if file.header.sha256 != baseline.arrays_sha256:
            raise ArtefactError(
                f"{file.path}: is not the calibration of baseline {baseline.number}, it was replaced; import it with "
                "'vibration-monitor baseline import', or learn again"
            )
        if baseline.number == history.current:
            self._loaded[history.slug] = file
        return file

    def file_bytes(self, history: History) -> bytes:
        """The calibration file of a channel's current baseline.

        Raises:
            ArtefactError: it cannot be read.
        """
        path = self._path(history.file_name(history.current or 0))
        try:
            return path.read_bytes()
        except OSError as error:
            raise ArtefactError(f"{path}: cannot be read: {error.strerror or error}") from error

    def learned(
        self,
        labels: dict[str, str],
        calibration: Calibration,
        *,
        model_sha256: str,
        source: Source,
        extended: bool = False,
        following: tuple[str, float] | None = WHATEVER,
    ) -> Baseline:
        """Make a calibration that was learned the current baseline of its channel.

        A provisional one takes the place of the provisional one before it. What was learned anew leaves a request to
        extend open.

        Args:
            labels: the channel's labels.
            calibration: what was learned.
            model_sha256: hash of the model that forecasts the channel.
            source: what it was learned from, and whether it is provisional.
            extended: whether it contains the baseline before it.
            following: what happened last, as :meth:`changed` says, when it was learned.

        Raises:
            MonitorError: something else has happened since, or it cannot be written; nothing is changed.
        """
        with self._writing:
            history = self._of(labels)
            if following not in {WHATEVER, self.changed(labels)}:
                raise MonitorError(f"{history.name}: its baseline was changed while this one was made")
            number = _next(history)
            path = self._path(history.file_name(number))
            save_calibrations(
                path,
                {ANY_REGIME: calibration},
                model_sha256=model_sha256,
                channel=history.name[:1000],
                made={"learned_from_s": source.from_s, "learned_to_s": source.to_s},
            )
            how = (
                "extended" if extended else "learned",
                Asked(LEARNER, "provisional" if source.provisional else "complete"),
            )
            return self._add(history, path, how, source)

    def bring(
        self,
        labels: dict[str, str],
        file: Path,
        asked: Asked,
        source: Source = FROM_RECORDINGS,
        changes: tuple[Change, ...] = (),
    ) -> Baseline:
        """Import a calibration file as the current baseline of a channel.

        Args:
            labels: the channel's labels.
            file: the calibration file.
            asked: who imports it, and why.
            source: what is known of how it was learned.
            changes: what happened to it before, on another machine; it is kept where the channel has no history yet.

        Raises:
            ArtefactError: it is not a calibration file.
            MonitorError: it cannot be written; nothing is changed.
        """
        load_calibrations(file).of_channel(labels)
        with self._writing:
            history = self._of(labels)
            if not history.changes:
                elsewhere = tuple(one.model_copy(update={"baseline": None}) for one in changes)
                history = history.model_copy(update={"changes": elsewhere})
            path = self._path(history.file_name(_next(history)))
            self._write(path, file.read_bytes())
            return self._add(history, path, ("imported", asked), source)

    def replace(self, history: History, calibration: bytes | None) -> None:
        """Have what another daemon has of a channel: its history, and the calibration file of its current baseline.

        Older baselines stay here, as far as it has none of the same number.

        Raises:
            MonitorError: it cannot be written; nothing is changed.
        """
        with self._writing:
            if calibration is not None:
                self._write(self._path(history.file_name(history.current or 0)), calibration)
            self._save(history.with_older(self.history(history.labels)))

    def accept(self, labels: dict[str, str], asked: Asked) -> History:
        """Confirm the current baseline: it is not provisional any more, and no request is left.

        Raises:
            MonitorError: there is none, or it cannot be written; nothing is changed.
        """
        with self._writing:
            history = self._existing(labels)
            accepted = tuple(
                one.model_copy(update={"provisional": False}) if one.number == history.current else one
                for one in history.baselines
            )
            change = self._change("accepted", asked, history.current)
            return self._save(history.since(change, baselines=accepted, request=None))

    def revert(self, labels: dict[str, str], asked: Asked, to: int | None = None) -> History:
        """Go back to the baseline before the current one, or to one by its number.

        Raises:
            MonitorError: there is none, or it cannot be used or written; nothing is changed.
        """
        with self._writing:
            history = self._existing(labels)
            kept = [one.number for one in history.baselines if one.number != history.current]
            target = (
                history.before if to is None else next((one for one in history.baselines if one.number == to), None)
            )
            if target is None or target.number == history.current:
                others = f"it also has {', '.join(map(str, kept))}" if kept else "it has no other"
                wanted = "an older one" if to is None else f"baseline {to}"
                raise MonitorError(
                    f"{history.name}: cannot go back to {wanted}: baseline {history.current} is current, {others}"
                )
            file = self.calibration_file(history, target)
            change = self._change("reverted", asked, target.number)
            saved = self._save(history.since(change, current=target.number, request=None))
            self._loaded[history.slug] = file  # so that the event loop need not read it
            return saved

    def ask(self, labels: dict[str, str], what: str, asked: Asked) -> History:
        """Write down that a channel shall ``learn`` anew, or ``extend`` its baseline; learning takes it up.

        Raises:
            MonitorError: there is nothing to extend, or it cannot be written; nothing is changed.
        """
        with self._writing:
            history = self._existing(labels) if what == "extend" else self._of(labels)
            change = self._change(what, asked, history.current)
            return self._save(history.since(change, request=change))

    def _add(self, history: History, path: Path, how: tuple[str, Asked], source: Source) -> Baseline:
        """Make the calibration file ``path``, which was just written, the current baseline."""
        try:
            file = load_calibrations(path)
            calibration = file.of_channel(history.labels)
            fresh = Baseline.of(_next(history), file, self._now_s(), calibration, source)
            kept, changes = list(history.baselines), list(history.changes)
            replaced = history.baseline
            if replaced is not None and replaced.provisional and how[0] in {"learned", "extended"}:
                kept.remove(replaced)
                made = {"learned", "extended"}
                changes = [one for one in changes if one.baseline != replaced.number or one.what not in made]
            while len(kept) >= KEPT_BASELINES:
                kept.remove(next(one for one in kept if one.number != history.current or len(kept) == 1))
            change = self._change(how[0], how[1], fresh.number)
            is_open = source.provisional or (how[0] == "learned" and history.extends)
            request = history.request if is_open else None
            self._save(
                history.since(
                    change,
                    current=fresh.number,
                    request=request,
                    baselines=(*kept, fresh),
                    changes=tuple(changes),
                )
            )
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        self._loaded[history.slug] = file
        return fresh

    def _change(self, what: str, asked: Asked, number: int | None) -> Change:
        return Change.model_validate(
            {"at_s": self._now_s(), "what": what, "by": asked.by, "reason": asked.reason, "baseline": number}
        )

    def _of(self, labels: dict[str, str]) -> History:
        """The history of a channel, an empty one if it has none."""
        found = self.history(labels)
        if found is None:
            if len(self._histories) >= MOST_CHANNELS:
                raise MonitorError(f"{self._folder}: has the baselines of {MOST_CHANNELS} channels, no more are kept")
            found = History(labels=given(labels))
        return found

    def _existing(self, labels: dict[str, str]) -> History:
        found = self.history(labels)
        if found is None or found.baseline is None:
            raise MonitorError(f"{name_of(labels)}: has no baseline yet; let it learn, or import one")
        return found

    def _save(self, history: History) -> History:
        """Write a history, and delete the files of the baselines that it names no more."""
        path, before = self._path(f"{history.slug}.json"), self._histories.get(history.slug)
        if before is None and path.exists():  # it could not be read
            with contextlib.suppress(OSError):
                path.replace(path.with_name(f"{path.name}.bad"))
        self._write(path, history.text())
        self._histories[history.slug] = history
        self.problems.pop(history.slug, None)
        kept = {one.number for one in history.baselines}
        for gone in () if before is None else before.baselines:
            if gone.number not in kept:
                with contextlib.suppress(OSError):
                    self._path(history.file_name(gone.number)).unlink()
        return history

    def _write(self, path: Path, data: bytes) -> None:
        try:
            write_atomically(path, data)
        except OSError as error:
            raise MonitorError(
                f"{path}: cannot be written: {error.strerror or error}; nothing is changed, check folder and free space"
            ) from error

    def _path(self, name: str) -> Path:
        if self._folder is None:
            raise MonitorError("baselines need a state_dir; name one in the configuration")
        return self._folder / name

    def _read(self, path: Path) -> None:
        if len(self._histories) >= MOST_CHANNELS:
            return
        try:
            history = read_history(path)
        except ArtefactError as error:
            self._problem(path.stem, str(error))
            return
        self._histories[history.slug] = history

    def _problem(self, slug: str, text: str) -> None:
        """Log why a file is not used, once."""
        text = printable(text)
        if self.problems.get(slug) != text:
            self.problems[slug] = text
            LOG.warning("%s", text)


def _next(history: History) -> int:
    return max((one.number for one in history.baselines), default=0) + 1
