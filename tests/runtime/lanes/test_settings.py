from dataclasses import replace

from monitor.bench.alone import bench_calibration
from monitor.config.configuration import Config
from monitor.runtime.lanes.lane import LaneShape
from monitor.runtime.lanes.settings import row_order, state_key
from tests.support.daemons import SENSOR

CONFIG = Config.model_validate({"sensors": [SENSOR], "scoring": {"interval": "1s"}})
SHAPE = LaneShape("default", 4, 100, 25, 64)


def test_without_a_calibration_the_configuration_says_interval_and_warm_up() -> None:
    order = row_order(3, CONFIG.sensors[0], SHAPE, CONFIG.scoring, None)
    assert (order.row, order.interval_blocks, order.warmup_blocks) == (3, 120, 25)
    assert (order.limit, order.wrong_rate) == (0.0, False)


def test_a_calibration_brings_its_own_and_its_rate_is_compared() -> None:
    made = bench_calibration(100, 12000.0)
    order = row_order(0, CONFIG.sensors[0], SHAPE, CONFIG.scoring, made)
    assert (order.interval_blocks, order.warmup_blocks, order.wrong_rate) == (128, 1, False)
    assert order.limit == made.limit(CONFIG.scoring.false_alarms_per_month) > 0
    other = replace(made, sampling_rate_hz=12800.0)
    assert row_order(0, CONFIG.sensors[0], SHAPE, CONFIG.scoring, other).wrong_rate


def test_state_of_another_rate_model_or_calibration_has_another_key() -> None:
    sensor, made = CONFIG.sensors[0], bench_calibration(100, 12000.0)
    slower = sensor.model_copy(update={"sampling_rate_hz": 6000.0})
    keys = {
        state_key("plant/fan/x", sensor, "a", None, 0.0),
        state_key("plant/fan/y", sensor, "a", None, 0.0),
        state_key("plant/fan/x", slower, "a", None, 0.0),
        state_key("plant/fan/x", sensor, "b", None, 0.0),
        state_key("plant/fan/x", sensor, "a", made, 1.0),
        state_key("plant/fan/x", sensor, "a", made, 2.0),
    }
    assert len(keys) == 6
