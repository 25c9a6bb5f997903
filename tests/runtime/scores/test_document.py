"""What is written of an interval: the bytes that readers rely on, and their description."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator, ValidationError

from monitor.bench.alone import bench_calibration
from monitor.config.sensors import Payload, Sensor
from monitor.core.arrays import AnyArray
from monitor.core.scoring.calibration.conditions import MOST_PROTOTYPES
from monitor.core.scoring.plausibility import Refusal, code
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.closed import CLOSED
from monitor.runtime.scores.document import Author, documents, schema
from tests.support.programs import ROOT

GOLDEN = ROOT / "tests" / "golden" / "scores.jsonl"


def interval(**figures: Any) -> AnyArray:
    made = np.zeros(1, CLOSED)
    for name, value in figures.items():
        made[name] = value
    return made


def written(*, refused: bool) -> bytes:
    sensor = Sensor(topic="plant/{machine}/{axis}", payload=Payload(format="float32"), sampling_rate_hz=12000)
    channel = Channel(("fan-1", "x"), "plant/fan-1/x", sensor, "default", 3)
    channel.calibration = replace(bench_calibration(100))
    figures: dict[str, Any] = {
        "first_sample": 2500, "end_sample": 14500, "gap": 1.0161421, "gap_ratio": 0.25, "gap_whitened": 1.2,
        "rms": 2.0, "peak": 3.6390212, "score": 0.07334519, "coverage": 1.0, "condition_distance": np.nan,
        "evidence": [0.04, 0.038, 0.1, 2.18579e-5, 0.32, 0.0167], "band": [0.5, 0.75], "times_healthy": [1.02, 1.5],
        "weights": [1.0, *[np.nan] * (MOST_PROTOTYPES - 1)], "alarm_state": 1,
    }  # fmt: skip
    if refused:
        none = ("score", "gap_whitened", "evidence", "band", "times_healthy", "weights")
        figures |= dict.fromkeys(none, np.nan) | {"refusal": code(Refusal.STOPPED), "alarm_state": 0}
    author = Author("vibration-monitor-hall-3", 7)
    (made,) = documents(interval(**figures), [channel], ("machine", "axis"), np.array([1_767_225_600.25]), author)
    return made


def test_the_bytes_are_those_that_readers_know() -> None:
    assert written(refused=False) + b"\n" + written(refused=True) + b"\n" == GOLDEN.read_bytes()


def test_the_description_fits_and_leaves_nothing_out() -> None:
    assert (ROOT / "config" / "scores.schema.json").read_bytes() == schema(), "run: python config/reference.py"
    described = json.loads(schema())
    check = Draft202012Validator(described)
    for line in GOLDEN.read_bytes().splitlines():
        document = json.loads(line)
        check.validate(document)
        assert document.keys() == described["properties"].keys() == set(described["required"])
        for wrong in ({"score": "high"}, {"state": "red"}, {"evidence": [1.0]}):
            with pytest.raises(ValidationError):
                check.validate(document | wrong)
    assert all(field["description"].endswith(".") for field in described["properties"].values())
