"""``record`` against a real mosquitto: what was published is what is written, and what cannot be right is told."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from monitor.cli.main import group
from monitor.errors import ConfigurationError, MonitorError, RecordingError
from monitor.recording.conditions import read_conditions
from monitor.recording.described import open_described
from monitor.recording.options import RecordingOptions
from monitor.recording.source import open_recording
from monitor.recording.write import write_recording
from tests.support.servers import free_port, mosquitto, process, publish

pytestmark = pytest.mark.system

MONITOR = (sys.executable, "-m", "monitor")
RATE_HZ = 1000


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with mosquitto(tmp_path_factory.mktemp("broker")) as port:
        yield port


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of the numbers from 0, 20 s at 1 kHz."""
    file = tmp_path_factory.mktemp("sent") / "counting.npz"
    write_recording(file, np.arange(20 * RATE_HZ, dtype=np.float32), RATE_HZ, "mg")
    return file


@pytest.fixture(scope="module")
def feed(broker: int, counting: Path) -> Iterator[None]:
    """Two channels of one machine, sent in real time for ever."""
    url = f"mqtt://127.0.0.1:{broker}"
    with (
        process(*MONITOR, "replay", counting, "--topic", "plant/fan-1/x", "--loop", "--url", url),
        process(*MONITOR, "replay", counting, "--topic", "plant/fan-1/y", "--loop", "--url", url),
    ):
        yield


def configuration(folder: Path, port: int, **sensor: object) -> Path:
    file = folder / "config.yaml"
    sensors = [
        {"topic": "plant/{machine}/{axis}", "payload": {"format": "float32"}, "sampling_rate_hz": RATE_HZ, "unit": "mg"}
        | sensor
    ]
    file.write_text(json.dumps({"mqtt": {"url": f"mqtt://127.0.0.1:{port}"}, "sensors": sensors}))
    return file


def record(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*MONITOR, "record", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=100
    )


def refused(*arguments: str | Path) -> str:
    """The error of a recording that must not even look for a broker."""
    error = CliRunner().invoke(group, ["record", *map(str, arguments), "--url", "mqtt://127.0.0.1:9"]).exception
    assert isinstance(error, ConfigurationError), repr(error)
    return str(error)


def stated(port: int, *, rate_hz: int = RATE_HZ, topic: str = "plant/fan-1/x") -> tuple[str, ...]:
    url = f"mqtt://127.0.0.1:{port}"
    return ("--topic", topic, "--sampling-rate-hz", str(rate_hz), "--unit", "mg", "--url", url)


def is_part_of_the_feed(file: Path) -> bool:
    (samples,) = open_recording(str(file), RecordingOptions(sampling_rate_hz=RATE_HZ)).load(own_unit=True)
    return bool((np.diff(samples) % (20 * RATE_HZ) == 1).all())


@pytest.mark.usefixtures("feed")
def test_every_channel_of_a_configuration_goes_to_one_folder(tmp_path: Path, broker: int) -> None:
    config = configuration(tmp_path, broker, expect=[{"machine": "fan-2", "axis": "x"}])
    began_s = time.time()
    done = record("--config", config, "--out", tmp_path / "healthy", "--duration", "3s", "--json")
    assert done.returncode == 0, done.stderr
    assert "warning: plant/fan-2/x: the configuration expects it, but it sent nothing\n" in done.stderr
    assert "RMS" not in done.stderr
    found = json.loads(done.stdout)
    files = [tmp_path / "healthy" / f"fan-1-{axis}.npz" for axis in "xy"]
    assert sorted(tmp_path.glob("healthy/*")) == files
    assert sorted(channel["name"] for channel in found["channels"]) == ["fan-1-x", "fan-1-y"]
    assert all(channel["complete"] and channel["samples"] == 3 * RATE_HZ for channel in found["channels"])
    for file in files:
        assert is_part_of_the_feed(file)
        recording = open_recording(str(file))
        assert (recording.sampling_rate_hz, recording.unit) == (RATE_HZ, "mg")
        with np.load(file) as stored:
            assert began_s - 1 < stored["recorded_at_s"] < time.time()
            assert stored["measured_rate_hz"] == pytest.approx(RATE_HZ, rel=0.1)
    again = record("--config", config, "--out", tmp_path / "healthy", "--duration", "1s")
    assert again.returncode == 2
    assert "holds 2 recordings, such as fan-1-x.npz; give another folder, or --force" in again.stderr


