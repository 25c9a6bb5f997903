"""When a channel that learns is calibrated next, and when a person is told that it does not learn."""

import numpy as np

from monitor.config.configuration import Learning
from monitor.config.sensors import Sensor
from monitor.core.learning.gather import HEAD_BLOCKS
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.orders import Configure
from monitor.runtime.learning.messages import Calibrated
from monitor.runtime.learning.one_channel import STUCK_S, ChannelLearning, Phase, turns
from tests.support.channels.healthy import healthy_calibration

HOUR_S, DAY_S = 3600.0, 86400.0


def learning(interval_blocks: int = 100, rate_hz: float = 10_000.0) -> ChannelLearning:
    """A channel with intervals of a second."""
    sensor = Sensor.model_validate(
        {"topic": "a/{machine}", "payload": {"format": "float32"}, "sampling_rate_hz": rate_hz, "unit": "g"}
    )
    channel = Channel(("fan", "x"), "a/fan", sensor, "default", 3)
    order = Configure(3, interval_blocks, 25)
    return ChannelLearning(
        1, channel, {"machine": "fan", "axis": "x"}, ("key",), order, (), 100 / rate_hz, 100, "sha", extending=False
    )


def made(*, moving: bool) -> Calibrated:
    return Calibrated(1, healthy_calibration(), 0.0, 1.0, np.array([1.0, 2.0]), moving, ())


def test_calibrations_come_at_growing_distances_and_the_last_at_the_end() -> None:
    one, settings = learning(), Learning()
    marks, at_s = [], 0.0
    while at_s < settings.duration:
        at_s = one.mark(settings, at_s)
        marks.append(at_s)
    assert marks == [HOUR_S, 4 * HOUR_S, DAY_S, 3 * DAY_S, 7 * DAY_S]
    short = Learning(duration=60.0, minimum=20.0)
    assert [one.mark(short, after) for after in (0.0, 20.0)] == [20.0, 60.0]


def test_one_that_moved_away_is_looked_at_again_after_a_quarter_of_the_time() -> None:
    one, settings = learning(), Learning()
    one.seen = 7 * 86400
    one.made(made(moving=True), settings, last=True)
    assert (one.unsteady, one.due_s) == (True, 8.75 * DAY_S)
    one.show(settings)
    assert one.channel.learning is not None
    assert (one.channel.learning.ratio, one.channel.learning.unsteady) == (1.0, True)
    one.made(made(moving=False), settings, last=False)
    assert not one.unsteady


def test_it_is_due_once_there_is_enough() -> None:
    one = learning()
    one.phase, one.due_s = Phase.GATHERING, 3.0
    for seen, due in ((2, False), (3, False), (4, False), (5, True)):
        one.seen = seen
        assert one.due == due
    one.busy = True
    assert not one.due


def test_a_head_is_spread_over_a_minute_and_turns_over_the_memory() -> None:
    order, takes_s = learning().turn(Learning())
    assert (order.row, order.every, takes_s) == (3, 7, 56.0)
    order, takes_s = learning(interval_blocks=10, rate_hz=1000.0).turn(Learning())
    assert order.every == 1
    assert takes_s == -(-HEAD_BLOCKS // 10)
    assert [turns(count) for count in (1, 24, 1000, 10_000)] == [8, 8, 32, 325]


def test_one_that_never_completes_an_interval_is_told_once() -> None:
    one = learning()
    assert not one.stuck(1.0)
    assert not one.stuck(2.0 + STUCK_S)  # nothing came
    one.channel.samples_received = 50_000
    assert one.stuck(3.0 + STUCK_S)
    assert not one.stuck(4.0 + STUCK_S)
    other = learning()
    assert not other.stuck(1.0)
    other.channel.samples_received, other.seen = 50_000, 3
    assert not other.stuck(2.0 + STUCK_S)
