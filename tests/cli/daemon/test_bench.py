"""``bench``: small loads, the same paths."""

from pathlib import Path

import pytest

from monitor.bench import alone
from monitor.bench.end_to_end import run_end_to_end
from monitor.bench.load import Load
from monitor.config.kafka import Kafka
from monitor.config.mqtt import Mqtt
from monitor.model.artefact.artefact import load_artefact
from monitor.shipped import shipped
from tests.support.authority import Authority
from tests.support.closed_broker import PASSWORD, closed_broker
from tests.support.commands import document, refusal
from tests.support.kafka.broker import kafka
from tests.support.servers import mosquitto


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone, "MEASURE_S", 0.1)


@pytest.mark.usefixtures("quick")
def test_the_document_has_every_stage() -> None:
    found = document("bench", "--sampling-rate-hz", "12800", "--sampling-rate-hz", "25600", "--workers", "2")
    stages = {(r["stage"], r["engine"], r["mode"], r["batch"]) for r in found["results"]}
    engine = {("engine", "onnxruntime", mode, batch) for mode in ("carried", "windowed") for batch in (1, 64, 1024)}
    pipeline = {("pipeline", "onnxruntime", "carried", batch) for batch in (64, 1024)}
    assert stages - {("keras_predict", "keras", "windowed", batch) for batch in (1, 64)} == engine | pipeline
    for result in found["results"]:
        assert result["blocks_per_s"] > 0
        assert 0 < result["latency_s_p50"] <= result["latency_s_p99"]
    channels = found["channels_in_real_time"]
    fastest = max(r["blocks_per_s"] for r in found["results"] if r["stage"] == "pipeline")
    assert channels == {"12800": int(fastest * 100 / 12800), "25600": int(fastest * 100 / 25600)}
    assert found["resident_memory_bytes"] > 10e6
    assert 0.1 < found["start_to_ready_s"] < 30


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("calibrations", [0, 3])
def test_ring_to_score_is_measured_by_workers(calibrations: int) -> None:
    artefact = load_artefact(shipped("models/demo"))
    result = alone.bench_pipeline(artefact, "onnxruntime", 7, 2, calibrations)
    assert (result.stage, result.batch) == ("pipeline", 7)
    assert result.blocks_per_s > 100


@pytest.mark.system
@pytest.mark.parametrize("calibrated", [False, True])
def test_a_small_load_is_scored_completely(tmp_path: Path, *, calibrated: bool) -> None:
    load = Load(20, 12800.0, 1000, 3.0)
    with mosquitto(tmp_path) as port:
        result = run_end_to_end(Mqtt(url=f"mqtt://127.0.0.1:{port}"), load, workers=2, calibrated=calibrated)
    assert result.channels_with_score == (20 if calibrated else 0)
    assert result.sent.samples == result.samples_received == 20 * 38 * 1000
    assert result.blocks_received == 20 * 380
    assert result.blocks_skipped == {"warm_up": 20 * 25}
    assert result.blocks_scored == 20 * (380 - 25)
    assert (result.coverage_min, result.coverage_max) == (1.0, 1.0)
    assert result.messages_rejected == {}
    assert 0 < result.latency_s_p50 <= result.latency_s_p99
    assert min(result.resident_memory_bytes) > 50e6
    assert set(result.cpu_s) == {"generator", "daemon", "workers"}
    assert min(result.cpu_s.values()) >= 0
    assert len(result.scrape_s) == len(result.overload) > 0
    assert {blocks for _, blocks in result.overload} == {0}


@pytest.mark.system
def test_a_broker_that_asks_for_everything_takes_a_load(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "plant")
    (tmp_path / "password").write_text(PASSWORD)
    cert, key = authority.sign("monitor")
    tls = {"ca_file": authority.certificate, "cert_file": cert, "key_file": key}
    with closed_broker(tmp_path, authority) as port:
        keys = {"url": f"mqtts://127.0.0.1:{port}", "user": "monitor", "password_file": tmp_path / "password"}
        result = run_end_to_end(Mqtt.model_validate({**keys, "tls": tls}), Load(2, 12800.0, 1000, 1.0), workers=1)
    assert result.samples_received == result.sent.samples > 0


@pytest.mark.system
def test_a_load_over_kafka_is_scored_completely_and_leaves_nothing_behind(tmp_path: Path) -> None:
    load = Load(20, 12800.0, 1000, 3.0)
    with kafka(tmp_path) as broker:
        result = run_end_to_end(Kafka(bootstrap=broker.bootstrap), load, workers=2, calibrated=True)
        assert result.channels_with_score == 20
        assert result.sent.samples == result.samples_received == 20 * 38 * 1000
        assert result.blocks_skipped == {"warm_up": 20 * 25}
        assert result.blocks_scored == 20 * (380 - 25)
        assert result.messages_rejected == {}
        assert min(result.cpu_s.values()) > 0
        assert result.cpu_ms_per_million > 0
        assert 0 < result.scored_per_s < 1.1 * 20 * 12800
        left = broker.topics()
    assert [topic for topic in left if "bench" in topic] == []


def test_the_broker_is_named_once_and_rightly() -> None:
    assert str(refusal("bench", "--mqtt", "kafka://a:9092")) == (
        "--mqtt: 'kafka://a:9092' is the address of a Kafka cluster; write --kafka kafka://a:9092"
    )
    assert str(refusal("bench", "--kafka", "mqtt://a")) == (
        "--kafka: 'mqtt://a' is no Kafka cluster; write kafka://host:9092"
    )
    assert str(refusal("bench", "--kafka", "kafka://a", "--mqtt", "mqtt://a")) == (
        "--mqtt and --kafka are both given; measure one after the other"
    )
