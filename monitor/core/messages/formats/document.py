"""A document independent of its encoding, and the one place where its contents are checked.

The parsers return plain numbers and arrays of float64. Here they become a :class:`Message`, or the message is rejected.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import AnyArray, Float64, Numbers
from monitor.core.messages.rejection import Reason, Rejected, shown
from monitor.core.units import same_rate

MAX_AXES = 64
"""Most axes in one message; more means that the payload's rows and columns are swapped."""

MAX_SAMPLES = 2**22
"""Most numbers in one array, half a minute at 128 kHz. Higher: one message can allocate more. Lower: long messages are
rejected."""

MAX_AXIS_NAME = 64
"""Longest axis name in characters; it becomes a label of every metric of its channel."""

LATEST_T_S = 4_102_444_800.0
"""The year 2100 in UNIX seconds. A later time stamp is in milliseconds, or wrong."""

LARGEST = 1e12
"""Largest magnitude of a sample, in raw units: far above any sensor, and its square still fits float32."""


@dataclass(frozen=True, slots=True)
class Message:
    """The samples of one message."""

    axes: Mapping[str, Numbers]
    """Axis name to (n,) finite samples of equal length, as sent (unit and scale not applied)."""
    seq: int | None = None
    """Sequence number, which counts messages; 0 to 2**63 - 1."""
    t: float | None = None
    """UNIX seconds of the first sample, between 1970 and 2100."""


@dataclass(frozen=True, slots=True)
class Document:
    """The result of a parser: numbers of the right type, not yet checked."""

    samples: Float64 | Mapping[str, Float64]
    """(n,) for one axis, (n, axes) for rows, or axis name to (n,)."""
    t: float | None = None
    """UNIX seconds of the first sample; 0 where the sensor's clock is not set."""
    seq: int | None = None
    """Sequence number, unchecked."""
    fs: float | None = None
    """Sampling rate in Hz that the document states."""


def require_room(count: int) -> None:
    """Reject an array whose header announces too many numbers, before memory is allocated for it.

    Raises:
        Rejected: more than ``MAX_SAMPLES``.
    """
    if count > MAX_SAMPLES:
        raise Rejected(Reason.TOO_LARGE, f"an array of {count} numbers; at most {MAX_SAMPLES} are taken in one message")


def require_finite(samples: AnyArray) -> None:
    """Reject samples that are NaN, infinite or beyond ``LARGEST``, in one pass.

    Raises:
        Rejected: at least one sample is.
    """
    # The sum of squares is NaN, infinite or too large if any sample is.
    with np.errstate(over="ignore", invalid="ignore"):
        energy = float(np.dot(samples, samples))
    if not energy < LARGEST**2:
        raise Rejected(Reason.NON_FINITE, f"a sample is NaN, infinite or beyond {LARGEST:g}")


def checked(document: Document, axes: tuple[str, ...], sampling_rate_hz: float) -> Message:
    """Check a document and convert it to a message.

    Args:
        document: from a parser.
        axes: configured names of the axes, in order; one name for a message of one channel.
        sampling_rate_hz: the configured rate; a rate that the document states must agree with it.

    Raises:
        Rejected: a value is out of bounds or does not match the configuration.
    """
    if document.fs is not None and not same_rate(document.fs, sampling_rate_hz):
        raise Rejected(Reason.WRONG_RATE, f"'fs' is {document.fs:g} Hz, but {sampling_rate_hz:g} Hz is configured")
    if document.seq is not None and not 0 <= document.seq < 2**63:
        raise Rejected(Reason.UNDECODABLE, f"'seq' must be from 0 to 2^63 - 1, found {_figure(document.seq)}")
    return Message(_axes(document.samples, axes), document.seq, instant(document.t))


def _figure(number: float) -> str:
    return f"{number:g}" if abs(number) < 2**1000 else "a number of more than 300 digits"


def instant(t: float | None) -> float | None:
    """A time stamp in UNIX seconds, None where it is missing or 0.

    Raises:
        Rejected: it is not between 1970 and 2100.
    """
    if t is None or t == 0:
        return None
    if not 0 < t < LATEST_T_S:
        hint = "; is it in milliseconds?" if LATEST_T_S <= t < 1000 * LATEST_T_S else ""
        raise Rejected(Reason.WRONG_TIME, f"'t' is {t:g}; UNIX seconds between 1970 and 2100 are expected{hint}")
    return t


def _axes(samples: Float64 | Mapping[str, Float64], axes: tuple[str, ...]) -> dict[str, Numbers]:
    if isinstance(samples, Mapping):
        columns = _named(samples, axes)
        for column in columns.values():
            _require_samples(column)
        return {**columns}
    _require_samples(samples)
    if samples.ndim == 1:
        if len(axes) > 1:
            raise Rejected(Reason.WRONG_AXES, f"rows of {len(axes)} axes are configured, found a flat list")
        return {axes[0]: samples}
    if samples.shape[1] != len(axes):
        raise Rejected(Reason.WRONG_AXES, f"rows of {len(axes)} axes are configured, found rows of {samples.shape[1]}")
    return {axis: samples[:, i] for i, axis in enumerate(axes)}


def _require_samples(samples: Float64) -> None:
    if not samples.size:
        raise Rejected(Reason.EMPTY, "there are no samples")
    require_finite(samples.ravel())


def _named(samples: Mapping[str, Float64], axes: tuple[str, ...]) -> dict[str, Float64]:
    if not 0 < len(samples) <= MAX_AXES:
        raise Rejected(Reason.WRONG_AXES, f"1 to {MAX_AXES} named axes are expected, found {len(samples)}")
    for name in samples:
        # Printable: no control characters, no lone surrogates, no line separators.
        if not 0 < len(name) <= MAX_AXIS_NAME or not name.isprintable():
            raise Rejected(
                Reason.WRONG_LABEL, f"an axis name is 1 to {MAX_AXIS_NAME} printable characters, found {shown(name)}"
            )
    if len(axes) > 1 and samples.keys() != set(axes):
        raise Rejected(Reason.WRONG_AXES, f"found {listed(samples)}, but {listed(axes)} are configured")
    if len({column.size for column in samples.values()}) > 1:
        raise Rejected(Reason.WRONG_LENGTH, "the axes have different numbers of samples")
    return dict(samples)


def listed(names: Mapping[str, object] | Sequence[str]) -> str:
    """Axis names for a message, safe to print; at most four, then the number of the others."""
    first = ", ".join(shown(name) for name in sorted(names)[:4])
    return f"axes {first}" if len(names) <= 4 else f"axes {first} and {len(names) - 4} more"
