import asyncio
import json
import time
from pathlib import Path

import pytest

from monitor.bench.alone import bench_calibration
from monitor.config.sensors import Sensor
from monitor.errors import ConfigurationError
from monitor.runtime.baselines.changes import Action, Wish
from monitor.runtime.baselines.desk import BaselineDesk
from monitor.runtime.baselines.history import Source
from monitor.runtime.baselines.store import Asked, Store
from monitor.runtime.intake.channel import Channel

SENSOR = Sensor.model_validate({"topic": "a/{machine}/{axis}", "payload": {"format": "json"}, "sampling_rate_hz": 1000})
NAMES = ("site", "machine", "axis")
FAN = {"machine": "fan", "axis": "x"}
WISH = Wish.checked(channels=["*"], by="anna", reason="new bearing")


class Plant:
    """Two channels; one has a calibration file of its own."""

    def __init__(self, folder: Path, *, learns: bool) -> None:
        press = SENSOR.model_copy(update={"calibration": "{machine}.npz"})
        channels = (
            Channel(("", "fan", "x"), "a/fan/x", SENSOR, "default", 0),
            Channel(("", "press", "x"), "a/press/x", press, "default", 1),
        )
        self.by_labels = {channel.labels: channel for channel in channels}
        self.told: list[tuple[dict[str, str], str]] = []
        self.configured: list[str] = []
        self.store = Store(folder, lambda: 1_700_000_000.0)
        self.desk = BaselineDesk(
            self.store,
            self.by_labels,
            lambda: NAMES,
            lambda channel: self.configured.append(channel.name),
            lambda labels, text: self.told.append((labels, text)),
            lambda: learns,
        )


def test_a_request_is_kept_told_and_given_to_the_channel(tmp_path: Path) -> None:
    plant = Plant(tmp_path, learns=True)
    outcome = asyncio.run(plant.desk.change(Action.LEARN, WISH))
    assert list(outcome.changed) == ["fan/x"]
    assert "the configuration names its calibration press.npz, which counts as accepted" in outcome.refused["press/x"]
    assert plant.configured == ["fan/x"]
    ((labels, text),) = plant.told
    assert labels == {"site": "", **FAN}
    assert json.loads(text) == {
        "time": "2023-11-14T22:13:20.000+00:00",
        "labels": FAN,
        "change": "learn",
        "by": "anna",
        "reason": "new bearing",
        "baseline": None,
        "provisional": None,
    }
    kept = Store(tmp_path, lambda: 0.0).history(FAN)
    assert kept is not None
    assert kept.request is not None
    assert kept.request.what == "learn"


def test_without_learning_there_is_nothing_to_ask_for(tmp_path: Path) -> None:
    plant = Plant(tmp_path, learns=False)
    for action in (Action.LEARN, Action.EXTEND):
        with pytest.raises(ConfigurationError, match="this daemon does not learn; set 'learning"):
            asyncio.run(plant.desk.change(action, WISH))
    assert plant.told == []
    assert plant.store.histories == []


def test_a_channel_has_one_name_whatever_the_order_of_labels_was(tmp_path: Path) -> None:
    plant = Plant(tmp_path, learns=False)
    before = {"axis": "x", "machine": "fan"}  # as an older configuration named them
    calibration = bench_calibration(100, 1000.0)
    plant.store.learned(before, calibration, model_sha256="ab" * 32, source=Source())
    assert sorted(plant.desk.known()) == ["fan/x", "press/x"]
    outcome = asyncio.run(plant.desk.change(Action.ACCEPT, WISH.model_copy(update={"channels": ("fan/*",)})))
    assert list(outcome.changed) == ["fan/x"]
    assert plant.configured == ["fan/x"]


def test_a_channel_that_is_away_is_changed_too(tmp_path: Path) -> None:
    plant = Plant(tmp_path, learns=False)
    plant.store.learned(FAN, bench_calibration(100, 1000.0), model_sha256="ab" * 32, source=Source())
    plant.by_labels.clear()
    outcome = asyncio.run(plant.desk.change(Action.ACCEPT, WISH))
    assert list(outcome.changed) == ["fan/x"]
    assert (plant.configured, plant.told) == ([], [])


def test_what_was_learned_is_told_without_a_second_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plant = Plant(tmp_path, learns=True)
    plant.desk.tell({"site": "", **FAN})
    assert plant.told == []  # there is nothing yet
    source = Source(1.69e9, 1.7e9, provisional=True)
    plant.store.learned(FAN, bench_calibration(100, 1000.0), model_sha256="ab" * 32, source=source)
    plant.desk.tell({"site": "", **FAN})
    ((labels, text),) = plant.told
    assert labels == {"site": "", **FAN}
    event = json.loads(text)
    assert (event["change"], event["by"], event["reason"]) == ("learned", "learning", "provisional")
    assert (event["baseline"], event["provisional"]) == (1, True)
    assert plant.store.changed(FAN) == ("learned", 1_700_000_000.0)
    assert caplog.messages == []


def test_what_is_told_of_a_change_takes_no_longer_the_more_channels_there_are(tmp_path: Path) -> None:
    plant = Plant(tmp_path, learns=True)
    history = plant.store.ask(FAN, "learn", Asked("anna", "new bearing"))

    def takes_s() -> float:
        began_s = time.process_time()
        for _ in range(200):
            plant.desk.announce(history)
        return time.process_time() - began_s

    few_s = takes_s()
    for number in range(20_000):
        labels = ("", f"fan-{number}", "x")
        plant.by_labels[labels] = Channel(labels, f"a/fan-{number}/x", SENSOR, "default", number)
    assert takes_s() < 5 * few_s
    assert plant.configured == ["fan/x"] * 400
