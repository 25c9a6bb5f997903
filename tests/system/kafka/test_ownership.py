"""Workers of a group whose channels move: every interval is scored, and as one worker alone would have scored it."""

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from monitor.runtime.baselines.store import Asked, Store
from monitor.runtime.processes import procfs
from tests.support.daemons import RunningDaemon
from tests.support.kafka.broker import KafkaBroker, kafka
from tests.support.kafka.plant import (
    Plant,
    assert_nothing_is_wrong,
    assert_scored_as_alone,
    channels,
    go_on,
    in_alarm,
)
from tests.support.servers import wait_for

pytestmark = pytest.mark.system


CHANNELS = int(os.environ.get("KILLED_CHANNELS", "20"))
"""Channels of the story of a killed worker, 12,000 samples/s each; more load for a machine that carries it."""

SESSION_S = 6.0
"""The group's session timeout, in the settings of the broker."""


def saw_it_begin(plant: Plant, daemon: RunningDaemon) -> bool:
    """Whether the alarm of the loud channel began with a worker, and did not come along with the channel."""
    return f"alarm state: channel={plant.loud}/x from=ok to=alarm" in daemon.log.read_text()


def all_score(daemon: RunningDaemon) -> bool:
    """Whether every channel of a worker was scored there."""
    return 0.0 not in daemon.values("vibration_blocks_scored_total")


def test_channels_go_on_elsewhere_after_a_clean_stop(broker: KafkaBroker, calibration: Path, tmp_path: Path) -> None:
    plant = Plant(broker, "stopped", channels=8, partitions=4, calibration=calibration)
    with plant.worker(tmp_path, "one") as one:
        with plant.worker(tmp_path, "two") as two:
            wait_for(lambda: two.value("vibration_kafka_rebalances_total"), "partitions of the second")
            with plant.sending():
                wait_for(lambda: channels(one, two) == [4, 4], "four channels each")
                wait_for(lambda: in_alarm(plant, one) or in_alarm(plant, two), "the alarm")
                wait_for(lambda: plant.sent > 90, "nine seconds")
                assert_nothing_is_wrong(one, two)
                loud = two if in_alarm(plant, two) else one
                stopped_s = time.monotonic()
                two.process.terminate()
                wait_for(lambda: channels(one) == [8], "the first to have all")
                wait_for(lambda: all_score(one), "scores of all")
                print(f"all are scored elsewhere {time.monotonic() - stopped_s:.1f} s after the stop")
                wait_for(lambda: in_alarm(plant, one), "the alarm to go along")
                assert two.process.wait(20) == 0
                go_on(plant, 3.0)
        found = plant.intervals("stopped")
        assert 0.0 < one.value("vibration_kafka_replayed_seconds_total") < 4 * 5.0
        assert one.value("vibration_kafka_states_written_total") > 0
        assert one.value("vibration_kafka_state_write_failures_total") == 0
        assert_nothing_is_wrong(one)
        assert saw_it_begin(plant, one) == (loud is one)
    assert_scored_as_alone(found, plant.scored_alone(tmp_path))
    writers = {
        name: {each["writer"] for (key, _), records in found.intervals.items() if key == name for each in records}
        for name, _ in found.intervals
    }
    assert sorted(len(each) for each in writers.values()) == [1] * 4 + [2] * 4


