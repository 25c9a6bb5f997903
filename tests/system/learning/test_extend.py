"""A channel that learned two speeds meets a third: a person extends its baseline, which judges on meanwhile."""

import time
from pathlib import Path

import pytest

from monitor.runtime.processes import procfs
from tests.support.commands import document, output
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.servers import mosquitto, publish, wait_for
from tests.system.learning.test_learning import LONG_S, connected, page, seconds, send, states

pytestmark = pytest.mark.system

CONFIGURATION = """
limits: {{channels: 4, buffer: 20s}}
state_dir: {state}
scoring: {{interval: 100ms, rate_tolerance: 1000}}
learning: {{enabled: true, duration: 16s, minimum: 5s, settle: 0s}}
sensors:
- topic: 'plant/{{machine}}/{{axis}}'
  payload: {{format: float32}}
  sampling_rate_hz: 20000
  unit: m/s2
  conditions: {{speed_rpm: {{topic: 'plant/{{machine}}/speed/now', payload: {{format: number}}, max_age: 1h}}}}
"""
WHO = ("--by", "anna", "--reason", "it runs at 1200 rpm now")


class Rig:
    """The machine, which runs at one speed after the other."""

    def __init__(self, daemon: RunningDaemon, broker: int) -> None:
        self._daemon, self._broker = daemon, broker
        self._begun_s = time.monotonic()

    def run(self, speed_rpm: int, count: float, first: float = 0.0, name: str = "healthy") -> None:
        """Run some seconds at a speed, from there on in the recording."""
        publish(self._broker, [("plant/fan/speed/now", str(speed_rpm))], retain=True)
        if self._daemon.values("vibration_channel_state"):
            value = "vibration_condition_value"
            wait_for(lambda: self._daemon.value(value, condition="speed_rpm") == speed_rpm, "the speed")
        send(self._daemon, self._broker, {"fan": seconds(f"{name}_{speed_rpm}rpm", first, count)})
        assert time.monotonic() < self._begun_s + 2 * LONG_S, self._daemon.log.read_text()[-3000:]


def learners(daemon: RunningDaemon) -> list[int]:
    """The processes that learn."""
    children = procfs.children(daemon.process.pid)
    return [pid for pid in children if b"runtime.learning.learner" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_an_unknown_condition_is_added_and_then_scored(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path) as broker,
        running_daemon(tmp_path, broker, CONFIGURATION.format(state=tmp_path / "state")) as daemon,
    ):
        connected(daemon)
        rig, turn = Rig(daemon, broker), 0
        while states(daemon) != {"watched": 1}:
            rig.run((800, 1000)[turn % 2], 3.0, 3.0 * (turn // 2 % 10))
            turn += 1
        wait_for(lambda: not learners(daemon), "the learner's end: nothing learns")
        rig.run(1200, 3.0)
        wait_for(lambda: states(daemon) == {"unknown_condition": 1}, "the unknown condition")
        refused = "vibration_blocks_skipped_total"
        before = daemon.value(refused, reason="unknown_condition")
        assert before > 0
        assert daemon.values("vibration_anomaly_score") == []
        # A person extends the baseline. It judges on while what it does not know is collected.
        told = output("baseline", "extend", "fan/x", "--url", daemon.address, *WHO)
        assert told.startswith("fan/x: done, baseline ")
        wait_for(lambda: page(daemon)[0]["learning"], "the learning")
        assert page(daemon)[0]["learning"]["phase"] in {"opening", "gathering"}
        rig.run(800, 3.0, 31.0)
        assert states(daemon) == {"watched": 1}
        assert 0 < daemon.value("vibration_anomaly_score") < 1
        wait_for(lambda: page(daemon)[0]["learning"]["phase"] == "gathering", "the learner")
        collected = page(daemon)[0]["learning"]["learned_s"]
        rig.run(800, 3.0, 34.0)
        # What it knows is not collected; an interval at the change of speed may be.
        assert page(daemon)[0]["learning"]["learned_s"] < collected + 0.5
        turn = 0
        while page(daemon)[0]["learning"]:
            rig.run(1200, 2.0, 3.0 + 2.0 * (turn % 10))
            turn += 1
        assert daemon.value(refused, reason="unknown_condition") > before
        (found,) = document("baseline", "show", "fan/x", "--url", daemon.address)["channels"]
        assert [one["what"] for one in found["changes"]][-2:] == ["extend", "extended"]
        assert found["baseline"]["conditions"] == {"speed_rpm": [800.0, 1200.0]}
        assert (found["request"], found["baseline"]["provisional"]) == (None, False)
        # All three speeds are scored, and a fault still raises the alarm.
        for speed in (800, 1000, 1200):
            rig.run(speed, 4.0, 38.0)
            assert states(daemon) == {"watched": 1}
            assert 0 < daemon.value("vibration_anomaly_score") < 1
            assert daemon.value("vibration_alarm_state") == 0
        rig.run(1000, 3.0, name="inner")
        wait_for(lambda: daemon.value("vibration_alarm_state") == 2, "the alarm")
        assert sum(daemon.values("vibration_learning_restarts_total")) == 0
        assert sum(daemon.values("vibration_internal_errors_total")) == 0
