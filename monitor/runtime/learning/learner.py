"""The learner: a process of lowest priority that keeps what channels learn from, and fits heads and calibrations to it.

Fitting takes a tenth of a second to seconds, and needs SciPy. Here it costs neither the event loop nor the workers
anything, whatever the number of channels. What is gathered goes to disk as it comes
(:mod:`monitor.runtime.learning.kept_file`); how far each channel is goes there every few seconds, in one file for all.
So a kill loses seconds. Does not handle: when what is to be done (``desk``).
"""

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.core.arrays import Bool, Float64
from monitor.core.learning.bursts import Burst
from monitor.core.learning.gather import Gathered
from monitor.core.learning.thinning import every
from monitor.core.scoring.calibration.conditions import logarithms
from monitor.core.scoring.interval.bands import layout
from monitor.errors import RecordingError
from monitor.runtime.learning.arrived import arrived, consumed, install
from monitor.runtime.learning.kept_file import About, KeptFile, Records
from monitor.runtime.learning.messages import (
    CHANGED,
    NOT_COME,
    Answer,
    Calibrate,
    Calibrated,
    Close,
    Feed,
    FitHead,
    HeadFitted,
    Job,
    Open,
    Opened,
    Unable,
    Unsaved,
)
from monitor.runtime.learning.progress import PROGRESS, HowFar, read_progress, write_progress
from monitor.runtime.processes import child

NICENESS = 19
"""Nice value: learning takes what nobody else wants."""

SAVE_S = 20.0
"""Seconds between two saves of how far channels are. Shorter: more writes. Longer: a kill loses more."""


@dataclass
class _Learning:
    """What one channel has learned from so far."""

    path: Path
    about: About
    bands: int
    file: KeptFile | None = None
    seen: int = 0
    left_out: tuple[int, ...] = ()
    burst: Burst | None = None
    known: int = 0

    @property
    def progress(self) -> HowFar:
        """How far it is, as it is saved."""
        head = "" if self.file is None else self.file.head
        return HowFar(self.about.key, self.seen, self.left_out, self.burst, self.known, head)


