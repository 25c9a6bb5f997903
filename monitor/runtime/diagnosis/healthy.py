"""What each channel showed when it was healthy, for comparison: on disk, one small file a channel.

Every machine has some imbalance, and lines that a bearing's rates match by accident. So looks are kept of each channel
from the time when it was watched and ok: a few at once, whose spectra are averaged as those of an alarm are, and then
single ones hours apart, which tell how the lines of its shaft wander. They belong to the calibration and to the facts
of the machine: with another of either they are made anew.
"""

import json
import logging
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from monitor.atomic_file import write_atomically
from monitor.core.arrays import Float64
from monitor.core.diagnosis.diagnose import Diagnosis, Healthy
from monitor.core.diagnosis.envelope import Lines
from monitor.core.diagnosis.shaft.faults import KNOWN_LOOKS, Levels
from monitor.runtime.file_names import file_slug

LOG = logging.getLogger(__name__)

MOST_BYTES = 200_000
"""Largest file that is read."""

MOST_FILES = 20_000
"""Most files that are read."""

APART_S = 3600.0
"""Seconds between two looks from which they are apart. Less: it is not known how the machine wanders. More: it is known
later."""

MOST_APART = 16
"""Looks apart that are kept; then the channel is looked at no more. Fewer: small rises of the shaft's lines are not
significant. More: what grows slowly is learned as wandering."""

MOST_ORDER = 1000.0
"""Largest multiple of the shaft's frequency of a line that is believed."""

SAME_SPEED = 0.05
"""Relative difference of the speed up to which levels of the shaft are compared. Lower: a speed that wanders is
compared with nothing. Higher: a resonance that the speed moves over is taken for a fault."""


class HealthyLooks:
    """Keeps them; without a folder in memory only."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[str, tuple[str, dict[str, Any]]] = {}

    def load(self) -> None:
        """Read what an earlier run kept; a file that is damaged is logged."""
        if self._folder is not None and self._folder.is_dir():
            for file in sorted(self._folder.glob("*.json"))[:MOST_FILES]:
                found = _read(file)
                if found is not None:
                    self._known.setdefault(*found)

    def has(self, channel: str, key: str) -> bool:
        """Whether there is one of a channel under this key."""
        found = self._known.get(channel)
        return found is not None and found[0] == key

    def apart_due(self, channel: str, at_s: float) -> bool:
        """Whether a known channel is to be looked at once more."""
        about = self._known[channel][1]
        apart_s = abs(at_s - about["looked_s"][-1])  # the clock may have been set back
        return bool(about["db"]) and len(about["looked_s"]) < MOST_APART and apart_s >= APART_S

    def of(self, channel: str, key: str, shaft_hz: float | None) -> Healthy | None:
        """What is known of a healthy channel whose shaft turns as fast now; None: nothing."""
        found = self._known.get(channel)
        if found is None or found[0] != key:
            return None
        about = found[1]
        levels, apart = None, len(about["apart_db"]) >= KNOWN_LOOKS
        if about["db"] and _near(shaft_hz, about["shaft_hz"]):
            rows = about["apart_db"] if apart else about["db"]
            levels = Levels(np.array(rows, np.float64), np.array(about["above_db"], np.float64))
        return Healthy(levels, _lines(about["lines"]), apart=apart, segments=about["segments"])

    def keep(self, channel: str, key: str, looks: Sequence[Lines], seen: Diagnosis, at_s: float) -> None:
        """Keep what a healthy channel showed in some looks at once: the lines of each, and what the last one found.

        Raises:
            OSError: the file cannot be written.
        """
        together = seen.together
        levels = None if together is None else together.levels
        rows = np.zeros((0, 0)) if levels is None else levels.db
        lines = [] if together is None else reduce(Lines.and_also, looks).each_once(1.0 / together.turns)
        about: dict[str, Any] = {
            "channel": channel,
            "key": key,
            "shaft_hz": seen.shaft_hz,
            "lines": [_numbers(np.asarray(column, np.float64)) for column in lines] or [[], [], [], []],
            "segments": 0 if together is None else together.segments,
            "db": [_numbers(row) for row in rows],
            "above_db": [] if levels is None else _numbers(levels.above_db),
            "looked_s": [at_s],
            "apart_db": [] if levels is None else [_numbers(levels.mean().db[0])],
        }
        self._write(channel, key, about)

    def keep_apart(self, channel: str, seen: Diagnosis, at_s: float) -> None:
        """Keep what a known channel showed in a look hours later; at another speed it says nothing.

        Raises:
            OSError: the file cannot be written.
        """
        key, before = self._known[channel]
        about = {**before, "looked_s": [*before["looked_s"], at_s]}
        if seen.levels is not None and _near(seen.shaft_hz, before["shaft_hz"]):
            about["apart_db"] = [*before["apart_db"], _numbers(seen.levels.mean().db[0])]
        self._write(channel, key, about)

    def _write(self, channel: str, key: str, about: dict[str, Any]) -> None:
        self._known[channel] = key, about
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._folder / f"{file_slug(channel)}.json", json.dumps(about).encode())


def _near(shaft_hz: float | None, other_hz: float | None) -> bool:
    return bool(shaft_hz and other_hz and abs(shaft_hz / other_hz - 1) <= SAME_SPEED)


def _read(file: Path) -> tuple[str, tuple[str, dict[str, Any]]] | None:
    """Channel, key and contents of a file; None if it cannot be used."""
    try:
        with file.open("rb") as stream:
            about = json.loads(stream.read(MOST_BYTES))
        _lines(about["lines"])
        above = np.array(about["above_db"], np.float64)
        for rows in (np.array(about["db"], np.float64), np.array(about["apart_db"], np.float64)):
            if rows.size and rows.shape[1:] != above.shape:
                raise ValueError("levels of another shape")  # noqa: TRY301
        shaft_hz = None if about["shaft_hz"] is None else float(about["shaft_hz"])
        looked_s = [float(at_s) for at_s in about["looked_s"]] or [0.0]
        plain = {"shaft_hz": shaft_hz, "looked_s": looked_s, "segments": int(about["segments"])}
        return str(about["channel"]), (str(about["key"]), {**about, **plain})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        LOG.warning("a healthy look is not used, another will be made: file=%s error=%s", file.name, error)
        return None


def _lines(columns: list[list[float]]) -> Lines:
    """Lines from the numbers in a file.

    Raises:
        ValueError: they are none.
    """
    band, order, depth, error = np.array(columns, np.float64).reshape(4, -1)
    within = (band >= 0) & (np.abs(order) < MOST_ORDER) & (depth >= 0) & (error >= 0) & (error < 1)
    if not within.all():
        raise ValueError("lines that cannot be")
    return Lines(band.astype(np.intp), order, depth, error)


def _numbers(values: Float64) -> list[float | None]:
    """Values as JSON has them: None where one is not finite."""
    return [round(value, 3) if np.isfinite(value) else None for value in values.tolist()]
