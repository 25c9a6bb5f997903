"""A model directory with any defect is rejected with a specific message, and nothing in it is executed."""

import hashlib
import io
import json
import os
import pickle
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from monitor.cli.main import group
from monitor.errors import ArtefactError
from monitor.model.artefact.artefact import MANIFEST, MAX_MANIFEST_BYTES, load_artefact, save_artefact
from monitor.model.artefact.onnx_graph import onnx_bytes
from monitor.model.engines.engines import load_engine
from monitor.model.network import Shape
from tests.support.networks.tiny_model import TINY, tiny_weights

# Keras converts its variables in a way that is deprecated in NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def model(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "model"))


def rehash(model: Path, **changes: Any) -> None:
    """Update the hashes in the manifest, as an attacker who can write to the directory would."""
    manifest = json.loads((model / MANIFEST).read_text())
    for name in manifest["files"]:
        data = (model / name).read_bytes()
        manifest["files"][name] = {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (model / MANIFEST).write_text(json.dumps(manifest | changes))


def verify(model: Path) -> None:
    """Load and check a model, as ``models verify`` and the daemon do."""
    artefact = load_artefact(model)
    load_engine(artefact, "onnxruntime")
    artefact.check_golden(load_engine(artefact, "tensorflow"))


def refused(model: Path, message: str) -> None:
    tracemalloc.start()
    with pytest.raises(ArtefactError, match=message) as caught:
        verify(model)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 32 << 20
    assert caught.value.exit_code == 3
    assert str(model) in str(caught.value)


class Bomb:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, (f"touch {self.trace}",)


def keras_parts(model: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(model / "model.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_parts(model: Path, parts: dict[str, bytes]) -> None:
    with zipfile.ZipFile(model / "model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    rehash(model)


def change_weights(model: Path, change: Callable[[h5py.File], None]) -> None:
    parts = keras_parts(model)
    stored = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(stored, "r+") as h5:
        change(h5)
    write_parts(model, parts | {"model.weights.h5": stored.getvalue()})


def test_a_sound_model_is_taken(model: Path) -> None:
    verify(model)
    assert load_artefact(model).manifest.parameters == TINY.parameters


@pytest.mark.parametrize("name", ["model.keras", "model.onnx", "golden.npz", "README.md"])
def test_a_flipped_byte(model: Path, name: str) -> None:
    data = bytearray((model / name).read_bytes())
    data[len(data) // 2] ^= 1
    (model / name).write_bytes(data)
    refused(model, rf"{name}: its SHA-256 differs from the manifest's")


@pytest.mark.parametrize("name", ["model.keras", "model.onnx", "golden.npz", "README.md"])
def test_a_truncated_file(model: Path, name: str) -> None:
    data = (model / name).read_bytes()
    (model / name).write_bytes(data[:-7])
    refused(model, rf"{name}: has {len(data) - 7} bytes, the manifest says {len(data)}")


def test_a_file_that_grew(model: Path) -> None:
    with (model / "model.onnx").open("ab") as file:
        file.truncate(1 << 34)
    refused(model, r"model\.onnx: has 17179869184 bytes, at most")


def test_a_missing_file(model: Path) -> None:
    (model / "golden.npz").unlink()
    refused(model, r"cannot read .*golden\.npz: No such file")


def test_a_pipe_in_place_of_a_file(model: Path) -> None:
    (model / "golden.npz").unlink()
    os.mkfifo(model / "golden.npz")
    refused(model, r"golden\.npz: is not a regular file")


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"there is no such directory"):
        load_artefact(tmp_path / "none")


def test_a_manifest_that_lists_another_file(model: Path) -> None:
    (model / "extra.py").write_text("raise SystemExit(1)")
    manifest = json.loads((model / MANIFEST).read_text())
    manifest["files"]["extra.py"] = manifest["files"]["README.md"]
    (model / MANIFEST).write_text(json.dumps(manifest))
    refused(model, r"lists README\.md, extra\.py.*must list exactly")


def test_a_file_beside_the_model_is_never_read(model: Path) -> None:
    (model / "conftest.py").mkdir()
    (model / "model.pkl").write_bytes(pickle.dumps(Bomb(model / "trace")))
    verify(model)
    assert not (model / "trace").exists()


def test_an_oversize_manifest(model: Path) -> None:
    (model / MANIFEST).write_bytes(b" " * (MAX_MANIFEST_BYTES + 1))
    refused(model, r"manifest\.json: has 1048577 bytes, at most 1048576")


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\0", '{"format": "other"}'])
def test_a_manifest_that_is_none(model: Path, text: str) -> None:
    (model / MANIFEST).write_text(text)
    refused(model, r"manifest\.json: .*train the model again")


def test_a_manifest_of_a_later_version(model: Path) -> None:
    rehash(model, format_version=2)
    refused(model, r"manifest\.json: format_version: ")


def test_a_manifest_with_a_key_too_many(model: Path) -> None:
    rehash(model, custom_objects={"Lambda": "os.system"})
    refused(model, r"manifest\.json: custom_objects: ")


def test_a_manifest_with_a_wrong_number_of_parameters(model: Path) -> None:
    rehash(model, parameters=1)
    refused(model, rf"says 1 parameters, its shape has {TINY.parameters}")


@pytest.mark.parametrize(
    "changes",
    [{"block_samples": 16}, {"units": [5, 6]}, {"hidden": 5}, {"window_blocks": 5}],
    ids=str,
)
def test_a_manifest_of_another_shape(model: Path, changes: dict[str, Any]) -> None:
    shape = Shape.model_validate(TINY.model_dump() | changes)
    rehash(model, shape=shape.model_dump(mode="json"), parameters=shape.parameters)
    refused(model, r"the manifest's? (shape )?(asks|needs)")


@pytest.mark.parametrize("units", [0, -1, 1 << 40])
def test_a_manifest_of_an_impossible_shape(model: Path, units: int) -> None:
    rehash(model, shape=TINY.model_dump(mode="json") | {"units": [units, 5]})
    refused(model, r"manifest\.json: shape\.units\.0: ")


def test_a_swapped_keras_file(model: Path, other: Path) -> None:
    shutil.copy(other / "model.keras", model / "model.keras")
    refused(model, r"model\.keras: its SHA-256 differs from the manifest's|model\.keras: has")
    rehash(model)
    refused(model, r"tensorflow deviates by .* from the golden vectors")


def test_a_swapped_graph(model: Path, other: Path) -> None:
    shutil.copy(other / "model.onnx", model / "model.onnx")
    rehash(model)
    refused(model, r"onnxruntime deviates by .* from the golden vectors")


def test_a_graph_that_is_none(model: Path) -> None:
    (model / "model.onnx").write_bytes(b"\x08\x08 no graph")
    rehash(model)
    refused(model, r"the graph is not what the manifest.s shape asks for: it is")


def test_a_model_too_large_to_check(model: Path) -> None:
    shape = Shape(block_samples=4096, window_blocks=4, units=(4096, 4096), hidden=4)
    rehash(model, shape=shape.model_dump(), parameters=shape.parameters)
    refused(model, "does not fit a file of at most")


def test_a_lambda_layer(model: Path) -> None:
    parts = keras_parts(model)
    config = json.loads(parts["config.json"])
    layer = config["config"]["layers"][-1]
    layer["class_name"] = "Lambda"
    layer["config"] |= {"function": {"class_name": "__lambda__", "config": {"code": "AAAA"}}}
    write_parts(model, parts | {"config.json": json.dumps(config).encode()})
    refused(model, r"its layers are .*Lambda dense_2; only .* are used")


def test_one_layer_more(model: Path) -> None:
    parts = keras_parts(model)
    config = json.loads(parts["config.json"])
    config["config"]["layers"].append({"class_name": "Evil>Layer", "config": {"name": "evil"}})
    write_parts(model, parts | {"config.json": json.dumps(config).encode()})
    refused(model, r"its layers are .*Evil>Layer evil; only")


def test_a_pickle_in_place_of_the_keras_file(model: Path) -> None:
    (model / "model.keras").write_bytes(pickle.dumps(Bomb(model / "trace")))
    rehash(model)
    refused(model, r"model\.keras: is not a Keras archive")
    assert not (model / "trace").exists()


def test_a_pickle_in_place_of_the_golden_vectors(model: Path) -> None:
    (model / "golden.npz").write_bytes(pickle.dumps(Bomb(model / "trace")))
    rehash(model)
    refused(model, r"golden\.npz: is not an archive of two plain arrays")
    assert not (model / "trace").exists()


def test_golden_vectors_of_objects(model: Path) -> None:
    array = np.array([Bomb(model / "trace")], dtype=object)
    np.savez(model / "golden.npz", windows=array, forecasts=array)
    rehash(model)
    refused(model, r"golden\.npz: 'windows' is object")
    assert not (model / "trace").exists()


@pytest.mark.parametrize(
    ("windows", "forecasts", "message"),
    [
        (np.zeros((2, 4, 8), np.float64), np.zeros((2, 8), np.float32), r"'windows' is float64"),
        (np.zeros((2, 4, 8), np.float32), np.zeros((3, 8), np.float32), r"2 windows but 3 forecasts"),
        (np.full((2, 4, 8), np.nan, np.float32), np.zeros((2, 8), np.float32), r"'windows' holds NaN"),
        (np.zeros((0, 4, 8), np.float32), np.zeros((0, 8), np.float32), r"'windows' is float32 \(0, 4, 8\)"),
    ],
)
def test_golden_vectors_of_another_kind(model: Path, windows: Any, forecasts: Any, message: str) -> None:
    np.savez(model / "golden.npz", windows=windows, forecasts=forecasts)
    rehash(model)
    refused(model, message)


def test_a_header_that_promises_more_than_is_there(model: Path) -> None:
    with zipfile.ZipFile(model / "golden.npz", "w") as archive:
        for name in ("windows", "forecasts"):
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 4, 8)}
            )
            archive.writestr(f"{name}.npy", header.getvalue())
    rehash(model)
    refused(model, r"'windows' is float32 \(1099511627776, 4, 8\)")


def test_a_zip_bomb_of_golden_vectors(model: Path) -> None:
    with zipfile.ZipFile(model / "golden.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("windows.npy", bytes(300 << 20))
    rehash(model)
    refused(model, r"'windows' unpacks to 314572800 bytes")


@pytest.mark.parametrize("part", ["config.json", "model.weights.h5"])
def test_a_zip_bomb_of_keras(model: Path, part: str) -> None:
    write_parts(model, keras_parts(model) | {part: bytes(300 << 20)})
    refused(model, rf"{part} unpacks to 314572800 bytes")


def test_a_chunked_dataset_that_would_unpack_to_much(model: Path) -> None:
    def change(h5: h5py.File) -> None:
        place = h5["layers/dense_1/vars"]
        del place["1"]
        place.create_dataset("1", (8,), "f4", maxshape=(None,), chunks=(1 << 26,), compression="gzip")

    change_weights(model, change)
    refused(model, r"dense_1/vars/1 is not a plain float32 array")


def test_weights_kept_in_another_file(model: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(64))

    def external(h5: h5py.File) -> None:
        place = h5["layers/dense_1/vars"]
        del place["1"]
        place.create_dataset("1", (8,), "f4", external=[(str(secret), 0, 32)])

    def link(h5: h5py.File) -> None:
        del h5["layers/dense_1"]
        h5["layers/dense_1"] = h5py.ExternalLink(str(secret), "/")

    change_weights(model, external)
    refused(model, r"dense_1/vars/1 is not a plain float32 array")
    parts_of_link = shutil.copytree(model, tmp_path / "linked")
    change_weights(Path(parts_of_link), link)
    refused(Path(parts_of_link), r"is not there, or a link to elsewhere")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite(model: Path, value: float) -> None:
    def change(h5: h5py.File) -> None:
        h5["layers/lstm_1/cell/vars/1"][2, 3] = value

    change_weights(model, change)
    refused(model, r"model\.keras: holds weights that are NaN or infinite")


@pytest.mark.parametrize("which", range(10))
def test_a_weight_of_the_graph_that_is_not_finite(model: Path, which: int) -> None:
    weights = tiny_weights()
    weights[which].reshape(-1)[0] = np.nan
    (model / "model.onnx").write_bytes(onnx_bytes(TINY, weights))
    rehash(model)
    refused(model, r"onnxruntime (forecasts NaN|deviates)")


def test_the_command_prints_one_message_and_exits_3(model: Path) -> None:
    (model / "README.md").write_text("changed")
    found = CliRunner().invoke(group, ["models", "verify", str(model)])
    assert isinstance(found.exception, ArtefactError)
    assert found.exception.exit_code == 3


def test_verify_and_inspect_say_what_is_there(model: Path) -> None:
    found = CliRunner().invoke(group, ["models", "verify", str(model), "--json"])
    assert found.exit_code == 0, found.output
    document = json.loads(found.stdout)
    assert document["ok"]
    assert max(document["golden_deviations"].values()) < 1e-5
    text = CliRunner().invoke(group, ["models", "inspect", str(model)]).stdout
    assert f"{TINY.parameters:,}" in text


def test_writing_is_all_or_nothing(model: Path, tmp_path: Path) -> None:
    artefact = load_artefact(model)
    before = artefact.sha256
    manifest = artefact.manifest.model_dump(exclude={"files"})
    with pytest.raises(ArtefactError, match=r"must list exactly"):
        save_artefact(model, manifest, {"model.onnx": b"x"})
    assert load_artefact(model).sha256 == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model"]
    again = save_artefact(model, manifest | {"warmup_blocks": 7}, artefact.contents)
    assert again.manifest.warmup_blocks == 7
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model"]


def test_what_is_no_model_is_not_overwritten(model: Path, tmp_path: Path) -> None:
    artefact = load_artefact(model)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtefactError, match=r"exists and is not a model"):
        save_artefact(mine, artefact.manifest.model_dump(exclude={"files"}), artefact.contents)
    assert (mine / "thesis.txt").read_text() == "years of work"
