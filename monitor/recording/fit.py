"""Checks that a recording has the required sampling rate and length."""

from monitor.core.units import RATE_TOLERANCE, same_rate
from monitor.errors import RecordingError
from monitor.recording.options import MAX_DECIMATE
from monitor.recording.source import Recording


def require_rate(recording: Recording, expected_hz: float, who: str) -> None:
    """Reject a recording with another sampling rate than expected.

    Args:
        recording: its rate after decimation is compared.
        expected_hz: the required rate.
        who: what requires it, for the error message, for example ``the model models/reference``.

    Raises:
        RecordingError: the rates differ by more than 0.1 %.
    """
    found = recording.sampling_rate_hz
    if same_rate(found, expected_hz):
        return
    factor = found / expected_hz * recording.decimate
    whole = round(factor)
    if 1 <= whole <= MAX_DECIMATE and abs(factor - whole) <= RATE_TOLERANCE * whole:
        remedy = f"use --decimate {whole}" if whole > 1 else "leave --decimate out"
    else:
        remedy = f"use a recording made at {expected_hz:g} Hz or a whole multiple of it, or one meant for {found:g} Hz"
    raise RecordingError(f"{recording.address}: has {found:g} Hz, but {who} needs {expected_hz:g} Hz; {remedy}")


def require_unit(recording: Recording, why: str) -> None:
    """Reject a recording whose unit is not known.

    Args:
        recording: neither its file nor the user may have said the unit.
        why: what needs the unit, for the error message.

    Raises:
        RecordingError: it has no unit.
    """
    if recording.unit is None:
        raise RecordingError(
            f"{recording.address}: does not say its unit, and {why}: add --unit g (or mg, m/s2), or to this recording "
            f"alone {recording.path.name}?unit=g. With m/s2 the numbers are taken as they are"
        )


def longest_record_samples(recording: Recording) -> int:
    """Samples of the longest record after decimation; reads all samples if necessary."""
    if recording.record_samples is not None:
        return recording.record_samples
    return max((piece.start_sample + piece.samples.size for piece in recording.pieces()), default=0)


def length_s(recording: Recording) -> float:
    """Seconds from the start of the first record to the end of the last; reads all samples if necessary."""
    from_first_to_last_s = recording.record_start_s(recording.records - 1) - recording.record_start_s(0)
    return from_first_to_last_s + longest_record_samples(recording) / recording.sampling_rate_hz


def require_samples(recording: Recording, needed: int, purpose: str) -> None:
    """Reject a recording if all its records are too short.

    Args:
        recording: its longest record counts; records are never joined.
        needed: required samples in one record, after decimation.
        purpose: why they are needed, for the error message, for example ``to train on windows of 25 blocks``.

    Raises:
        RecordingError: all records are shorter.
    """
    found = longest_record_samples(recording)
    if found < needed:
        rate = recording.sampling_rate_hz
        records = f"its longest of {recording.records} records" if recording.records > 1 else "it"
        raise RecordingError(
            f"{recording.address}: too short: {records} has {found:,} samples ({found / rate:.3g} s at {rate:g} Hz), "
            f"but {needed:,} ({needed / rate:.3g} s) without a break are needed {purpose}; use a longer recording"
        )
