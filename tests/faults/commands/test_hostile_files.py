"""Files from elsewhere that would hang, crash or fill the machine end with one message, in bounded time and memory.

Each is read in a process of its own that may take little memory and time, so a library that crashes shows as a crash.
"""

import hashlib
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from monitor.recording.write import write_recording
from monitor.shipped import shipped
from tests.support.daemons import configuration
from tests.support.servers import free_port

GIB = 2**30
TIMEOUT_S = 30.0
"""Far above the second that each takes on a quiet machine; what they did before has no end."""

READ = """
import sys
from pathlib import Path
from monitor.errors import RecordingError
from monitor.recording.options import RecordingOptions
from monitor.recording.source import open_recording
options = RecordingOptions(sampling_rate_hz=1000, channel="0")
messages = []
for path in sys.argv[1:]:
    try:
        for piece in open_recording(path, options).pieces():
            pass
    except RecordingError as error:
        messages.append(str(error))
# Not getrusage: its maximum counts the process that started this one.
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = int(status["VmHWM"].split()[0]) * 1024
assert peak < 2**29, peak
print("\\n".join(messages))
sys.exit(3 if messages else 0)
"""

SWEEP = """
import sys
from pathlib import Path
from monitor.errors import RecordingError
from monitor.recording.options import RecordingOptions
from monitor.recording.source import open_recordings
options = RecordingOptions(sampling_rate_hz=1000, channel="all")
path, first, end = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
whole = path.read_bytes()
damaged = path.with_name("damaged-" + path.name)
for at in range(*slice(first, end).indices(len(whole))):
    for value in (0, 255, whole[at] ^ 1, whole[at] + 16 & 255):
        damaged.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
        try:
            for recording in open_recordings([str(damaged)], options):
                for piece in recording.pieces():
                    pass
        except RecordingError as error:
            assert len(str(error)) < 1500, error
"""


def limited(*command: str | Path, timeout_s: float = TIMEOUT_S) -> "subprocess.CompletedProcess[str]":
    """Run Python with arguments, within 3 GiB of addresses and ``timeout_s``."""

    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (3 * GIB, 3 * GIB))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    command = (sys.executable, *command)
    with subprocess.Popen(
        [str(part) for part in command],
        preexec_fn=limits,  # noqa: PLW1509 - no thread runs here
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            out, complaints = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)  # its workers too
            raise
    return subprocess.CompletedProcess(command, child.returncode, out, complaints)


def nested_tuple(levels: int) -> bytes:
    """A tuple that holds the one before it twice, ``levels`` times: four bytes double it."""
    return b")" + b"".join(b"\x94h" + bytes([level]) + b"\x86" for level in range(levels))


def pickle_of_names(path: Path) -> None:
    path.write_bytes(b"\x80\x04" + nested_tuple(60) + b"h\x00\x93.")


def pickle_of_shape(path: Path) -> None:
    kind = b"cnumpy\ndtype\n(\x8c\x02f4tR"
    path.write_bytes(
        b"\x80\x04cnumpy._core.numeric\n_frombuffer\n(C\x04abcd" + kind + nested_tuple(60) + b"\x8c\x01CtR."
    )


def pickle_of_instructions(path: Path) -> None:
    path.write_bytes(b"\x80\x04" + bytes(range(0x88, 0x8A)) * 2**24)


def npy_of_shape(path: Path) -> None:
    with path.open("wb") as file:
        header = {"descr": "<f8", "fortran_order": True, "shape": (2**40, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(1000))


def npy_of_parentheses(path: Path) -> None:
    header = b"(" * 9000 + b")" * 9000 + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)


def wav_of_channels(path: Path) -> None:
    rate, channels = 1000, 1024
    form = struct.pack("<HHIIHH", 3, channels, rate, rate * channels * 8, channels * 8, 64)
    path.write_bytes(
        b"RIFF\xf0\xff\xff\xffWAVEfmt " + struct.pack("<I", len(form)) + form + b"data\xf0\xff\xff\xff" + bytes(8192)
    )


def csv_of_one_line(path: Path) -> None:
    path.write_bytes(b"0.1," * 2**22)