@pytest.mark.usefixtures("feed")
def test_a_topic_chooses_among_the_channels_of_a_configuration(tmp_path: Path, broker: int) -> None:
    config = configuration(tmp_path, broker)
    out = tmp_path / "y.h5"
    done = record("--config", config, "--topic", "plant/fan-1/y", "--out", out, "--duration", "1s")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}: 1,000 samples, 1 s at 1000 Hz, mg\n1 channel, 0 messages rejected\n"
    assert is_part_of_the_feed(out)


@pytest.mark.usefixtures("feed")
def test_ctrl_c_keeps_what_came(tmp_path: Path, broker: int) -> None:
    out = tmp_path / "fan.npz"
    with process(
        *MONITOR, "record", *stated(broker), "--out", out, "--duration", "1h", stderr=subprocess.PIPE
    ) as child:
        assert child.stderr is not None
        assert "1 channel, 0 messages rejected" in child.stderr.readline()
        time.sleep(1.5)
        child.send_signal(signal.SIGINT)
        _, told = child.communicate(timeout=30)
    assert child.returncode == 0, told
    assert "not complete" in told
    assert is_part_of_the_feed(out)
    assert [file.name for file in tmp_path.iterdir()] == ["fan.npz"]


@pytest.mark.usefixtures("feed")
def test_a_wrong_rate_is_told_and_the_file_is_not_used_without_a_word(tmp_path: Path, broker: int) -> None:
    out = tmp_path / "fan.csv"
    done = record(*stated(broker, rate_hz=2000), "--unit", "g", "--out", out, "--duration", "2s")
    assert done.returncode == 0
    assert "m/s^2 RMS, more than any sensor gives; check format, unit and scale" in done.stderr
    assert "samples a second arrive, but 2000 Hz is stated; correct it and record again" in done.stderr
    with pytest.raises(RecordingError, match=r"the file says 2000 Hz, but .* samples a second came"):
        open_recording(str(out))
    for told_hz in (1000, 2000):
        assert open_recording(str(out), RecordingOptions(sampling_rate_hz=told_hz)).sampling_rate_hz == told_hz
    with pytest.raises(RecordingError, match="the file says 2000 Hz but --sampling-rate-hz says 12000"):
        open_recording(str(out), RecordingOptions(sampling_rate_hz=12000))


@pytest.mark.usefixtures("feed")
def test_a_wrong_format_is_told_at_once(tmp_path: Path, broker: int) -> None:
    began_s = time.monotonic()
    done = record(*stated(broker), "--out", tmp_path / "fan.npz", "--duration", "1h", "--format", "json")
    assert done.returncode == 2
    assert "warning: message rejected: topic='plant/fan-1/x' undecodable: not a json document" in done.stderr
    assert "none of the first 1" in done.stderr.splitlines()[-1]
    assert time.monotonic() - began_s < 25
    assert not list(tmp_path.iterdir())


