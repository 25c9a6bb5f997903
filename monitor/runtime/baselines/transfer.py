"""Moves baselines between machines as files: each channel's calibration file, and its history beside it.

An exported folder looks like that of the store, with the current baseline of each channel only. It comes from somewhere
else, so it is checked like everything from outside. Between the daemons of a Kafka group the same two files travel as
one document: the history in the first line, and the calibration file behind it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from monitor.atomic_file import write_atomically
from monitor.errors import ArtefactError, MonitorError
from monitor.model.calibration_file import load_calibrations
from monitor.runtime.baselines.history import History, read_history
from monitor.runtime.baselines.store import Asked, Store

Bring = Callable[[dict[str, str], Path, History | None], object]
"""Makes a calibration file the current baseline of the channel with these labels; the history is of another machine."""


def export(folder: Path, history: History, calibration: bytes) -> None:
    """Write a channel's current baseline into a folder.

    Args:
        folder: the folder; it is made if it is not there.
        history: what is known of the channel.
        calibration: its calibration file.

    Raises:
        MonitorError: it cannot be written.
    """
    if history.current is None:
        raise MonitorError(f"{history.name}: has no baseline to export")
    shown = history.exported
    try:
        write_atomically(folder / shown.file_name(history.current), calibration)
        write_atomically(folder / f"{shown.slug}.json", shown.text())
    except OSError as error:
        reason = error.strerror or error
        raise MonitorError(f"{folder}: cannot be written: {reason}; check folder and free space") from error


def import_folder(bring: Bring, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Make the baselines in a folder the current ones of their channels.

    Returns:
        Names of the channels, and why other files were not used, by their names.

    Raises:
        MonitorError: there is no such folder, or no history in it.
    """
    files = sorted(folder.glob("[!.]*.json")) if folder.is_dir() else []
    if not files:
        raise ArtefactError(f"{folder}: has no baselines; expected a folder that 'baseline export' wrote")
    done, refused = [], {}
    for path in files:
        try:
            history = read_history(path)
            if history.current is None:
                raise ArtefactError(f"{path}: names no current baseline")
            bring(history.labels, folder / history.file_name(history.current), history)
        except MonitorError as error:
            refused[path.name] = str(error)
        else:
            done.append(history.name)
    return done, refused


def bring(store: Store, labels: dict[str, str], file: Path, asked: Asked, history: History | None) -> History:
    """Make a calibration file the current baseline of a channel; ``history``: that of another machine, if it has one.

    Raises:
        MonitorError: it cannot be used or written; nothing is changed.
    """
    if history is None or history.baseline is None:
        store.bring(labels, file, asked)
    else:
        store.bring(labels, file, asked, history.baseline.source, history.changes)
    found = store.history(labels)
    assert found is not None  # noqa: S101 - it was just written
    return found


def packed(store: Store, history: History) -> bytes:
    """A channel's current baseline, if it has one, its history and what was asked of it as one document.

    Raises:
        ArtefactError: the calibration file cannot be read.
    """
    moved = history.exported.model_copy(update={"request": history.request})
    file = b"" if history.baseline is None else store.file_bytes(history)
    return json.dumps(json.loads(moved.text())).encode() + b"\n" + file


def take_over(store: Store, document: bytes) -> bool:
    """Make what :func:`packed` wrote elsewhere that of this store; returns whether it was newer than what is there.

    Raises:
        ArtefactError: it is no such document, or damaged.
        MonitorError: it cannot be written; nothing is changed.
    """
    line, _, calibration = document.partition(b"\n")
    try:
        history = History.model_validate_json(line)
    except ValidationError as error:
        raise ArtefactError(f"it is not a baseline ({error.errors()[0]['msg']})") from error
    before = store.history(history.labels)
    if not history.changes:
        raise ArtefactError("it is not a baseline (its history is empty)")
    if before is not None and before.changes and before.changes[-1].at_s >= history.changes[-1].at_s:
        return False
    if history.baseline is None:  # it was asked to learn before it had one
        store.replace(history, None)
        return True
    with TemporaryDirectory() as folder:
        file = Path(folder) / "calibration.npz"
        file.write_bytes(calibration)
        if load_calibrations(file).header.sha256 != history.baseline.arrays_sha256:
            raise ArtefactError(f"its calibration is not that of baseline {history.current}")
    store.replace(history, calibration)
    return True
