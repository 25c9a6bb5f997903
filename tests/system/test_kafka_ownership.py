"""Workers of a group whose channels move: every interval is scored, and as one worker alone would have scored it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemons import RunningDaemon
from tests.support.kafka.broker import KafkaBroker, kafka
from tests.support.kafka.plant import Plant, assert_scored_as_alone, calibrate
from tests.support.servers import wait_for

pytestmark = [pytest.mark.system, pytest.mark.long]

MODEL = "models/reference"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    with kafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return calibrate(tmp_path_factory.mktemp("healthy"), MODEL)


def channels(*daemons: RunningDaemon) -> list[int]:
    return [int(each.value("vibration_channels")) for each in daemons]


def scored(*daemons: RunningDaemon) -> int:
    return int(sum(each.value("vibration_scores_written_total") for each in daemons))


def assert_nothing_is_wrong(*daemons: RunningDaemon) -> None:
    """No message was rejected, nothing was lost, and no error was unforeseen."""
    for daemon in daemons:
        for name in (
            "vibration_messages_rejected_total",
            "vibration_internal_errors_total",
            "vibration_samples_missing_total",
        ):
            assert sum(daemon.values(name)) == 0, (name, daemon.log.read_text()[-3000:])


def in_alarm(daemon: RunningDaemon) -> bool:
    return daemon.values("vibration_alarm_state").count(2.0) == 1


def test_channels_go_on_elsewhere_after_a_clean_stop(broker: KafkaBroker, calibration: Path, tmp_path: Path) -> None:
    plant = Plant(broker, "stopped", channels=8, partitions=4, calibration=calibration)
    with plant.worker(tmp_path, "one") as one:
        with plant.worker(tmp_path, "two") as two:
            wait_for(lambda: two.value("vibration_kafka_rebalances_total"), "partitions of the second")
            with plant.sending():
                wait_for(lambda: channels(one, two) == [4, 4], "four channels each")
                wait_for(lambda: in_alarm(one) or in_alarm(two), "the alarm")
                wait_for(lambda: plant.sent > 90, "nine seconds")
                assert_nothing_is_wrong(one, two)
                loud = two if in_alarm(two) else one
                two.process.terminate()
                assert two.process.wait(20) == 0
                wait_for(lambda: channels(one) == [8], "the first to have all")
                assert in_alarm(one)
                wait_for(lambda: plant.sent > 120, "three seconds more")
        wait_for(lambda: scored(one) >= plant.expected() // 2, "intervals")
        wait_for(lambda: one.value("vibration_kafka_lag_records") == 0, "no lag")
        assert 0.0 < one.value("vibration_kafka_replayed_seconds_total") < 4 * 5.0
        assert one.value("vibration_kafka_states_written_total") > 0
        assert one.value("vibration_kafka_state_write_failures_total") == 0
        assert_nothing_is_wrong(one)
        # The alarm went along: it began with the worker that saw it begin.
        assert one.log.read_text().count("to=alarm") == (0 if loud is two else 1)
    alone = plant.scored_alone(tmp_path)
    found = plant.intervals("stopped", plant.expected())
    assert_scored_as_alone(found, alone)
    writers = {
        name: {each["writer"] for (key, _), records in found.items() if key == name for each in records}
        for name, _ in found
    }
    assert sorted(len(each) for each in writers.values()) == [1] * 4 + [2] * 4