def h5_of_fact(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["acceleration"] = np.zeros(1000, np.float32)
        file.create_dataset("start_s", (2**22,), "S65000", chunks=(16,), compression="gzip")[:10] = b"a"


def h5_of_groups(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file
        for _ in range(6_000):
            group = group.create_group("g")


def h5_of_texts(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["acceleration"] = np.zeros(1000, np.float32)
        file["acceleration"].attrs["unit"] = "g"
    whole = path.read_bytes()
    at = whole.index(b"GCOL") + 16
    path.write_bytes(whole[:at] + bytes(16) + whole[at + 16 :])


def mat_of_types(path: Path) -> None:
    savemat(path, {"acceleration": np.ones((300, 2), np.float32)})
    whole = path.read_bytes()
    at = whole.index(b"acceleration") + 12
    path.write_bytes(whole[: at + 4] + bytes(8) + whole[at + 12 :])


def mat_of_size(path: Path) -> None:
    savemat(path, {"acceleration": np.ones((300, 2), np.float32)}, do_compression=True)
    savemat(path.with_suffix(".4"), {"acceleration": np.ones((300, 2))}, format="4")
    whole = path.with_suffix(".4").read_bytes()
    path.write_bytes(whole[:4] + struct.pack("<ii", 2**31 - 1, 2**31 - 1) + whole[12:])


@pytest.mark.parametrize(
    ("name", "write", "found"),
    [
        ("names.pkl", pickle_of_names, "asks for a function without naming it"),
        ("shape.pkl", pickle_of_shape, "has a shape that is not a tuple of whole numbers"),
        ("long.pkl", pickle_of_instructions, "has more than 1000 instructions"),
        ("shape.npy", npy_of_shape, "the file is damaged or was cut short"),
        ("parentheses.npy", npy_of_parentheses, "cannot be read"),
        ("channels.wav", wav_of_channels, "it was cut short"),
        ("line.csv", csv_of_one_line, "a line is longer than"),
        ("fact.h5", h5_of_fact, "not read as metadata"),
        ("groups.h5", h5_of_groups, "holds over 32 groups in one another"),
        ("texts.h5", h5_of_texts, "its strings are damaged"),
        ("types.mat", mat_of_types, "cannot be read"),
        ("size.mat", mat_of_size, "bytes are missing at its end"),
    ],
)
def test_a_hostile_recording_ends_with_one_message(
    tmp_path: Path, name: str, write: Callable[[Path], None], found: str
) -> None:
    write(tmp_path / name)
    result = limited("-c", READ, tmp_path / name)
    assert result.returncode == 3, result.stderr
    assert found in result.stdout
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("suffix", "first", "end"), [(".mat", 120, 320), (".parquet", -600, -480), (".pkl", 0, 160), (".wav", 0, 60)]
)
def test_no_single_damaged_byte_ends_the_process(tmp_path: Path, suffix: str, first: int, end: int) -> None:
    path = tmp_path / f"recording{suffix}"
    samples = np.random.default_rng(1).normal(size=40).astype(np.float32)
    if suffix == ".pkl":
        samples.dump(path)
    else:
        write_recording(path, samples, 1000, "g")
    result = limited("-c", SWEEP, path, str(first), str(end))
    assert result.returncode == 0, result.stderr


def endless(folder: Path, kind: str) -> Path:
    """A model whose graph is as that of the demo, but has a loop that does not end, or data in another file."""
    import onnx
    from onnx import TensorProto, helper

    path = folder / "model"
    shutil.copytree(shipped("models/demo"), path)
    graph = onnx.load(path / "model.onnx")
    if kind == "loop":
        number = helper.make_tensor_value_info("number", TensorProto.INT64, [])
        conditions = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("condition", "again")]
        states = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("before", "after")]
        body = helper.make_graph(
            [
                helper.make_node("Identity", ["condition"], ["again"]),
                helper.make_node("Identity", ["before"], ["after"]),
            ],
            "body",
            [number, conditions[0], states[0]],
            [conditions[1], states[1]],
        )
        graph.graph.node[0].input[0] = "looped"
        graph.graph.initializer.append(helper.make_tensor("true", TensorProto.BOOL, [], [True]))
        graph.graph.initializer.append(helper.make_tensor("most", TensorProto.INT64, [], [2**62]))
        graph.graph.node.insert(0, helper.make_node("Loop", ["most", "true", "state"], ["looped"], body=body))
    else:
        [tensor] = [one for one in graph.graph.initializer if one.name == "dense"]
        onnx.external_data_helper.set_external_data(tensor, "/dev/zero")
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
    (path / "model.onnx").write_bytes(graph.SerializeToString())
    manifest = json.loads((path / "manifest.json").read_text())
    data = (path / "model.onnx").read_bytes()
    manifest["files"]["model.onnx"] = {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


@pytest.mark.parametrize(
    ("kind", "found"), [("loop", "it has 15 operators"), ("external", "field [13] beside dims, data_type")]
)
def test_a_hostile_graph_is_refused_before_it_runs(tmp_path: Path, kind: str, found: str) -> None:
    model = endless(tmp_path, kind)
    result = limited("-m", "monitor", "models", "verify", model)
    assert result.returncode == 3, result.stderr
    assert found in result.stderr
    assert "Traceback" not in result.stderr


def test_the_daemon_refuses_a_hostile_graph(tmp_path: Path) -> None:
    model = endless(tmp_path, "loop")
    config = tmp_path / "config.yaml"
    config.write_text(configuration(free_port(), free_port(), f"models: {{default: {model}}}\n"))
    result = limited("-m", "monitor", "run", "--config", config)
    assert result.returncode == 3, result.stderr
    assert "it has 15 operators" in result.stderr