def test_channels_of_a_killed_worker_go_on_elsewhere(broker: KafkaBroker, calibration: Path, tmp_path: Path) -> None:
    plant = Plant(broker, "killed", channels=CHANNELS, partitions=6, calibration=calibration)
    with ExitStack() as stack:
        workers = [stack.enter_context(plant.worker(tmp_path, name)) for name in ("one", "two", "three")]
        wait_for(lambda: workers[2].value("vibration_kafka_rebalances_total"), "partitions of the third")
        with plant.sending():
            wait_for(lambda: sum(channels(*workers)) == CHANNELS, "all channels", 30)
            wait_for(lambda: any(in_alarm(plant, each) for each in workers), "the alarm", 30)
            go_on(plant, 6.0)
            victim = next(each for each in workers if in_alarm(plant, each))
            left = [each for each in workers if each is not victim]
            killed_s = time.monotonic()
            victim.process.kill()
            wait_for(lambda: sum(channels(*left)) == CHANNELS, "the others to have all", 30)
            wait_for(lambda: any(in_alarm(plant, each) for each in left), "the alarm to go along")
            wait_for(lambda: all(map(all_score, left)), "scores of all", 60)
            took_s = time.monotonic() - killed_s
            print(f"all are scored elsewhere {took_s - SESSION_S:.1f} s after the session timeout")
            go_on(plant, 10.0)
        found = plant.intervals("killed")
        assert_nothing_is_wrong(*left)
        assert not any(saw_it_begin(plant, each) for each in left)
        victim.process.wait(10)
    twice = assert_scored_as_alone(found, plant.scored_alone(tmp_path))
    assert twice < len(found.intervals) / 4


@pytest.mark.long
def test_a_worker_without_partitions_is_ready_and_takes_over(
    broker: KafkaBroker, calibration: Path, tmp_path: Path
) -> None:
    plant = Plant(broker, "standby", channels=1, partitions=1, calibration=calibration)
    with plant.worker(tmp_path, "one") as one, plant.worker(tmp_path, "two") as two, plant.sending():
        wait_for(lambda: sum(channels(one, two)) == 1, "the channel", 30)
        go_on(plant, 3.0)
        assert [one.unready(), two.unready()] == ["", ""]
        first, second = (one, two) if channels(one) == [1] else (two, one)
        first.process.terminate()
        wait_for(lambda: channels(second) == [1], "the other to have it", 30)
        assert second.unready() == ""


def test_a_worker_that_joins_takes_channels_over(broker: KafkaBroker, calibration: Path, tmp_path: Path) -> None:
    plant = Plant(broker, "joined", channels=8, partitions=4, calibration=calibration)
    with plant.worker(tmp_path, "one") as one:
        with plant.sending():
            wait_for(lambda: channels(one) == [8], "all channels")
            wait_for(lambda: in_alarm(plant, one), "the alarm", 30)
            with plant.worker(tmp_path, "two") as two:
                wait_for(lambda: channels(one, two) == [4, 4], "four channels each", 30)
                wait_for(lambda: in_alarm(plant, one) != in_alarm(plant, two), "the alarm to stay")
                go_on(plant, 6.0)
                assert_nothing_is_wrong(one, two)
                assert two.value("vibration_kafka_replayed_seconds_total") > 0
                assert not saw_it_begin(plant, two)
            wait_for(lambda: channels(one) == [8], "the first to have all again")
            go_on(plant, 2.0)
        found = plant.intervals("joined")
        assert_nothing_is_wrong(one)
    assert_scored_as_alone(found, plant.scored_alone(tmp_path))
    # The first one is alive when it lets go: what it has said was scored is written before, and only that.
    moved = [each for each in found.intervals.values() if each[0]["generation"] == 1 and len(each) > 1]
    assert not moved


def test_a_frozen_worker_that_wakes_does_not_write_as_the_owner(
    broker: KafkaBroker, calibration: Path, tmp_path: Path
) -> None:
    plant = Plant(broker, "frozen", channels=8, partitions=4, calibration=calibration)
    with plant.worker(tmp_path, "one") as one, plant.worker(tmp_path, "two") as two:
        wait_for(lambda: two.value("vibration_kafka_rebalances_total"), "partitions of the second")
        with plant.sending():
            wait_for(lambda: channels(one, two) == [4, 4], "four channels each", 30)
            wait_for(lambda: plant.sent > 100, "ten seconds")
            frozen = [two.process.pid, *procfs.children(two.process.pid)]
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            try:
                wait_for(lambda: channels(one) == [8], "the first to have all", 30)
                go_on(plant, 7.0)  # it writes states
            finally:
                for pid in frozen:
                    os.kill(pid, signal.SIGCONT)
            wait_for(lambda: "partitions given up" in two.log.read_text(), "the second to let go", 30)
            wait_for(lambda: channels(one, two) == [4, 4], "four channels each again", 60)
            go_on(plant, 6.0)
        found = plant.intervals("frozen")
        assert_nothing_is_wrong(one, two)
    assert_scored_as_alone(found, plant.scored_alone(tmp_path))


