"""Whether a recording fits what is asked of it: its rate and its length. Refuses to know: models, commands."""

from monitor.core.units import RATE_TOLERANCE, same_rate
from monitor.errors import RecordingError
from monitor.recording.options import MAX_DECIMATE
from monitor.recording.source import Recording


def require_rate(recording: Recording, expected_hz: float, who: str) -> None:
    """Refuse a recording whose rate is not the expected one.

    Args:
        recording: its rate after decimation counts.
        expected_hz: what is needed.
        who: needs it, for the message, for example ``the model models/reference``.

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


def longest_record_samples(recording: Recording) -> int:
    """Samples of the longest record after decimation; reads the recording through where only that tells."""
    if recording.record_samples is not None:
        return recording.record_samples
    return max((piece.start_sample + piece.samples.size for piece in recording.pieces()), default=0)


def length_s(recording: Recording) -> float:
    """Seconds from the start of the first record to the end of the last; read through where only that tells."""
    from_first_to_last_s = recording.record_start_s(recording.records - 1) - recording.record_start_s(0)
    return from_first_to_last_s + longest_record_samples(recording) / recording.sampling_rate_hz


def require_samples(recording: Recording, needed: int, purpose: str) -> None:
    """Refuse a recording without a single record that is long enough.

    Args:
        recording: its longest record counts; records are never joined.
        needed: samples in one record, after decimation.
        purpose: what they are needed for, for the message, for example ``to train on windows of 25 blocks``.

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
