"""Diagnoses a recording: reads it with its speed, and what is healthy, and hands both to the core's diagnosis.

The recording is whitened by a model of itself, or by the head of a calibration, which is the healthy machine's. A fixed
speed or a measured one gives the orders.
"""

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np

from monitor.core.arrays import Float32, Float64
from monitor.core.diagnosis.bearings import Bearing, above_half_the_rate
from monitor.core.diagnosis.diagnose import Diagnosis, Facts, Healthy, UndiagnosableError, Whitening, mean_hz
from monitor.core.diagnosis.diagnose import diagnose as core_diagnose
from monitor.core.diagnosis.envelope import Lines
from monitor.core.diagnosis.whitening import filtered, whitened
from monitor.core.forecasting.forecaster import CarriedForecaster, Engine
from monitor.core.recompute import recompute
from monitor.core.scoring.interval.head import Head
from monitor.errors import ConfigurationError, RecordingError
from monitor.recording.conditions import read_conditions
from monitor.recording.described import Described
from monitor.recording.source import Recording

SPEED = "speed_rpm"
"""Name of the measured quantity that is the shaft's speed."""

SPEED_BLOCK_SAMPLES = 100
"""Samples over which a measured speed is averaged."""

MOST_RECORDS = 200
"""Records of a recording of many, the last ones."""

FASTEST_RPM = 1e6


