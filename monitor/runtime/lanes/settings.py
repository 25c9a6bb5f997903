"""The settings of a channel's row: interval, warm-up and limit; and the key of its saved state."""

from monitor.config.configuration import Scoring
from monitor.config.sensors import Sensor
from monitor.core.learning.bursts import Burst, cut
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.units import same_rate
from monitor.runtime.lanes.lane import LaneShape
from monitor.runtime.lanes.orders import Configure


def row_order(
    row: int,
    sensor: Sensor,
    shape: LaneShape,
    scoring: Scoring,
    calibration: Calibration | None,
    burst: Burst | None = None,
) -> Configure:
    """The order that configures a row; the sender adds the number of the calibration.

    Args:
        row: the channel's row in its lane.
        sensor: configuration of the channel's sensor.
        shape: sizes of the lane.
        scoring: section ``scoring`` of the configuration.
        calibration: the channel's calibration; None: it gets no score.
        burst: what the sensor sends at a time, as far as it is known; None: a stream.
    """
    rate_hz = sensor.sampling_rate_hz
    if calibration is None and burst is not None:
        return Configure(row, *cut(burst.blocks, shape.window_blocks), sampling_rate_hz=rate_hz)
    if calibration is None:
        interval_blocks = max(1, round(scoring.interval * rate_hz / shape.block_samples))
        warmup_blocks = scoring.warmup_blocks or shape.window_blocks
        return Configure(row, interval_blocks, warmup_blocks, sampling_rate_hz=rate_hz)
    limit = calibration.limit(scoring.false_alarms_per_month)
    wrong_rate = not same_rate(rate_hz, calibration.sampling_rate_hz)
    # The limits are valid only for the interval and the warm-up of the calibration.
    blocks = calibration.interval_blocks, calibration.warmup_blocks
    return Configure(row, *blocks, None, limit, wrong_rate, rate_hz)


def state_key(topic: str, sensor: Sensor, model_sha256: str, calibration: Calibration | None, limit: float) -> str:
    """Everything that a channel's state depends on, as text; state saved with another key is not used."""
    mark = "" if calibration is None else f"{calibration.level_mps2:.9g} {calibration.healthy_s:.9g} {limit:.9g}"
    return f"{topic} {sensor.sampling_rate_hz:.9g} {sensor.factor_mps2:.9g} {model_sha256} {mark}"
