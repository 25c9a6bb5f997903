"""What each channel showed when it was healthy, for comparison: on disk, one small file a channel.

Every machine has some imbalance, and lines that a bearing's rates match by accident. So one look is kept of each
channel from the time when it was watched and ok. It belongs to the calibration and to the facts of the machine: with
another of either it is made anew.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monitor.atomic_file import write_atomically
from monitor.core.arrays import Float64
from monitor.core.diagnosis.diagnose import Diagnosis, Healthy
from monitor.core.diagnosis.envelope import Lines
from monitor.core.diagnosis.shaft_faults import Levels
from monitor.runtime.file_names import file_slug

LOG = logging.getLogger(__name__)

MOST_BYTES = 200_000
"""Largest file that is read."""

MOST_FILES = 20_000
"""Most files that are read."""

MOST_SEGMENTS = 16
"""Segments of levels that are kept. Fewer: the spread of the healthy machine is not known. More: larger files."""

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

    def of(self, channel: str, key: str, shaft_hz: float | None) -> Healthy | None:
        """What is known of a healthy channel whose shaft turns as fast now; None: nothing."""
        found = self._known.get(channel)
        if found is None or found[0] != key:
            return None
        about = found[1]
        near = shaft_hz and about["shaft_hz"] and abs(shaft_hz / about["shaft_hz"] - 1) <= SAME_SPEED
        levels = None
        if near and about["db"]:
            levels = Levels(np.array(about["db"], np.float64), np.array(about["above_db"], np.float64))
        return Healthy(levels, _lines(about["lines"]))

    def keep(self, channel: str, key: str, seen: Sequence[Diagnosis], at_s: float) -> None:
        """Keep what a healthy channel showed in some looks, together.

        Raises:
            OSError: the file cannot be written.
        """
        levels = [one.levels for one in seen if one.levels is not None]
        lines = [one.lines for one in seen if one.lines is not None]
        db = np.concatenate([one.db for one in levels])[-MOST_SEGMENTS:] if levels else np.zeros((0, 0))
        about = {
            "channel": channel,
            "key": key,
            "at_s": at_s,
            "shaft_hz": seen[-1].shaft_hz,
            "lines": [_numbers(np.concatenate(column)) for column in zip(*lines, strict=True)] or [[], [], [], []],
            "db": [_numbers(row) for row in db],
            "above_db": _numbers(levels[-1].above_db) if levels else [],
        }
        self._known[channel] = key, about
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._folder / f"{file_slug(channel)}.json", json.dumps(about).encode())


def _read(file: Path) -> tuple[str, tuple[str, dict[str, Any]]] | None:
    """Channel, key and contents of a file; None if it cannot be used."""
    try:
        with file.open("rb") as stream:
            about = json.loads(stream.read(MOST_BYTES))
        _lines(about["lines"])
        db, above = np.array(about["db"], np.float64), np.array(about["above_db"], np.float64)
        if db.size and db.shape[1:] != above.shape:
            raise ValueError("levels of another shape")  # noqa: TRY301
        shaft_hz = None if about["shaft_hz"] is None else float(about["shaft_hz"])
        return str(about["channel"]), (str(about["key"]), {**about, "shaft_hz": shaft_hz})
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
