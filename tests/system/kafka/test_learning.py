"""What a channel has learned, and what a person said about it, goes with it to another worker of the group."""

import json
import re
import time
import urllib.request
from pathlib import Path

import pytest

from monitor.runtime.baselines.store import Store
from tests.support.commands import output
from tests.support.daemons import RunningDaemon
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.plant import Plant, assert_nothing_is_wrong, channels, go_on, in_alarm
from tests.support.servers import get, wait_for
from tests.system.learning.test_learning import page

pytestmark = [pytest.mark.system, pytest.mark.long]

LEARNS = "scoring: {{interval: 200ms}}\nlearning: {{enabled: true, duration: {}, minimum: {}, settle: 1s}}\n"
WHO = ("--by", "anna", "--reason", "it runs faster now")


def learned_s(*daemons: RunningDaemon) -> dict[str, float]:
    """How long each channel has learned, by machine."""
    rows = [row for each in daemons for row in page(each)]
    return {row["labels"]["machine"]: row["learning"]["learned_s"] for row in rows if row["learning"]}


def kept_intervals(daemon: RunningDaemon, machine: str) -> list[float]:
    """From how many intervals each calibration of a channel was made, as the log says."""
    log = daemon.log.read_text()
    return [float(found) for found in re.findall(rf"learned: channel={machine}/x .*?kept_intervals=(\d+)", log)]


def test_a_channel_that_learns_goes_on_learning_after_a_kill_of_its_worker(
    broker: KafkaBroker, calibration: Path, tmp_path: Path
) -> None:
    plant = Plant(broker, "learning", 2, 2, calibration, seconds=120.0, named=False, rest=LEARNS.format("1h", "5s"))
    with plant.worker(tmp_path, "one") as one, plant.worker(tmp_path, "two") as two:
        wait_for(lambda: two.value("vibration_kafka_rebalances_total"), "partitions of the second")
        with plant.sending():
            wait_for(lambda: channels(one, two) == [1, 1], "a channel each", 30)
            wait_for(lambda: kept_intervals(one, "m0") + kept_intervals(two, "m0"), "a provisional baseline", 60)
            victim, left = (one, two) if kept_intervals(one, "m0") else (two, one)
            go_on(plant, 8.0)
            before = learned_s(victim)["m0"]
            victim.process.kill()
            wait_for(lambda: channels(left) == [2], "the other to have both", 30)
            wait_for(lambda: "m0" in learned_s(left), "it to learn")
            after = learned_s(left)["m0"]
            print(f"learned {before:.1f} s before the kill, {after:.1f} s after it")
            assert before - 10.0 < after
            # It is judged by its provisional baseline, and the next one has what was gathered before the kill.
            wait_for(lambda: left.value("vibration_channel_state", machine="m0", state="provisional"), "the baseline")
            wait_for(lambda: kept_intervals(left, "m0"), "a baseline made here", 60)
            kept = kept_intervals(left, "m0")[0]
            print(f"the next baseline has {kept:.0f} intervals of 0.2 s")
            assert kept >= 0.6 * 20.0 / 0.2
        assert_nothing_is_wrong(left)
        assert "learning starts again" not in left.log.read_text()


def test_an_extension_that_is_not_done_goes_on_elsewhere(
    broker: KafkaBroker, calibration: Path, tmp_path: Path
) -> None:
    rest = LEARNS.format("20s", "15s")
    plant = Plant(broker, "extending", 2, 2, calibration, seconds=150.0, named=False, rest=rest)
    with plant.worker(tmp_path, "one") as one, plant.worker(tmp_path, "two") as two, plant.sending():
        wait_for(lambda: channels(one, two) == [1, 1], "a channel each", 30)
        state = "vibration_channel_state"
        found = wait_for(
            lambda: [each for each in (one, two) if each.value(state, machine="m0", state="watched")], "a baseline", 90
        )
        [first], [second] = found, [each for each in (one, two) if each not in found]
        output("baseline", "extend", "m0/x", *WHO, "--url", first.address)
        go_on(plant, 5.0)
        first.process.terminate()
        assert first.process.wait(20) == 0
        wait_for(lambda: channels(second) == [2], "the other to have both", 30)
        wait_for(lambda: "m0" in learned_s(second), "it to learn")
        assert second.value(state, machine="m0", state="watched"), "its baseline judges on"
        wait_for(lambda: kept_intervals(second, "m0"), "the extension", 60)
        history = Store(second.config.parent / "state", time.time).history({"machine": "m0", "axis": "x"})
        assert history is not None
        assert [each.what for each in history.changes] == ["learned", "extend", "extended"]
        assert "nothing to extend is kept" not in second.log.read_text()
        assert_nothing_is_wrong(second)


def test_an_alarm_that_a_person_has_seen_is_so_elsewhere(
    broker: KafkaBroker, calibration: Path, tmp_path: Path
) -> None:
    plant = Plant(broker, "seen", 2, 1, calibration)
    with plant.worker(tmp_path, "one") as one, plant.sending():
        wait_for(lambda: in_alarm(plant, one), "the alarm", 30)
        body = json.dumps({"channels": [f"{plant.loud}/x"], "by": "anna", "reason": "bearing ordered"}).encode()
        token = json.loads(get(f"{one.address}/api/v1/alarms"))["token"]
        headers = {"Content-Type": "application/json", "X-Vibration-Token": token}
        address = f"{one.address}/api/v1/alarms/acknowledge"
        urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=10).close()
        go_on(plant, 5.0)
        one.process.kill()
        one.process.wait(10)
        with plant.worker(tmp_path, "two") as two:
            wait_for(lambda: in_alarm(plant, two), "the alarm to go along", 30)
            [alarm] = json.loads(get(f"{two.address}/api/v1/alarms"))["alarms"]
            assert (alarm["acknowledged"]["by"], alarm["acknowledged"]["reason"]) == ("anna", "bearing ordered")
