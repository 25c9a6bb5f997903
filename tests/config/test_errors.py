"""One bad configuration a mistake; the whole error text is asserted."""

import json
from pathlib import Path

import pytest

from monitor.config.file import parse_config, read_config
from monitor.core.messages.decode import FORMATS
from monitor.errors import ConfigurationError
from monitor.shipped import shipped
from tests.support.commands import invoke

SENSOR = "sensors: [{topic: 'a/{machine}', payload: {format: float32}, sampling_rate_hz: 12000}]\n"

MIXED = (
    "sensors[0].calibration: belongs to the configured model 'default', which learning.model: own exchanges; give the "
    "sensors with a calibration a model of their own name, such as models: {calibrated: models/reference}"
)

TOPIC_OF_MQTT = (
    "kafka.topic: 'plant/fan-1' is not a topic of Kafka (letters, digits, '.', '_' and '-', at most 249); the topics "
    "that sensors publish to are the keys of its records"
)

NOT_IN_THIS_FILE = (
    "kafka.options: 'ssl.keystore.password' is a secret, which does not belong into this file; use sasl.password_file"
)

NO_SPARKPLUG = (
    "sensors[0].payload.format: sparkplug needs mqtt; births, data and deaths of a node have different topics, and "
    "Kafka does not keep the order of records with different keys"
)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse_config(text, Path("c.yaml"))
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


