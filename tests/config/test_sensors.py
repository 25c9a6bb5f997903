"""Measured conditions in the configuration: one mistake each; the whole error text is asserted."""

from pathlib import Path

import pytest

from monitor.config.file import parse_config
from monitor.errors import ConfigurationError

SENSOR = "- {topic: 'a/{machine}', payload: {format: float32}, sampling_rate_hz: 1, conditions: <conditions>}\n"


def configuration(*conditions: str) -> str:
    """Sensors with these conditions; the first has the topic ``a/{machine}``, the next ``b/{machine}``."""
    entries = (SENSOR.replace("a/", f"{chr(97 + i)}/").replace("<conditions>", c) for i, c in enumerate(conditions))
    return "sensors:\n" + "".join(entries)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse_config(text, Path("c.yaml"))
    first, *lines = str(caught.value).splitlines()
    assert first == f"c.yaml: {len(lines)} problem{'s' * (len(lines) > 1)}"
    return [line.removeprefix("  sensors") for line in lines]


def load(topic: str = "x", payload: str = "{format: number}", more: str = "") -> str:
    return f"{{load: {{topic: '{topic}', payload: {payload}{more}}}}}"


def quantities(count: int, prefix: str = "q") -> str:
    return "{" + ", ".join(f"{prefix}{i}: {{topic: x, payload: {{format: number}}}}" for i in range(count)) + "}"


NAME = "is not the name of a quantity; write for example speed_rpm: at most 40 small letters, digits and underscores, a"

OWN = "samples and a measured quantity need topics of their own"


@pytest.mark.parametrize(
    ("conditions", "problem"),
    [
        ("{Speed: {topic: x, payload: {format: number}}}", f"[0].conditions: 'Speed' {NAME} letter first"),
        ("{1st: {topic: x, payload: {format: number}}}", f"[0].conditions: '1st' {NAME} letter first"),
        (quantities(1, "q" * 40), f"[0].conditions: '{'q' * 40}0' {NAME} letter first"),
        (quantities(9), "[0].conditions: 9 quantities are named; at most 8 for a sensor"),
        (load("b/{line}"), "[0]: conditions.load.topic: this sensor has no label 'line'; it has machine, axis"),
        (
            load("{machine}/x"),
            f"[0].conditions.load.topic: '{{machine}}/x' and 'a/{{machine}}' of sensors[0] both match 'a/x'; {OWN}",
        ),
        (load("b/#"), "[0].conditions.load.topic: level '#': use a whole level '+' or '{name}'; '#' is not supported"),
        ("{load: {topic: x}}", "[0].conditions.load.payload: missing"),
        ("{load: 7}", "[0].conditions.load: expected keys under it, such as topic, payload, max_age (found 7)"),
        (load(more=", max_ago: 1s"), "[0].conditions.load.max_ago: unknown key; did you mean 'max_age'?"),
        (
            load(payload="{format: number, kye: 1}"),
            "[0].conditions.load.payload.kye: unknown key; did you mean 'key'?",
        ),
        (
            load(payload="{format: float32}"),
            "[0].conditions.load.payload.format: input should be 'number' or 'json' (found 'float32')",
        ),
        (
            load(payload="{format: json}"),
            "[0].conditions.load.payload: json needs the key of the number; write {format: json, key: rpm}",
        ),
        (
            load(payload="{format: number, key: x}"),
            "[0].conditions.load.payload: a number has no key; write {format: number}, or format: json",
        ),
        (
            load(more=", max_age: soon"),
            "[0].conditions.load.max_age: 'soon' is not a duration; write for example 500ms, 1s, 5m or 2h",
        ),
        (load(more=", max_age: 0"), "[0].conditions.load.max_age: input should be greater than 0 (found 0)"),
    ],
)
def test_one_mistake(conditions: str, problem: str) -> None:
    assert problems(configuration(conditions)) == [problem]


def test_a_quantity_on_the_topic_of_another_sensors_samples() -> None:
    assert problems(configuration(load("b/+"), "{}")) == [
        f"[0].conditions.load.topic: 'b/+' and 'b/{{machine}}' of sensors[1] both match 'b/machine'; {OWN}"
    ]


def test_more_different_quantities_than_there_is_room_for() -> None:
    entries = [quantities(8, f"q{sensor}_") for sensor in range(5)]
    assert len(parse_config(configuration(*entries[:4], entries[0]), Path("c.yaml")).condition_names) == 32
    assert problems(configuration(*entries)) == [": the conditions have 40 different names; at most 32"]


def test_labels_that_are_not_in_the_sensors_topic_can_join_too() -> None:
    text = configuration(load("hall/{line}/{axis}/load")).replace("sampling", "labels: {line: l1}, sampling")
    (sensor,) = parse_config(text, Path("c.yaml")).sensors
    assert sensor.conditions["load"].max_age == 30.0
    assert set(sensor.label_names) == {"machine", "line", "axis"}
