import zipfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.interval.head import Head
from monitor.errors import ArtefactError
from monitor.model.calibration_file import ANY_REGIME, load_calibrations, save_calibrations
from tests.support.channels.healthy import healthy_calibration

MODEL = "ab" * 32


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return healthy_calibration(400)


def save(path: Path, calibration: Calibration) -> Path:
    save_calibrations(path, {ANY_REGIME: calibration}, model_sha256=MODEL, channel="pump/x", made={"recordings": ["a"]})
    return path


def test_what_is_read_is_what_was_written(tmp_path: Path, calibration: Calibration) -> None:
    other = healthy_calibration(400, seed=2)
    file = tmp_path / "deep" / "c.npz"
    save_calibrations(file, {"slow": calibration, "fast": other}, model_sha256=MODEL, channel="pump/x", made={})
    back = load_calibrations(file)
    back.check(MODEL)
    assert list(back.regimes) == ["slow", "fast"]
    assert back.header.channel == "pump/x"
    for name, one in (("slow", calibration), ("fast", other)):
        read = back.regimes[name]
        for field in fields(Calibration):
            if field.name != "head":
                assert np.array_equal(getattr(read, field.name), getattr(one, field.name)), field.name
        for field in fields(Head):
            assert np.array_equal(getattr(read.head, field.name), getattr(one.head, field.name)), field.name
        assert np.array_equal(read.head.whitening, one.head.whitening)
    assert file.stat().st_size < 100_000
    assert [entry.name for entry in file.parent.iterdir()] == ["c.npz"]


def test_another_model_is_refused(tmp_path: Path, calibration: Calibration) -> None:
    file = load_calibrations(save(tmp_path / "c.npz", calibration))
    with pytest.raises(ArtefactError, match="was made with model abababababab, this is cdcdcdcdcdcd"):
        file.check("cd" * 32)


def rewrite(path: Path, change: dict[str, np.ndarray | None]) -> None:
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays.update({name: value for name, value in change.items() if value is not None})
    for name in [name for name, value in change.items() if value is None]:
        del arrays[name]
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"0.scale": np.array(2.0)}, "do not match its hash"),
        ({"0.centre": None}, "not those that its header announces"),
        ({"extra": np.zeros(1)}, "not those that its header announces"),
        ({"header": None}, "no header"),
        ({"header": np.frombuffer(b"{}", np.uint8)}, "no header"),
        ({"0.scale": np.array([{}], dtype=object)}, "not a calibration, or is damaged"),
    ],
)
def test_a_changed_file_is_refused(
    tmp_path: Path, calibration: Calibration, change: dict[str, np.ndarray | None], text: str
) -> None:
    file = save(tmp_path / "c.npz", calibration)
    rewrite(file, change)
    with pytest.raises(ArtefactError, match=text):
        load_calibrations(file)


def test_a_file_of_another_version_is_refused_as_such(tmp_path: Path, calibration: Calibration) -> None:
    file = save(tmp_path / "c.npz", calibration)
    header = load_calibrations(file).header.model_dump_json().replace('"format_version":5', '"format_version":4')
    rewrite(file, {"header": np.frombuffer(header.encode(), np.uint8)})
    with pytest.raises(ArtefactError, match="is of another version of the format; calibrate again"):
        load_calibrations(file)


def test_what_is_no_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="cannot read the calibration"):
        load_calibrations(tmp_path / "none.npz")
    text = tmp_path / "text.npz"
    text.write_text("hello")
    with pytest.raises(ArtefactError, match="is not a calibration"):
        load_calibrations(text)
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.npy", bytes(65 * 2**20))
    with pytest.raises(ArtefactError, match="unpacks to more"):
        load_calibrations(bomb)


def test_a_calibration_whose_arrays_do_not_fit_is_refused(tmp_path: Path, calibration: Calibration) -> None:
    for name, value, text in (
        ("centre", calibration.centre[:2], "'centre' has shape"),
        ("spread", -calibration.spread, "not positive"),
        ("scale", np.array(np.nan), "finite"),
        ("sensitivity", calibration.sensitivity[:-1], "'sensitivity' has shape"),
        ("sensitivity", 0.0 * calibration.sensitivity, "not positive"),
        ("trust", 1.5, "trust outside 0 to 1"),
        ("values", np.zeros((1, 2)), r"'values' has shape \(1, 2\), expected \(1, 0\); calibrate again"),
        ("ranges", np.zeros((1, 2)), r"'ranges' has shape \(1, 2\), expected \(0, 2\)"),
        ("quantities", ("speed_rpm",), r"'values' has shape \(1, 0\), expected \(1, 1\)"),
        ("quantities", ("load", "load"), "names a measured quantity twice"),
        (
            "head",
            replace(calibration.head, summary=calibration.head.summary[:, :4]),
            r"'ahead' has .* expected \(4, 20\)",
        ),
        ("head", replace(calibration.head, position_scale=-calibration.head.position_scale), "not positive"),
        ("head", replace(calibration.head, past=np.full(20, 1e300)), "whitens to numbers that are not finite"),
    ):
        values = {field.name: getattr(calibration, field.name) for field in fields(Calibration)}
        file = save(tmp_path / "c.npz", Calibration(**{**values, name: value}))
        with pytest.raises(ArtefactError, match=text):
            load_calibrations(file)


def test_a_range_that_is_reversed_or_not_known_is_refused(tmp_path: Path, calibration: Calibration) -> None:
    for ends, text in (((1200.0, 800.0), "lowest value is above its highest"), ((800.0, np.nan), "finite")):
        wrong = replace(calibration, quantities=("speed_rpm",), values=np.full((1, 1), 1e3), ranges=np.array([ends]))
        with pytest.raises(ArtefactError, match=text):
            load_calibrations(save(tmp_path / "c.npz", wrong))