def sensor(**changes: str) -> str:
    keys = {"topic": "'a/{machine}'", "payload": "{format: float32}", "sampling_rate_hz": "12000"} | changes
    return "sensors: [{" + ", ".join(f"{key}: {value}" for key, value in keys.items()) + "}]\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "sensors: missing"),
        ("sensors: []", "sensors: name at least one sensor"),
        (SENSOR + "mqqt: {}", "mqqt: unknown key; did you mean 'mqtt'?"),
        (
            SENSOR + "mqtt: mqtt://broker",
            "mqtt: expected keys under it, such as url, version, client_id (found 'mqtt://broker')",
        ),
        (
            SENSOR + "learning:",
            "learning: expected keys under it, such as enabled, duration, minimum (found nothing)",
        ),
        (SENSOR + "state_dir: [a]", "state_dir: expected a path (found a list)"),
        (SENSOR + "models: reference", "models: expected names under it, each with a value (found 'reference')"),
        (
            "sensors: {topic: a, sampling_rate_hz: 1}",
            "sensors: expected a list: [ONE, ANOTHER], or lines that begin with '- ' (found keys)",
        ),
        (sensor(sampling_rate_hz=""), "sensors[0].sampling_rate_hz: input should be a valid number (found nothing)"),
        (
            SENSOR + "mqtt: {events_topic: a, baselines_topic: a}",
            "mqtt: baselines_topic and events_topic are the same; one would replace the other",
        ),
        (
            SENSOR + "mqtt: {}\nkafka: {}",
            "kafka: is given beside mqtt; messages come from one of them, leave the other out",
        ),
        (SENSOR + "kafka: {grup: x}", "kafka.grup: unknown key; did you mean 'group'?"),
        (
            SENSOR + "kafka: {bootstrap: 'a:9092,http://b'}",
            "kafka.bootstrap: 'http://b' is not the address of a broker; write for example localhost:9092",
        ),
        (
            SENSOR + "kafka: {topic: [vibration, plant/fan-1]}",
            TOPIC_OF_MQTT,
        ),
        (SENSOR + "kafka: {topic: []}", "kafka.topic: name at least one topic"),
        (SENSOR + "kafka: {topic: [a, a]}", "kafka.topic: a topic is named twice"),
        (
            SENSOR + "kafka: {topic: a, conditions_topic: a}",
            "kafka: the topic 'a' is named twice; what is read and what is written needs its own",
        ),
        (
            SENSOR + "kafka: {events_topic: a, state_topic: a}",
            "kafka: the topic 'a' is named twice; what is read and what is written needs its own",
        ),
        (
            SENSOR + "kafka: {options: {group.id: x}}",
            "kafka.options: 'group.id' is set by the daemon itself, from its own keys; leave it out",
        ),
        (
            SENSOR + "kafka: {options: {ssl.keystore.password: x}}",
            NOT_IN_THIS_FILE,
        ),
        (
            SENSOR + "kafka: {security: sasl_ssl}",
            "kafka: security is sasl_ssl, but there is no account; give sasl.user and its password_file",
        ),
        (
            SENSOR + "kafka: {sasl: {user: a, password_file: b}}",
            "kafka: sasl is given, but security is plaintext; write security: sasl_ssl",
        ),
        (SENSOR + "kafka: {sasl: {user: a}}", "kafka.sasl: user and password_file go together"),
        (
            SENSOR + "kafka: {tls: {ca_file: a}}",
            "kafka: tls is given, but security is plaintext; write security: ssl, or sasl_ssl",
        ),
        (
            "kafka: {}\n" + sensor(topic="'spBv1.0/a/NDATA/{node}/x'", payload="{format: sparkplug}"),
            NO_SPARKPLUG,
        ),
        (SENSOR + "mqtt: {usr: x}", "mqtt.usr: unknown key; did you mean 'user'?"),
        (
            SENSOR + "learning: {enabled: true, duration: 1h, minimum: 2h}",
            "learning: minimum (7200 s) is longer than duration (3600 s)",
        ),
        (
            SENSOR.replace("}]", ", calibration: a.npz}, " + SENSOR[len("sensors: [") :].replace("a/", "b/"))
            + "learning: {model: own}",
            MIXED,
        ),
        (
            SENSOR + "mqtt: {tls: {qqq: x}}",
            "mqtt.tls.qqq: unknown key; known are ca_file, cert_file, key_file",
        ),
        (
            SENSOR + "mqtt: {url: 'http://x'}",
            "mqtt.url: 'http://x' is not a broker address; write mqtt://host:1883 or mqtts://host:8883",
        ),
        (
            SENSOR + "mqtt: {url: 'mqtt://u:secret@h'}",
            "mqtt.url: no user or password in the url; use the keys user and password_file",
        ),
        (SENSOR + "mqtt: {qos: 2}", "mqtt.qos: input should be 0 or 1 (found 2)"),
        (SENSOR + "mqtt: {reconnect_min: 10s, reconnect_max: 1s}", "mqtt: reconnect_max is below reconnect_min"),
        (SENSOR + "mqtt: {tls: {cert_file: a}}", "mqtt.tls: cert_file and key_file go together"),
        (
            sensor(payload="{format: float31}"),
            "sensors[0].payload.format: 'float31' is not a payload format; known are " + ", ".join(FORMATS),
        ),
        (
            sensor(payload="{format: json, bytes: int16}"),
            "sensors[0].payload: bytes is for metrics of format sparkplug; json says by itself how it is packed",
        ),
        (
            sensor(payload="{format: sparkplug}"),
            (
                "sensors[0]: topic: 'a/{machine}' is not that of Sparkplug metrics; write "
                "spBv1.0/{group}/DDATA/{node}/{device}/{metric}, or spBv1.0/{group}/NDATA/{node}/{metric} for metrics "
                "of the node itself"
            ),
        ),
        (
            sensor(topic="'spBv1.0/{a}/NDATA/{b}/{c}'", payload="{format: sparkplug}", axes="[x, y]"),
            "sensors[0]: axes: a Sparkplug metric is one channel; name the metric of each axis in the topic",
        ),
        (
            sensor(sampling_rate_hz="-1"),
            "sensors[0].sampling_rate_hz: input should be greater than 0 (found -1)",
        ),
        (sensor(unit="furlong"), "sensors[0].unit: input should be 'g', 'mg' or 'm/s2' (found 'furlong')"),
        (sensor(scale="0"), "sensors[0].scale: a scale of 0 turns every sample into 0"),
        (sensor(topic="'a/{b}/{b}'"), "sensors[0].topic: level '{b}' occurs twice"),
        (sensor(labels="{machine: x}"), "sensors[0]: label 'machine' is both in the topic and in labels"),
        (sensor(labels="{reason: x}"), "sensors[0].labels: 'reason' is not usable as a label name"),
        (
            sensor(topic="'a/{axis}'", axes="[x, y]"),
            "sensors[0]: axes are given, and the label 'axis' too; drop one of the two",
        ),
        (
            sensor(calibration="'{plant}.json'"),
            "sensors[0]: calibration names the label 'plant', which this sensor does not have",
        ),
        (sensor(model="other"), "sensors[0].model: there is no model 'other'; known are default"),
        (
            SENSOR + "scoring: {interval: 1parsec}",
            "scoring.interval: '1parsec' is not a duration; write for example 500ms, 1s, 5m or 2h",
        ),
        (
            SENSOR + "http: {listen: '9108'}",
            "http.listen: '9108' is not an address; write for example 127.0.0.1:9108 or [::1]:9108",
        ),
        (
            SENSOR + "http: {public_url: m.example.com}",
            "http.public_url: 'm.example.com' is not the URL of a page; write for example https://monitor.example.com",
        ),
        (
            SENSOR + "http: {grafana_url: grafana}",
            "http.grafana_url: 'grafana' is not the URL of a page; write for example https://monitor.example.com",
        ),
        (sensor(machine="{speed: 1}"), "sensors[0].machine.speed: unknown key; did you mean 'speed_rpm'?"),
        (sensor(machine="{speed_rpm: 0}"), "sensors[0].machine.speed_rpm: input should be greater than 0 (found 0)"),
        (
            sensor(machine="{bearings: {de: {balls: 9, ball_diameter: 7.94}}}"),
            (
                "sensors[0].machine.bearings: bearing de: pitch_diameter is missing; give balls, ball_diameter, "
                "pitch_diameter, contact_angle, or bpfo, bpfi, bsf, ftf"
            ),
        ),
        (
            sensor(machine="{bearings: {de: {bpfo: 107.4, bpfi: 162.2, bsf: 70.6, ftf: 11.9}}}"),
            (
                "sensors[0].machine.bearings: bearing de: bpfo 107.4 and bpfi 162.2 make 269.6 together; expected the "
                "number of balls, with bpfi the larger. Give multiples of the shaft's speed, not Hz"
            ),
        ),
        (
            sensor(machine="{bearings: {de: {designation: 6299}}}"),
            (
                "sensors[0].machine.bearings: bearing de: the designation '6299' is not known; known are 6205, 6203, "
                "UER204, ZA-2115, PRONOSTIA. Give balls, ball_diameter, pitch_diameter, contact_angle, or bpfo, bpfi, "
                "bsf, ftf"
            ),
        ),
        (
            sensor(machine="{bearings: {de: {designation: 6205, balls: 9}}}"),
            (
                "sensors[0].machine.bearings: bearing de: has a designation and balls; the designation says it all, so "
                "drop one"
            ),
        ),
        (
            sensor(machine="{speed_rpm: 100000, bearings: {de: {designation: 6205}}}"),
            (
                "sensors[0]: machine.bearings: bearing de: bpfi is 9025.37 Hz at 100000 rpm, but at 12000 Hz "
                "frequencies below 6000 Hz are measured; is it a multiple of the shaft's speed?"
            ),
        ),
        (
            sensor(machine="{speed_rpm: 6000, gears: [61]}"),
            (
                "sensors[0]: machine.gears: 61 teeth pass at 6100 Hz at 6000 rpm, but at 12000 Hz frequencies below "
                "6000 Hz are measured"
            ),
        ),
        (
            sensor(
                machine="{speed_rpm: 1480}",
                conditions="{speed_rpm: {topic: 'b/{machine}', payload: {format: number}}}",
            ),
            "sensors[0]: machine.speed_rpm: the speed is measured (conditions.speed_rpm); drop the fixed one",
        ),
        (
            sensor(machine="{zones: {b: 2.3, c: 7.1, d: 4.5}}"),
            "sensors[0].machine.zones: b (2.3), c (7.1) and d (4.5) must rise; they are in mm/s",
        ),
        (
            sensor(machine="{zones: {b: 1, c: 2, d: 3}}", sampling_rate_hz="100"),
            (
                "sensors[0]: machine.zones: velocity RMS needs frequencies up to 100 Hz at least, but the sampling "
                "rate is 100 Hz"
            ),
        ),
        (
            SENSOR + "evidence: {max_size: many}",
            "evidence.max_size: 'many' is not a size; write for example 500kB, 64MiB or 1GiB",
        ),
    ],
)
def test_one_mistake(text: str, problem: str) -> None:
    assert problems(text) == ["c.yaml: 1 problem", f"  {problem}"]


