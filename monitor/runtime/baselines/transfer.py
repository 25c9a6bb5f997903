"""Moves baselines between machines as files: each channel's calibration file, and its history beside it.

An exported folder looks like that of the store, with the current baseline of each channel only. It comes from somewhere
else, so it is checked like everything from outside.
"""

from pathlib import Path

from monitor.atomic_file import write_atomically
from monitor.errors import ArtefactError, MonitorError
from monitor.runtime.baselines.history import History, read_history
from monitor.runtime.baselines.store import Asked, Store


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


def import_folder(store: Store, folder: Path, asked: Asked) -> tuple[list[str], dict[str, str]]:
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
            baseline = history.baseline
            if baseline is None:
                raise ArtefactError(f"{path}: names no current baseline")
            file = folder / history.file_name(baseline.number)
            store.bring(history.labels, file, asked, baseline.source, history.changes)
        except MonitorError as error:
            refused[path.name] = str(error)
        else:
            done.append(history.name)
    return done, refused
