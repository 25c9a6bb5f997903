"""Lanes from a configuration: workers, what is kept, what is said."""

import logging
import os
from pathlib import Path

import pytest

from monitor.config.configuration import Config
from monitor.errors import ArtefactError
from monitor.model.artefact.artefact import load_artefact
from monitor.runtime.lanes.loading import Lanes, LoadedLane, lane_key
from monitor.shipped import shipped

DEMO = load_artefact(shipped("models/demo"))


def config(rate_hz: float = 12000.0, channels: int = 8, **inference: object) -> Config:
    sensor = {"topic": "plant/{machine}", "payload": {"format": "float32"}, "sampling_rate_hz": rate_hz, "unit": "g"}
    return Config.model_validate(
        {
            "sensors": [sensor],
            "models": {"default": str(DEMO.path)},
            "limits": {"channels": channels},
            "inference": inference,
        }
    )


def stop(lanes: dict[str, LoadedLane]) -> None:
    for loaded in lanes.values():
        assert loaded.inference.stop()


def test_as_many_workers_as_the_channels_need_and_no_more_than_cores() -> None:
    cores = len(os.sched_getaffinity(0))
    assert lane_key(config(), "default", DEMO).shape.parts == 1
    assert lane_key(config(channels=100_000), "default", DEMO).shape.parts == cores
    assert lane_key(config(workers=3), "default", DEMO).shape.parts == 3
    assert lane_key(config(workers=3, channels=2), "default", DEMO).shape.parts == 2
    assert lane_key(config(workers=3, engine="tensorflow"), "default", DEMO).shape.parts == 1


def test_a_lane_is_kept_while_nothing_that_it_depends_on_changed() -> None:
    loader = Lanes(lambda _lane, _changes: None, lambda _: None)
    first = loader.load(config(), None, {})
    again = loader.load(config(max_batch=7), None, first)
    other = loader.load(config(channels=9), None, first)
    try:
        assert again["default"] is first["default"]
        assert other["default"] is not first["default"]
        assert other["default"].lane.shape.channels == 9
        assert first["default"].info.engine == "onnxruntime"
    finally:
        stop(first | {"other": other["default"]})


def test_a_rate_that_the_model_does_not_know_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    loader = Lanes(lambda _lane, _changes: None, lambda _: None)
    with caplog.at_level(logging.WARNING):
        stop(loader.load(config(12000.0), None, {}))
        assert caplog.text == ""
        stop(loader.load(config(8000.0), None, {}))
    assert "sensor plant/{machine}: has 8000 Hz, the model was trained at 12000 Hz" in caplog.text


def test_a_sensor_without_a_unit_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    given = config().model_dump(exclude_unset=True)
    del given["sensors"][0]["unit"]
    with caplog.at_level(logging.WARNING):
        stop(Lanes(lambda _lane, _changes: None, lambda _: None).load(Config.model_validate(given), None, {}))
    assert "sensor plant/{machine}: no unit is given, so samples are taken as m/s2" in caplog.text


def test_what_was_started_ends_when_another_model_is_unusable(tmp_path: Path) -> None:
    sound = config()
    other = sound.sensors[0].model_copy(update={"topic": "b/{machine}", "model": "other"})
    broken = sound.model_copy(
        update={
            "models": {"default": str(DEMO.path), "other": str(tmp_path)},
            "sensors": (sound.sensors[0], other),
        }
    )
    before = children()
    with pytest.raises(ArtefactError):
        Lanes(lambda _lane, _changes: None, lambda _: None).load(broken, None, {})
    assert children() == before


def children() -> set[str]:
    return {pid for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()}