def test_documents_in_the_place_of_packed_samples(tmp_path: Path, broker: int) -> None:
    with process(
        *MONITOR, "record", *stated(broker, topic="words"), "--out", tmp_path / "a.npz", "--duration", "1s",
        stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        text = json.dumps({"samples": [0.25] * 250})
        while child.poll() is None:
            publish(broker, [("words", text + " " * (-len(text) % 4))], pause_s=0.1)
        told = child.stderr.read() if child.stderr else ""
    assert "warning: words: the messages look like JSON, not like packed samples; say --format json" in told
    assert "none of the first 1" in told


def test_missing_samples_begin_a_further_file(tmp_path: Path, broker: int) -> None:
    out = tmp_path / "fan.npz"
    with process(
        *MONITOR, "record", *stated(broker, topic="numbered"), "--out", out, "--duration", "4s", "--format", "json",
        "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        seq = 0
        while child.poll() is None:
            samples = list(range(seq * 100, (seq + 1) * 100))
            if seq % 15 != 10:  # pieces of more than a second, wherever the recording begins
                publish(broker, [("numbered", json.dumps({"samples": samples, "seq": seq}))])
            seq += 1
            time.sleep(0.05)
        stdout, stderr = child.communicate()
    assert child.returncode == 0, stderr
    (channel,) = json.loads(stdout)["channels"]
    assert channel["complete"]
    assert len(channel["files"]) >= 2
    assert channel["files"][:2] == [str(out), str(tmp_path / "fan-2.npz")]
    known = RecordingOptions(sampling_rate_hz=RATE_HZ)
    parts = [open_recording(file, known).load(own_unit=True)[0] for file in channel["files"]]
    assert all((np.diff(part) == 1).all() for part in parts)
    assert parts[1][0] - parts[0][-1] == 101


def test_a_broker_that_restarts_costs_the_samples_of_that_time(tmp_path: Path, counting: Path) -> None:
    port, out = free_port(), tmp_path / "fan.npz"
    url = f"mqtt://127.0.0.1:{port}"
    replay = (*MONITOR, "replay", counting, "--topic", "plant/fan-1/x", "--url", url)
    with mosquitto(tmp_path, port), process(*replay):
        recorder = subprocess.Popen(
            [*MONITOR, "record", *stated(port), "--out", str(out), "--duration", "5s"],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert recorder.stderr is not None
        assert "1 channel" in recorder.stderr.readline()
        time.sleep(1.5)
    with mosquitto(tmp_path, port), process(*replay):
        _, told = recorder.communicate(timeout=60)
    assert recorder.returncode == 0, told
    assert f"the broker at 127.0.0.1:{port} failed" in told
    assert (tmp_path / "fan-2.npz").exists()
    assert is_part_of_the_feed(out)


def test_everything_is_checked_before_anything_is_recorded(tmp_path: Path) -> None:
    config = configuration(tmp_path, 9)
    (tmp_path / "there.npz").write_bytes(b"precious")
    few = ("--duration", "1s")
    whole = (*few, "--topic", "a/b", "--sampling-rate-hz", "1000", "--unit", "g")
    assert "--config FILE, or --topic TOPIC" in refused(*few, "--out", tmp_path / "a.npz")
    assert "add --sampling-rate-hz and --unit" in refused(*few, "--topic", "a", "--out", tmp_path / "a.npz")
    assert "add --unit, or" in refused(*few, "--topic", "a", "--sampling-rate-hz", "9", "--out", tmp_path / "a.npz")
    assert "recordings are written as .npz" in refused(*whole, "--out", tmp_path / "a.txt")
    assert "there is no folder" in refused(*whole, "--out", tmp_path / "none" / "a.npz")
    assert "--out" in (error := refused(*whole, "--out", tmp_path / "there.npz"))
    assert error.endswith("exists; give another name, or --force to replace it")
    assert "'#' is not supported" in refused(*few, "--topic", "a/#", "--out", tmp_path / "a")
    assert "one file, for one topic" in refused(*few, "--config", config, "--out", tmp_path / "a.npz")
    wrong = refused(
        *few, "--config", config, "--topic", "plant/+/x", "--unit", "m/s2", "--sampling-rate-hz", "12000",
        "--out", tmp_path / "a",
    )  # fmt: skip
    assert wrong.splitlines() == [
        f"--sampling-rate-hz 12000: sensors[0] says 1000 in {config}; leave the option out, or correct the file",
        f"--unit m/s2: sensors[0] says mg in {config}; leave the option out, or correct the file",
    ]
    assert "no sensor of" in refused(*few, "--config", config, "--topic", "else/where", "--out", tmp_path / "a.npz")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.yaml", "there.npz"]


def test_no_broker_is_a_clear_error(tmp_path: Path) -> None:
    whole = ("--topic", "a", "--sampling-rate-hz", "1000", "--unit", "g", "--duration", "1s")
    error = (
        CliRunner()
        .invoke(group, ["record", *whole, "--out", str(tmp_path / "new"), "--url", "mqtt://127.0.0.1:9"])
        .exception
    )
    assert isinstance(error, MonitorError)
    assert error.exit_code == 4
    assert str(error).startswith("record: the broker at 127.0.0.1:9 failed")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("feed")
@pytest.mark.parametrize("name", ["fan-1-x.npz", "fan-1-x.h5"])
def test_measured_quantities_are_kept_beside_the_samples(tmp_path: Path, broker: int, name: str) -> None:
    conditions = {
        "speed_rpm": {"topic": "plant/{machine}/speed", "payload": {"format": "number"}, "max_age": "1h"},
        "load": {"topic": "plant/{machine}/load", "payload": {"format": "number"}, "max_age": "1h"},
        "oil_c": {"topic": "plant/{machine}/oil", "payload": {"format": "number"}},
    }
    config = configuration(tmp_path, broker, topic="plant/{machine}/x", labels={"axis": "x"}, conditions=conditions)
    publish(broker, [("plant/fan-1/speed", "1200"), ("plant/fan-1/load", "0.5")], retain=True)
    out = tmp_path / name
    command = ("record", "--config", config, "--topic", "plant/fan-1/x", "--out", out, "--duration", "4s")
    with process(*MONITOR, *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as recorder:
        assert recorder.stderr is not None
        assert "0 s of 4 s: 1 channel" in recorder.stderr.readline()
        publish(broker, [("plant/fan-1/speed", "1300"), ("plant/fan-1/load", "0.5"), ("plant/fan-2/speed", "9")])
        told, errors = recorder.communicate(timeout=60)
    assert recorder.returncode == 0, errors
    assert "speed_rpm 1200 to 1300, load 0.5 to 0.5" in told
    assert "oil_c" not in told
    assert is_part_of_the_feed(out)
    described = open_described([f"{out}?speed_rpm&load"], RecordingOptions())
    (found,) = read_conditions(described, 100)
    changing, constant = found.quantities["speed_rpm"], found.quantities["load"]
    assert isinstance(changing, list)
    assert isinstance(constant, list)
    (speed,) = changing
    assert np.unique(np.concatenate(constant)).tolist() == [0.5]
    if name.endswith(".npz"):
        with np.load(out) as stored:
            assert (stored["load"].shape, stored["speed_rpm"].shape) == ((), (4 * RATE_HZ,))
    assert speed[0] == 1200
    assert speed[-1] == 1300
    assert (np.diff(speed) >= 0).all()
    assert speed.size == 4 * RATE_HZ // 100


@pytest.mark.usefixtures("feed")
def test_a_format_without_a_place_for_quantities_says_so_first(tmp_path: Path, broker: int) -> None:
    condition = {"topic": "speeds/{machine}", "payload": {"format": "number"}}
    config = configuration(tmp_path, broker, conditions={"speed_rpm": condition})
    topic = ("--config", config, "--topic", "plant/fan-1/x", "--duration", "1s")
    done = record(*topic, "--out", tmp_path / "x.wav")
    assert "warning: .wav files have no place for speed_rpm; to keep them, write .npz or .h5\n" in done.stderr
    config = configuration(tmp_path, broker, conditions={"unit": condition})
    assert "sensors[0].conditions.unit in" in refused(*topic, "--out", tmp_path / "x.npz")
