"""Adds what a fault is named as to a capture that is written already: to its document, and to its figure.

A name takes longer than a capture: the channel is listened to for many seconds.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from monitor.atomic_file import write_atomically
from monitor.runtime.alarms.capture_figure import Envelope, draw_capture
from monitor.runtime.alarms.event import with_name
from monitor.runtime.diagnosis.messages import Seen
from monitor.runtime.history.healthy import Healthy

MARKED = 6
"""Multiples of a fault's rate that are marked in the figure."""


def add_diagnosis(
    folder: Path,
    stem: str,
    diagnosis: Mapping[str, Any],
    words: str,
    seen: Seen | None,
    healthy: Callable[[], Healthy | None],
) -> bool:
    """Rewrite document and figure of a capture; returns whether it is still there.

    Raises:
        OSError: a file cannot be read or written.
    """
    try:
        about = json.loads((folder / f"{stem}.json").read_bytes())
        with np.load(folder / f"{stem}.npz", allow_pickle=False) as kept:
            curves = kept["acceleration"], kept["forecast"], kept["residual"]
    except FileNotFoundError:
        return False  # pruned meanwhile
    about["text"] = with_name(about["text"], words)
    about["diagnosis"] = diagnosis
    write_atomically(folder / f"{stem}.json", json.dumps(about, indent=2).encode())
    at, band_hz = about["alarm_at_sample"], about["band_hz"]
    picture = draw_capture(
        about["text"],
        about["sampling_rate_hz"],
        None if band_hz is None else (band_hz[0], band_hz[1]),
        curves,
        -1 if at is None else at,
        healthy(),
        None if seen is None else drawn(diagnosis, seen),
    )
    if picture:
        write_atomically(folder / f"{stem}.png", picture)
    return True


def drawn(diagnosis: Mapping[str, Any], seen: Seen) -> Envelope | None:
    """The spectrum of the envelope with the lines of the named faults; None if there is none."""
    if seen.envelope is None or seen.envelope_band_hz is None:
        return None
    marks = [
        (fault["fault"], k * fault["frequency_hz"]) for fault in diagnosis["faults"][:2] for k in range(1, MARKED + 1)
    ]
    if not marks:
        marks = [("repetition rate", rate) for rate in diagnosis["repetition_rates_hz"]]
    return Envelope(seen.envelope.step_hz, seen.envelope.values, seen.envelope_band_hz, marks)
