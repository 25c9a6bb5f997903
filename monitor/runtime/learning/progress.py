"""The file that holds how far each channel is that learns: the learner writes it, and a start reads it."""

import json
from pathlib import Path
from typing import Any

from monitor.core.learning.bursts import Burst
from monitor.core.learning.gather import LEFT_OUT

PROGRESS = "progress.json"
"""Its name."""

MOST_BYTES = 1 << 26
"""Largest file that is read."""


def read_progress(path: Path) -> dict[str, dict[str, Any]]:
    """How far channels were, by the names of their files; empty if it is not known."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(MOST_BYTES))
        return {
            str(name): {
                "key": str(one["key"]),
                "seen": max(0, int(one["seen"])),
                "left_out": list(map(int, one["left_out"])),
                "burst": _burst(one.get("burst")),
                "known": max(0, int(one.get("known", 0))),
            }
            for name, one in found.items()
            if len(one["left_out"]) in {0, len(LEFT_OUT)}
        }
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return {}


def bursts_of(folder: Path | None) -> dict[str, Burst]:
    """What sensors send at a time, by the names of their channels' files; streams are left out."""
    found = {} if folder is None else read_progress(folder / PROGRESS)
    return {name: one["burst"] for name, one in found.items() if one["burst"] is not None}


def _burst(found: Any) -> Burst | None:
    return None if found is None else Burst(max(2, int(found[0])), max(0.0, float(found[1])))