def head_whitening(head: Head, engine: Engine | None, level_blocks: int) -> Whitening:
    """Whitening by the head of a calibration.

    Args:
        head: of the channel.
        engine: runs the model of the calibration; None if the head does without.
        level_blocks: time constant of the level, from the model.
    """
    if engine is None:
        coefficients = np.concatenate([[1.0], -head.past])
        return lambda samples: filtered(np.asarray(samples, np.float64), coefficients)

    def by_head(samples: Float32) -> Float64:
        size = engine.block_samples
        blocks = samples[: samples.size // size * size].reshape(-1, size)
        if len(blocks) < 2:
            return np.empty(0)
        found = recompute(CarriedForecaster(engine, 1), blocks, level_blocks, head=head)
        # Where there is no forecast, the model's place is taken by the mean: one loud block, not a hole.
        network = np.nan_to_num(found.network[1:].astype(np.float64))
        before, signal = (one.astype(np.float64) for one in (found.signal[:-1], found.signal[1:]))
        innovations = head.innovations(before, signal, network)
        return np.asarray((innovations * head.position_scale).ravel())

    return by_head


def diagnose(
    described: Described,
    facts: Facts,
    fixed_rpm: float | None = None,
    whitening: Whitening = whitened,
    healthy: Sequence[Described] = (),
) -> Diagnosis:
    """Diagnose one recording.

    Args:
        described: the recording; its measured quantity ``speed_rpm`` counts before the fixed speed.
        facts: of the machine.
        fixed_rpm: speed of the shaft; None: not known.
        whitening: makes a record white.
        healthy: recordings of the same channel, healthy: for faults of the shaft, and so that no part is named that
            shows as much when it is healthy.

    Raises:
        ConfigurationError: the speed is impossible, or given twice.
        RecordingError: the recording cannot be read, is too short, or another rate than the healthy ones.
    """
    recording = described.recording
    records = recording.load()
    rate, known_unit = recording.sampling_rate_hz, recording.unit is not None
    speeds = _speeds(described, fixed_rpm, [record.size for record in records])
    if speeds is not None:
        _refuse_aliases(recording.address, facts.bearings, mean_hz(speeds), rate)
    before = None
    if healthy and speeds is not None:
        before = _healthy(recording, healthy, facts, whitening, fixed_rpm, mean_hz(speeds))
    try:
        found = core_diagnose(
            recording.name,
            records[-MOST_RECORDS:],
            rate,
            None if speeds is None else speeds[-MOST_RECORDS:],
            facts,
            whitening,
            before,
            known_unit=known_unit,
        )
    except UndiagnosableError as error:
        raise RecordingError(f"{recording.address}: {error}") from error
    if found.figures.rms > 0:
        found.reasons += ["give --speed-rpm"] * (speeds is None) + ["say --unit"] * (not known_unit)
    return found


def _healthy(
    recording: Recording,
    healthy: Sequence[Described],
    facts: Facts,
    whitening: Whitening,
    fixed_rpm: float | None,
    shaft_hz: float,
) -> Healthy:
    """What the healthy machine shows: velocity at multiples of the shaft's frequency, and lines of the envelope."""
    before, rate = list[Diagnosis](), recording.sampling_rate_hz
    for one in healthy:
        if one.recording.sampling_rate_hz != rate:
            raise RecordingError(
                f"{one.recording.address}: has {one.recording.sampling_rate_hz:g} Hz, but the recording that is "
                f"diagnosed has {rate:g} Hz; use a baseline of the same channel"
            )
        if (one.recording.unit is None) != (recording.unit is None):
            raise RecordingError(f"{one.recording.address}: the unit of only one of baseline and recording is known")
        loaded = one.recording.load()[-MOST_RECORDS:]
        sizes = [record.size for record in loaded]
        speeds = _speeds(one, fixed_rpm, sizes) or [np.full(size, 60 * shaft_hz) for size in sizes]
        try:
            before.append(core_diagnose(one.recording.name, loaded, rate, speeds, facts, whitening))
        except UndiagnosableError as error:
            raise RecordingError(f"{one.recording.address}: {error}") from error
    levels = [found.levels for found in before if found.levels is not None]
    known = [found.lines for found in before if found.lines is not None]
    lines = reduce(Lines.and_also, known) if known else None
    if not levels:
        return Healthy(None, lines, too_short=True)
    return Healthy(levels[0]._replace(db=np.concatenate([one.db for one in levels])), lines)


def _refuse_aliases(address: str, bearings: Sequence[Bearing], shaft_hz: float, rate: float) -> None:
    for bearing in bearings:
        if problem := above_half_the_rate(bearing, shaft_hz, rate):
            raise ConfigurationError(f"{address}: {problem}")


def _speeds(described: Described, fixed_rpm: float | None, sizes: Sequence[int]) -> list[Float64] | None:
    """The speed at each sample of each record; None if nothing is known of it."""
    address = described.recording.address
    if SPEED not in described.quantities or (fixed_rpm is not None and described.quantities[SPEED] is None):
        if fixed_rpm is None:
            return None
        if not 0 < fixed_rpm < FASTEST_RPM:
            raise ConfigurationError(f"--speed-rpm is {fixed_rpm:g}; expected turns a minute above 0")
        return [np.full(size, fixed_rpm) for size in sizes]
    only = Described(described.recording, {SPEED: described.quantities[SPEED]})
    value = read_conditions([only], SPEED_BLOCK_SAMPLES)
    known = value[0].quantities.get(SPEED)
    if known is None:
        raise RecordingError(f"{address}: {SPEED} has no usable value; correct it, or give --speed-rpm")
    found = [np.full(size, known) for size in sizes] if isinstance(known, float) else _by_sample(known, sizes)
    low, high = min(float(s.min()) for s in found), max(float(s.max()) for s in found)
    if not (low > 0 and high < FASTEST_RPM) or not math.isfinite(low):
        raise RecordingError(
            f"{address}: {SPEED} is between {low:g} and {high:g}; a standing shaft has no orders. Cut the recording, "
            "or give --speed-rpm"
        )
    return found


def _by_sample(blocks: Sequence[Float32], sizes: Sequence[int]) -> list[Float64]:
    """The speed at each sample from block means, whose middles are known."""
    long = [size for size in sizes if size >= SPEED_BLOCK_SAMPLES]
    found, rest = [], iter(zip(blocks, long, strict=True))
    for size in sizes:
        if size < SPEED_BLOCK_SAMPLES:
            found.append(np.full(size, float(np.nanmean(np.concatenate(blocks)))))
            continue
        means, _ = next(rest)
        middles = (np.arange(means.size) + 0.5) * SPEED_BLOCK_SAMPLES
        usable = np.isfinite(means)
        if not usable.any():
            found.append(np.full(size, np.nan))
            continue
        found.append(np.interp(np.arange(size), middles[usable], means[usable].astype(np.float64)))
    return found
