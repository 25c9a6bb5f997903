"""The message for a format whose optional library is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from monitor.errors import RecordingError


@contextmanager
def named_missing_library(what: str, suffix: str) -> Iterator[None]:
    """Turn a failed import inside the block into a message that says what to install.

    Args:
        what: the recording, for the message.
        suffix: its format.

    Raises:
        RecordingError: an import failed.
    """
    try:
        yield
    except ImportError as error:
        raise RecordingError(
            f"{what}: the format {suffix} needs the library {error.name}, which is not installed; "
            "pip install 'vibration-monitor[recordings]'"
        ) from error