@pytest.mark.long
def test_what_one_worker_knows_of_a_channel_is_known_to_the_next(
    broker: KafkaBroker, calibration: Path, tmp_path: Path
) -> None:
    """A baseline of one worker's state directory, and no calibration in the configuration."""
    plant = Plant(broker, "learned", channels=2, partitions=2, calibration=calibration, named=False)
    store = Store(tmp_path / "one" / "state", time.time)
    for i in range(plant.channels):
        store.bring({"machine": f"m{i}", "axis": "x"}, calibration, Asked("ann", "from recordings"))
    with ExitStack() as stack:
        one = stack.enter_context(plant.worker(tmp_path, "one"))
        with plant.sending():
            wait_for(lambda: in_alarm(plant, one), "the alarm", 30)
            go_on(plant, 6.0)
            two = stack.enter_context(plant.worker(tmp_path, "two"))
            one.process.terminate()
            assert one.process.wait(20) == 0
            wait_for(lambda: channels(two) == [2], "the second to have all")
            wait_for(lambda: in_alarm(plant, two), "the alarm to go along")
            go_on(plant, 3.0)
        found = plant.intervals("learned")
        assert_nothing_is_wrong(two)
        assert not saw_it_begin(plant, two)
    plant.named = True
    assert_scored_as_alone(found, plant.scored_alone(tmp_path))
    again = Store(tmp_path / "two" / "state", time.time).history({"machine": "m0", "axis": "x"})
    assert again == store.history({"machine": "m0", "axis": "x"})


@pytest.mark.long
def test_a_broker_that_is_killed_and_restarted_costs_nothing(calibration: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kafka"
    folder.mkdir()
    with ExitStack() as stack:
        with kafka(folder) as broker:
            plant = Plant(broker, "restarted", channels=8, partitions=4, calibration=calibration)
            one, two = (stack.enter_context(plant.worker(tmp_path, name)) for name in ("one", "two"))
            wait_for(lambda: two.value("vibration_kafka_rebalances_total"), "partitions of the second")
            stack.enter_context(plant.sending())
            wait_for(lambda: channels(one, two) == [4, 4], "four channels each", 30)
            go_on(plant, 8.0)
            broker.kill()
            go_on(plant, 2.0)
        stack.enter_context(kafka(folder, port=broker.port))
        go_on(plant, 15.0)
        plant.stop()
        found = plant.intervals("restarted")
        assert_nothing_is_wrong(one, two)
        assert_scored_as_alone(found, plant.scored_alone(tmp_path))


@pytest.mark.long
def test_a_worker_that_is_killed_goes_on_when_it_starts_again(
    broker: KafkaBroker, calibration: Path, tmp_path: Path
) -> None:
    """Its state directory is older than the state topic."""
    plant = Plant(broker, "again", channels=4, partitions=2, calibration=calibration)
    with plant.worker(tmp_path, "one") as one, plant.sending():
        wait_for(lambda: in_alarm(plant, one), "the alarm", 30)
        go_on(plant, 6.0)
        one.process.kill()
        one.process.wait(10)
        with plant.worker(tmp_path, "one") as again:
            wait_for(lambda: channels(again) == [4] and all_score(again), "scores of all", 60)
            wait_for(lambda: in_alarm(plant, again), "the alarm to stay")
            go_on(plant, 3.0)
            plant.stop()
            found = plant.intervals("again")
            assert_nothing_is_wrong(again)
            assert not saw_it_begin(plant, again)
    assert_scored_as_alone(found, plant.scored_alone(tmp_path))