class Learner:
    """Does one job after the other."""

    def __init__(self, folder: Path, tell: Callable[[Answer], None], clock: Callable[[], float]) -> None:
        """Read how far the channels were.

        Args:
            folder: where the files are.
            tell: called with each answer.
            clock: monotonic seconds.
        """
        self._folder, self._tell, self._clock = folder, tell, clock
        self._learnings: dict[int, _Learning] = {}
        self._before = read_progress(folder / PROGRESS)
        self._saved_s, self._unsaved = clock(), False

    def do(self, job: Job) -> None:
        """Do a job, and tell its answer."""
        match job:
            case Open():
                self._able(job.number, "take up what was kept", lambda: self._open(job))
            case Close(number, forget):
                self._close(number, forget=forget)
            case Feed(gathered, offset_s):
                self._feed(gathered, offset_s)
            case FitHead():
                self._able(job.number, "fit the head", lambda: self._fit_head(job))
            case Calibrate():
                self._able(job.number, "calibrate", lambda: self._calibrate(job))

    def save(self, *, now: bool = False) -> None:
        """Save how far the channels are, if that has changed and the last save is long enough ago."""
        now_s = self._clock()
        if not self._unsaved or (now_s - self._saved_s < SAVE_S and not now):
            return
        self._saved_s, self._unsaved = now_s, False
        for one in self._learnings.values():
            self._before[one.path.stem] = one.progress
        try:
            write_progress(self._folder / PROGRESS, self._before)
        except OSError as error:
            self._unsaved = True
            self._tell(Unsaved(0, f"{self._folder / PROGRESS}: {error.strerror or error}"))

    def _open(self, job: Open) -> None:
        path = self._folder / f"{job.name}.learning"
        of = layout(job.block_samples)
        one = _Learning(path, About(job.key, job.names, of.raw), of.bands, burst=job.burst)
        problem = self._take_up(one, job.brought)
        if one.file is not None and job.extend and not one.known and one.file.count:
            one.file.close_up()
            one.seen = one.known = one.file.following
        elif not job.extend:
            one.known = 0
        if one.file is None:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            if job.fitted is not None:
                self._able(job.number, "write", lambda: self._create(one, job))
        self._learnings[job.number] = one
        self._unsaved = True
        if one.file is None:
            self._tell(Opened(job.number, None, 0.0, one.seen, one.left_out, problem))
            return
        head, file = one.file.fitted().head, one.file
        kept = one.seen, one.left_out, problem, one.known, file.head
        self._tell(Opened(job.number, head, file.level_mps2, *kept))
        if one.known:
            self.save(now=True)  # the numbers of its intervals are new

    def _take_up(self, one: _Learning, brought: HowFar | None) -> str:
        """Use what an earlier run kept, or another worker, whatever is newer; returns why not, or nothing."""
        file, problem = self._own(one)
        brought = brought if brought is not None and brought.key == one.about.key else None
        came = arrived(self._folder, one.path)
        if came is not None and came.file.about == one.about and (file is None or came.file.last_at_s > file.last_at_s):
            file, problem = came.file, ""
        if brought is not None and file is not None and file.head != brought.head:
            file = None
        if file is None:
            return problem or (NOT_COME if brought is not None and brought.head else "")
        if came is not None and file is came.file:
            try:
                install(came)
            except OSError as error:
                return f"{one.path}: {error.strerror or error}"
            self._before[one.path.stem] = came.how_far
        consumed(self._folder, one.path)
        one.file, one.seen = file, file.following
        for before in (self._before.get(one.path.stem), brought):
            if before is not None and before.key == one.about.key and before.head in {"", file.head}:
                if before is brought and brought.known != one.known:
                    continue  # its intervals have other numbers
                one.seen, one.left_out = max(one.seen, before.seen), before.left_out
                one.known = before.known
        return ""

    def _own(self, one: _Learning) -> tuple[KeptFile | None, str]:
        """What an earlier run kept of a channel, or why it cannot be used."""
        try:
            file = KeptFile.open(one.path)
        except FileNotFoundError:
            return None, ""
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError):
                one.path.replace(one.path.with_suffix(".bad"))
            return None, str(error)
        return (file, "") if file.about == one.about else (None, CHANGED)

    def _create(self, one: _Learning, job: Open) -> None:
        if job.fitted is not None:
            one.file = KeptFile.create(one.path, one.about, job.fitted, job.level_mps2)

    def _close(self, number: int, *, forget: bool) -> None:
        one = self._learnings.pop(number, None)
        if one is not None and forget:
            with contextlib.suppress(OSError):
                one.path.unlink(missing_ok=True)
            self._before.pop(one.path.stem, None)
        elif one is not None:
            self._before[one.path.stem] = one.progress
            self._unsaved = True

    def _feed(self, gathered: Gathered, offset_s: float) -> None:
        self._unsaved = True
        columns = (gathered.numbers.tolist(), gathered.seen.tolist(), gathered.left_out.tolist())
        for number, seen, left_out in zip(*columns, strict=True):
            one = self._learnings.get(number)
            if one is not None:
                one.seen, one.left_out = seen, tuple(left_out)
        borders = np.flatnonzero(np.diff(gathered.number, prepend=-1, append=-1))
        lost, reason = 0, ""
        for first, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
            one = self._learnings.get(int(gathered.number[first]))
            if one is None or one.file is None:
                continue
            part = slice(first, end)
            at_s = np.clip(gathered.at_s[part] + offset_s, 0, 2**32 - 1)
            measured = gathered.measured[part, : len(one.about.names)]
            later = gathered.place[part] >= one.file.following
            records = Records(gathered.place[part], at_s, gathered.raw[part], measured)
            try:
                one.file.append(records.of(later), one.seen)
            except OSError as error:
                lost, reason = lost + int(later.sum()), f"{one.path}: {error.strerror or error}"
        if lost:
            self._tell(Unsaved(lost, reason))

    def _able(self, number: int, what: str, work: Callable[[], None]) -> None:
        """Do the work; tell why if it cannot be done."""
        try:
            work()
        except (RecordingError, OSError, ValueError, FloatingPointError) as error:
            text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            self._tell(Unable(number, what, text))

    def _fit_head(self, job: FitHead) -> None:
        from monitor.core.learning.head_fit import CANDIDATES, fit_head

        one = self._learnings.get(job.number)
        if one is None:
            return
        fitted = fit_head(job.blocks, CANDIDATES if job.foreseen else CANDIDATES[:1])
        level = float(np.sqrt(np.mean(np.concatenate([np.mean(each.signal**2, axis=1) for each in job.blocks]))))
        one.file = KeptFile.create(one.path, one.about, fitted, level)
        self._tell(HeadFitted(job.number, fitted.head, level, one.file.head))

    def _calibrate(self, job: Calibrate) -> None:
        from monitor.core.learning.condition_fit import keeps_moving, novelty
        from monitor.core.learning.from_intervals import calibrate_intervals

        one = self._learnings.get(job.number)
        if one is None or one.file is None:
            self._tell(Unable(job.number, "calibrate", "nothing is kept of it"))
            return
        records = one.file.read()
        raw, measured = records.raw.astype(np.float64), records.measured.astype(np.float64)
        made = calibrate_intervals(
            raw,
            measured,
            one.about.names,
            one.file.fitted(),
            interval_blocks=job.interval_blocks,
            warmup_blocks=job.warmup_blocks,
            sampling_rate_hz=job.sampling_rate_hz,
            interval_s=job.interval_s,
            every=int(every(one.seen)),
            known=int((records.place < one.known).sum()),
        )
        known = np.isfinite(measured).any(axis=0)
        curve = novelty(np.asarray(logarithms(raw, one.bands), np.float64), measured[:, known], made.aside)
        at_s = records.at_s
        self._tell(
            Calibrated(
                job.number,
                made.calibration,
                float(at_s.min()),
                float(at_s.max()),
                curve,
                keeps_moving(curve) and not one.known,  # what a person adds is new
                _stretches(made.aside, at_s),
            )
        )


def _stretches(aside: Bool, at_s: Float64) -> tuple[tuple[float, float, int], ...]:
    """First and last instant, and number, of consecutive intervals that were set aside."""
    borders = np.flatnonzero(np.diff(aside.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    return tuple((float(at_s[first]), float(at_s[end - 1]), int(end - first)) for first, end in borders.tolist())


def main() -> None:
    """Run the process; its arguments: a file descriptor of the connection to the daemon, and the folder."""
    connection = child.join(NICENESS)
    with contextlib.suppress(EOFError, ConnectionError):
        learner = Learner(Path(sys.argv[2]), connection.send, time.monotonic)
        job: Job | None
        while True:
            if connection.poll(SAVE_S):
                job = connection.recv()
                if job is None:
                    break
                learner.do(job)
            learner.save()
        learner.save(now=True)


if __name__ == "__main__":
    main()
