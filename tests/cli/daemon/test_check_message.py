"""``check-message`` says what the daemon would say."""

import json
from pathlib import Path

import pytest

from tests.support.commands import invoke
from tests.support.programs import ROOT

CONFIG = """
sensors:
  - topic: "plant/{machine}/{axis}"
    payload: {format: json}
    sampling_rate_hz: 1000
    conditions:
      speed_rpm: {topic: "plant/{machine}/state/drive", payload: {format: json, key: rpm}}
      load: {topic: "plant/{machine}/state/drive", payload: {format: json, key: load}}
  - {topic: "gateway/{machine}", payload: {format: senml}, sampling_rate_hz: 1000, axes: [x, y]}
"""


def checked(folder: Path, topic: str, payload: bytes, *options: str) -> tuple[int, str]:
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "payload").write_bytes(payload)
    result = invoke(
        "check-message", folder / "config.yaml", "--topic", topic, "--payload", folder / "payload", *options
    )
    return result.exit_code, result.stdout


def test_a_message_that_is_used(tmp_path: Path) -> None:
    code, text = checked(tmp_path, "plant/fan/x", b'{"samples": [1, -1], "t": 1.7e9, "seq": 0}')
    assert code == 0
    assert "seq 0, t 1700000000.0 (2023-11-14 22:13:20 UTC)" in text
    assert "machine=fan, axis=x: 2 samples" in text
    assert "seq none, t none" in checked(tmp_path, "plant/fan/x", b"[1]")[1]


def test_a_message_with_measured_quantities(tmp_path: Path) -> None:
    drive = ("plant/fan/state/drive", b'{"rpm": 1480.5, "load": 0.25}')
    code, text = checked(tmp_path, *drive)
    assert code == 0
    assert text.splitlines() == [
        "used: condition speed_rpm is 1480.5 for the channels of machine=fan",
        "used: condition load is 0.25 for the channels of machine=fan",
    ]
    assert json.loads(checked(tmp_path, *drive, "--json")[1]) == {
        "used": True,
        "conditions": [
            {"condition": "speed_rpm", "labels": {"machine": "fan"}, "value": 1480.5},
            {"condition": "load", "labels": {"machine": "fan"}, "value": 0.25},
        ],
    }


@pytest.mark.parametrize(
    ("topic", "payload", "text"),
    [
        ("plant/fan/x", b'{"samples": [1], "t": 1.7e12}', "rejected (wrong_time): 't' is 1.7e+12; UNIX seconds"),
        (
            "plant/fan/x",
            b'{"samples": {"a\\u001b[2J": [1]}}',
            r"rejected (wrong_label): an axis name is 1 to 64 printable",
        ),
        ("plant/fan/x", b'{"samples": {"y": [1]}}', "rejected (wrong_axes): the topic names one axis"),
        ("plant/fan/state/drive", b'{"rpm": 1}', "rejected (undecodable): the object has no key 'load'"),
        ("plant/fan/x", b'["1"]', "rejected (undecodable): not a json document: Expected `float`, got `str`"),
        (
            "gateway/fan",
            b'[{"n": "fan/x", "v": 1}]',
            "found axes 'fan/x'; expected one name that ends with each of axes 'x', 'y'",
        ),
    ],
)
def test_a_message_that_is_rejected(tmp_path: Path, topic: str, payload: bytes, text: str) -> None:
    code, said = checked(tmp_path, topic, payload)
    assert code == 4
    assert text in said
    assert said.rstrip("\n").isprintable()
    code, said = checked(tmp_path, topic, payload, "--json")
    assert code == 4
    assert json.loads(said)["used"] is False


SPARKPLUG = """
sensors:
  - topic: "spBv1.0/{group}/DDATA/{node}/{device}/array/{metric}"
    payload: {format: sparkplug}
    sampling_rate_hz: 1000
    labels: {line: a}
"""


def golden(name: str) -> tuple[str, bytes]:
    messages = json.loads((ROOT / "tests/golden/sparkplug/pysparkplug.json").read_text())
    found = next(message for message in messages if message["name"] == name)
    return found["topic"], bytes.fromhex(found["payload"])


def checked_sparkplug(folder: Path, topic: str, payload: bytes, *options: str) -> tuple[int, str]:
    (folder / "sparkplug.yaml").write_text(SPARKPLUG)
    (folder / "payload").write_bytes(payload)
    (folder / "birth").write_bytes(golden("birth of the device")[1])
    result = invoke(
        "check-message", folder / "sparkplug.yaml", "--topic", topic, "--payload", folder / "payload", *options
    )
    return result.exit_code, result.stdout


def test_sparkplug_data_with_and_without_its_birth(tmp_path: Path) -> None:
    message = golden("arrays by alias")
    code, text = checked_sparkplug(tmp_path, *message)
    assert code == 4
    assert "rejected (no_birth)" in text
    code, text = checked_sparkplug(tmp_path, *message, "--birth", str(tmp_path / "birth"))
    assert code == 0
    assert "used: sensor spBv1.0/{group}/DDATA/{node}/{device}/array/{metric}, t 1764000000.0" in text
    assert "channel group=plant, node=gateway-1, device=fan-1, metric=float, line=a: 3 samples" in text
    code, text = checked_sparkplug(tmp_path, *message, "--birth", str(tmp_path / "birth"), "--json")
    channels = json.loads(text)["channels"]
    assert len(channels) == 10
    assert next(one for one in channels if one["labels"]["metric"] == "uint8")["peak_mps2"] == 255


def test_births_deaths_and_other_metrics_of_sparkplug(tmp_path: Path) -> None:
    code, text = checked_sparkplug(tmp_path, *golden("birth of the device"))
    assert code == 0
    assert text.startswith(
        "used: a birth; sensors want 10 of its metrics\n  spBv1.0/plant/DDATA/gateway-1/fan-1/array/"
    )
    code, text = checked_sparkplug(tmp_path, *golden("death of the device"))
    assert (code, text) == (0, "used: ends the channels of node plant/gateway-1, device fan-1\n")
    code, text = checked_sparkplug(tmp_path, *golden("numbers by alias"), "--birth", str(tmp_path / "birth"))
    assert code == 4
    assert text.startswith("not used: no sensor wants a metric of this message of node plant/gateway-1, device fan-1")
    assert "not a Sparkplug B payload" in checked_sparkplug(tmp_path, golden("numbers by alias")[0], b"[1, 2]")[1]
