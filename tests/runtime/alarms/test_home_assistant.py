import json
from pathlib import Path

import pytest

from monitor.config.configuration import Config
from monitor.config.mqtt import Mqtt
from monitor.errors import ConfigurationError
from monitor.runtime.alarms.home_assistant import discovery
from monitor.runtime.checks.preflight import preflight
from tests.support.daemons import SENSOR

LABELS = {"machine": "fan", "sensor": "de", "axis": "x"}

SETTINGS = Mqtt.model_validate(
    {"events_topic": "plant/events", "homeassistant": {"enabled": True}, "status_topic": "plant/status"}
)


def test_home_assistant_finds_alarm_and_score() -> None:
    (alarm_topic, alarm_text), (score_topic, score_text) = discovery(SETTINGS, LABELS)
    alarm, score = json.loads(alarm_text), json.loads(score_text)
    assert alarm_topic == f"homeassistant/binary_sensor/{alarm['unique_id']}/config"
    assert score_topic == f"homeassistant/sensor/{score['unique_id']}/config"
    for found in (alarm, score):
        assert found["state_topic"] == "plant/events/fan/de/x"
        assert found["availability_topic"] == "plant/status"
    assert alarm["device_class"] == "problem"
    others = [{"machine": "a b", "axis": "x"}, {"machine": "a_b", "axis": "x"}, {"machine": "a", "axis": "b_x"}]
    assert len({discovery(SETTINGS, labels)[0][0] for labels in others}) == 3


def test_home_assistant_without_events_is_a_mistake(tmp_path: Path) -> None:
    config = Config.model_validate({"sensors": [SENSOR], "mqtt": {"homeassistant": {"enabled": True}}})
    with pytest.raises(ConfigurationError, match=r"set mqtt\.events_topic"):
        preflight(config, tmp_path / "config.yaml")