def test_all_problems_come_at_once() -> None:
    text = sensor(unit="furlong", sampling_rate_hz="0") + "http: {listen: x}\nscorin: {}\n"
    assert problems(text) == [
        "c.yaml: 4 problems",
        "  sensors[0].sampling_rate_hz: input should be greater than 0 (found 0)",
        "  sensors[0].unit: input should be 'g', 'mg' or 'm/s2' (found 'furlong')",
        "  http.listen: 'x' is not an address; write for example 127.0.0.1:9108 or [::1]:9108",
        "  scorin: unknown key; did you mean 'scoring'?",
    ]


@pytest.mark.parametrize(
    ("one", "other", "topic"),
    [
        ("a/{machine}", "a/{sensor}", "a/sensor"),
        ("plant/{machine}/acceleration", "plant/fan-1/{quantity}", "plant/fan-1/acceleration"),
        ("plant/+/x", "+/fan-1/x", "plant/fan-1/x"),
        ("+", "+", "x"),
    ],
)
def test_two_sensors_for_one_topic(one: str, other: str, topic: str) -> None:
    text = (
        "sensors:\n"
        f"- {{topic: '{one}', payload: {{format: float32}}, sampling_rate_hz: 1}}\n"
        f"- {{topic: '{other}', payload: {{format: json}}, sampling_rate_hz: 1}}\n"
    )
    (_, problem) = problems(text)
    assert problem == (
        f"  sensors[1].topic: '{other}' and '{one}' of sensors[0] both match '{topic}', "
        "whose samples would count twice; no topic may fit two sensors"
    )


