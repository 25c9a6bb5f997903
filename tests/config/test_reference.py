"""The reference of the configuration is complete, right, and what the repository holds."""

from typing import Annotated, Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator, ValidationError
from pydantic import TypeAdapter

from monitor.cli.main import group
from monitor.config.configuration import Config
from monitor.config.file import parse_config
from monitor.config.reference import Key, example, keys, readme
from monitor.quantities import seconds, size_bytes, spoken_duration, written_duration, written_size
from tests.support.programs import ROOT

KEYS = [key for key in keys() if key.section is None]


def test_the_committed_reference_is_that_of_the_source() -> None:
    assert (ROOT / "config" / "README.md").read_text() == readme(), "run: python config/reference.py"


def test_every_key_is_there_once() -> None:
    paths = [key.path for key in keys()]
    assert len(set(paths)) == len(paths) > 60
    assert {
        "mqtt.tls.ca_file", "models", "sensors", "sensors[].topic", "sensors[].conditions.NAME.payload.key",
        "sensors[].machine.bearings.NAME.bpfo", "sensors[].machine.zones.b",
        "http.basic_auth.user", "evidence.max_age", "state_dir",
    } <= set(paths)  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=lambda key: str(key.path))
def test_a_key_has_a_meaning_and_an_example_that_it_takes(key: Key) -> None:
    assert key.meaning.endswith("."), "the docstring under the field"
    value = yaml.safe_load(example(key))[key.name]
    kind: Any = key.field.annotation
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[(kind, *key.field.metadata)] if key.field.metadata else kind)
    assert value not in (None, "...", [], {}), "Field(examples=[...])"
    adapter.validate_python(value)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    result = CliRunner().invoke(group, ["check-config", "--schema"])
    assert result.exit_code == 0
    found: dict[str, Any] = yaml.safe_load(result.stdout)
    return found


def test_the_schema_takes_what_the_daemon_takes(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    validator: Any = Draft202012Validator(schema)
    text = (ROOT / "config" / "example.yaml").read_text()
    validator.validate(yaml.safe_load(text))
    uncommented = text.replace("# calibration", "calibration").replace("# state_dir", "state_dir")
    parse_config(uncommented, ROOT / "c.yaml")
    validator.validate(yaml.safe_load(uncommented))


@pytest.mark.parametrize(
    "text",
    [
        "sensors: [{topic: a, payload: {format: flaot32}, sampling_rate_hz: 1}]",
        "sensors: [{topic: a, payload: {format: json}, sampling_rate_hz: 1, unit: furlong}]",
        "sensors: [{topic: a, payload: {format: json}}]",
        "{sensors: [{topic: a, payload: {format: json}, sampling_rate_hz: 1}], scoring: {interval: 1parsec}}",
        "{sensors: [{topic: a, payload: {format: json}, sampling_rate_hz: 1}], scoring: {interval: 7200}}",
        "{sensors: [{topic: a, payload: {format: json}, sampling_rate_hz: 1}], scorin: {}}",
    ],
)
def test_the_schema_marks_mistakes(schema: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError):
        Draft202012Validator(schema).validate(yaml.safe_load(text))


def test_meanings_come_with_the_schema(schema: dict[str, Any]) -> None:
    assert schema["$defs"]["Scoring"]["properties"]["interval"]["description"].startswith("Duration of signal")
    for key in keys():
        assert key.meaning, key.path


@pytest.mark.parametrize("text", ["5ms", "1s", "90s", "1m", "2h", "30d", "0.25s"])
def test_durations_are_written_as_they_are_read(text: str) -> None:
    assert seconds(written_duration(seconds(text))) == pytest.approx(seconds(text))


@pytest.mark.parametrize(("size", "text"), [(4 * 2**20, "4MiB"), (500 * 10**6, "500MB"), (1000, "1kB"), (7, "7B")])
def test_sizes_are_written_as_they_are_read(size: int, text: str) -> None:
    assert written_size(size) == text
    assert size_bytes(text) == size


def test_defaults_are_those_of_the_configuration() -> None:
    (interval,) = [key for key in KEYS if key.path == "scoring.interval"]
    assert "| `interval` | `1s` | duration from 10ms to 1h |" in readme()
    assert Config.model_fields["scoring"].default.interval == interval.field.default == 1.0


@pytest.mark.parametrize(
    ("value_s", "text"),
    [(0.5, "0.5 s"), (45, "45 s"), (60, "1 minute"), (90, "1.5 minutes"), (3600, "1 hour"), (7 * 86400, "7 days")],
)
def test_durations_are_told_as_people_say_them(value_s: float, text: str) -> None:
    assert spoken_duration(value_s) == text