def test_a_duplicate_key_is_refused_with_its_place() -> None:
    assert problems("mqtt: {}\nmqtt: {}\n") == ["c.yaml:2:1: the key 'mqtt' occurs twice"]


@pytest.mark.parametrize("text", ["sensors: [", "{", "a: b: c", "\tx: 1", "? [a]\n: b\n", "!!python/object:os {}"])
def test_what_is_no_yaml_of_ours_is_refused(text: str) -> None:
    assert problems(text)[0].startswith("c.yaml")


def test_as_json_a_file_that_is_no_yaml_is_one_problem(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("sensors: [")
    result = invoke("check-config", file, "--json")
    assert result.exit_code == 2
    (problem,) = json.loads(result.stdout)["problems"]
    assert problem.startswith(f"{file}:1:11: ")


@pytest.mark.parametrize(("text", "found"), [("hello", "a bare value"), ("- mqtt: {}", "a list")])
def test_what_has_no_sections_is_no_configuration(text: str, found: str) -> None:
    assert problems(text) == [f"c.yaml: expected sections such as 'mqtt:' and 'sensors:', found {found}"]


def test_a_merge_key_is_refused_in_words() -> None:
    text = "sensors:\n  - &one {topic: 'a/{machine}', sampling_rate_hz: 1}\n  - {<<: *one, topic: 'b/{machine}'}\n"
    assert problems(text) == ["c.yaml:3:6: the merge key '<<' is not supported; write the keys out"]


def test_a_missing_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read_config(tmp_path / "none.yaml")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not UTF-8 text at byte 0"):
        read_config(tmp_path / "c.yaml")


def test_the_example_is_valid() -> None:
    config = read_config(shipped("config/example.yaml"))
    assert config.label_names == ("machine", "sensor", "axis")
    assert config.sensors[1].factor_mps2 == pytest.approx(0.000488 * 9.80665)


def test_secrets_do_not_appear() -> None:
    text = SENSOR + "mqtt: {password: hunter2}"
    assert not any("hunter2" in line for line in problems(text))
