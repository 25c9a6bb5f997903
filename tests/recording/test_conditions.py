"""Measured quantities beside samples: one value for each block, in step with the samples however they are read."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyarrow import parquet

from monitor.core.arrays import AnyArray, Float32
from monitor.errors import RecordingError
from monitor.recording.conditions import Conditions, ranges, read_conditions
from monitor.recording.decimate import MeanDecimator
from monitor.recording.described import open_described
from monitor.recording.options import RecordingOptions
from monitor.recording.part import between
from tests.support.recordings import recording_file

BLOCK = 100
RATE = 1000.0


def read(*texts: str, **options: Any) -> tuple[list[Conditions], list[str]]:
    """The conditions of some recordings, and the warnings."""
    said: list[str] = []
    described = open_described(texts, RecordingOptions(**options))
    return read_conditions(described, BLOCK, said.append), said


def records(text: str, name: str) -> list[Float32]:
    """A measured quantity of one recording, of which nothing is warned."""
    [conditions], said = read(text)
    assert said == []
    value = conditions.quantities[name]
    assert isinstance(value, list)
    return value


def write_npz(path: Path, **arrays: AnyArray | float) -> Path:
    np.savez(path, sampling_rate_hz=RATE, **arrays)  # type: ignore[arg-type] # keyword arrays, not allow_pickle
    return path


def write_h5(path: Path, **arrays: AnyArray | float) -> Path:
    path = path.with_suffix(".h5")
    with h5py.File(path, "w") as file:
        file.attrs["sampling_rate_hz"] = RATE
        for name, array in arrays.items():
            file[name] = array
    return path


@pytest.fixture(params=[write_npz, write_h5])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., str]:
    return lambda **arrays: str(request.param(tmp_path / "a.npz", **arrays))


def naive(values: AnyArray, samples: int = BLOCK) -> Float32:
    """The mean of each whole block."""
    blocks = len(values) // samples
    means: Float32 = values[: blocks * samples].reshape(blocks, samples).mean(axis=1).astype(np.float32)
    return means


def test_a_real_recording_with_its_speed_in_every_form(tmp_path: Path) -> None:
    with np.load(recording_file("uestc/healthy_800rpm.npz")) as stored:
        samples, rate = stored["acceleration"][:50_050], float(stored["sampling_rate_hz"])
    speed = 800 + 3 * np.sin(np.arange(samples.size) / 9000)
    facts = {"acceleration": samples, "speed_rpm": speed, "sampling_rate_hz": rate}
    np.savez(tmp_path / "a.npz", **facts)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, value in facts.items():
            file[f"run/{name}"] = value
    table = {"time": np.arange(samples.size) / rate, "acceleration": samples, "speed_rpm": speed}
    np.savetxt(tmp_path / "a.csv", np.stack(list(table.values()), 1), "%.17g", ",", header=",".join(table), comments="")
    parquet.write_table(pa.table(table), tmp_path / "a.parquet")
    for name in ("a.npz", "a.h5", "a.csv?sampling-rate-hz=20000", "a.parquet?sampling-rate-hz=20000"):
        text = f"{tmp_path / name}{'&' if '?' in name else '?'}speed_rpm"
        [described] = open_described([text], RecordingOptions())
        [own] = described.recording.load()
        np.testing.assert_array_equal(own, samples.astype(np.float32))
        [found] = records(text, "speed_rpm")
        np.testing.assert_allclose(found, naive(speed), rtol=1e-7)
        assert found.dtype == np.float32


@given(st.data())
def test_values_are_in_step_with_the_samples(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """The quantity is the samples themselves; so the values are the means of the samples that are read."""
    length, several = data.draw(st.integers(2, 1500)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(length)
    values = rng.normal(size=(several, length))
    factor = data.draw(st.integers(1, 4))
    first_s, last_s = (data.draw(st.none() | st.floats(0, 2)) for _ in range(2))
    path = tmp_path_factory.mktemp("step") / "a.npz"
    write_npz(path, acceleration=values[0] if several == 1 else values, q=values[0] if several == 1 else values,
              start_s=np.arange(several) * 0.7)  # fmt: skip
    [described] = open_described([f"{path}?q&decimate={factor}"], RecordingOptions())
    described = replace(described, recording=between(described.recording, first_s, last_s))
    [conditions] = read_conditions([described], BLOCK)
    expected = []
    for number, record in enumerate(values):
        if several > 1 and not (first_s or 0.0) <= number * 0.7 < (np.inf if last_s is None else last_s):
            continue
        means = np.array([record[k : k + factor].mean() for k in range(0, length, factor)])
        if several == 1:
            rate = RATE / factor
            means = means[round((first_s or 0.0) * rate) : None if last_s is None else round(last_s * rate)]
        if means.size >= BLOCK:
            expected.append(naive(means))
    if not expected:
        assert conditions.quantities == {}
        return
    value = conditions.quantities["q"]
    assert isinstance(value, list)
    assert [one.size for one in value] == [one.size for one in expected]
    np.testing.assert_allclose(np.concatenate(value), np.concatenate(expected), rtol=1e-5, atol=1e-6)
    sizes = [record.size // BLOCK for record in described.recording.load()]
    assert [one.size for one in value] == [size for size in sizes if size]


@given(
    hnp.arrays(np.float32, st.integers(0, 300), elements=st.floats(-1e6, 1e6, width=32)), st.integers(1, 9), st.data()
)
def test_means_do_not_depend_on_the_pieces(values: Float32, factor: int, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, values.size), max_size=5)))
    decimator, whole = MeanDecimator(factor), MeanDecimator(factor)
    for _ in range(2):  # it is ready for another record
        pieces = [decimator.push(piece) for piece in np.split(values, cuts)]
        found = np.concatenate([*pieces, decimator.finish()])
        np.testing.assert_array_equal(found, np.concatenate([whole.push(values), whole.finish()]))
        assert found.size == -(-values.size // factor)


def test_one_value_a_record_or_one_number(write: Callable[..., str]) -> None:
    samples = np.random.default_rng(1).normal(size=(3, 250))
    text = write(acceleration=samples, load=np.array([0, 40, 80]), speed_rpm=np.array([1200.0]), flow=2.5)
    [conditions], said = read(f"{text}?load&speed_rpm&flow&decimate=2")
    assert said == []
    for name, expected in (("load", [0, 40, 80]), ("speed_rpm", [1200] * 3), ("flow", [2.5] * 3)):
        value = conditions.quantities[name]
        assert isinstance(value, list)
        assert [one.tolist() for one in value] == [[number] for number in expected]
    assert {name: one.tolist() for name, one in conditions.at(1, np.array([0, 0])).items()} == {
        "load": [40, 40], "speed_rpm": [1200, 1200], "flow": [2.5, 2.5]
    }  # fmt: skip


def test_a_value_a_record_follows_its_records(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).normal(size=(8, 250))
    path = write_npz(tmp_path / "a.npz", acceleration=samples, load=np.arange(8.0))
    assert [one.tolist() for one in records(f"{path}?load&first=0.5", "load")] == [[k, k] for k in range(4)]
    [described] = open_described([f"{path}?load&first=0.5"], RecordingOptions(record_interval_s=10.0))
    later = replace(described, recording=between(described.recording, 20.0, None))
    [conditions] = read_conditions([later], BLOCK)
    value = conditions.quantities["load"]
    assert isinstance(value, list)
    assert [one.tolist() for one in value] == [[2, 2], [3, 3]]


def test_a_value_that_is_not_finite_makes_its_blocks_unknown(write: Callable[..., str]) -> None:
    load = np.full(1000, 40.0)
    load[[250, 731, 999]] = np.nan, np.inf, 1e300
    text = write(acceleration=np.random.default_rng(1).normal(size=1000), load=load)
    [found] = records(f"{text}?load", "load")
    assert np.flatnonzero(np.isnan(found)).tolist() == [2, 7, 9]
    assert set(found[~np.isnan(found)].tolist()) == {40.0}
    # With decimation each sample stands for two, without reach beyond them.
    [found] = records(f"{text}?load&decimate=2", "load")
    assert np.flatnonzero(np.isnan(found)).tolist() == [1, 3, 4]


@pytest.mark.parametrize(
    ("shape", "load", "message"),
    [
        ((1000,), np.ones(999), "has the shape (999,), but there are 1,000 samples; expected one value a sample or a"),
        (
            (4, 250),
            np.ones(5),
            "has the shape (5,), but there are 4 records of 250 samples; expected one value a sample, one",
        ),
        ((4, 250), np.ones((250, 4)), "has the shape (250, 4), but there are 4 records of 250 samples"),
        ((4, 250), np.ones(1000), "has the shape (1000,), but there are 4 records of 250 samples"),
        ((1000,), np.ones(1000, np.complex128), "is complex"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(
    write: Callable[..., str], tmp_path: Path, shape: tuple[int, ...], load: AnyArray, message: str
) -> None:
    text = write(acceleration=np.random.default_rng(1).normal(size=shape), load=load)
    other = write_npz(tmp_path / "b.npz", acceleration=np.ones(1000))
    for texts in ([f"{text}?load"], [text, f"{other}?load=40"]):
        with pytest.raises(RecordingError) as caught:
            read(*texts)
        assert str(caught.value).startswith(f"{text}: 'load' beside the samples {message}")
        assert str(caught.value).endswith("; correct the file, or state the quantity: ?load=NUMBER")
    # What is stated needs no array.
    [conditions], _ = read(f"{text}?load=40")
    assert conditions.quantities == {"load": 40.0}


def test_a_name_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", acceleration=np.ones(1000))
    with pytest.raises(RecordingError, match="there is no array or column 'load' beside the samples; correct the name"):
        read(f"{path}?load")


def test_a_name_given_for_one_recording_is_looked_for_in_all(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    stated = write_npz(tmp_path / "a.npz", acceleration=rng.normal(size=300))
    measured = write_npz(tmp_path / "b.npz", vibration=rng.normal(size=300), load=np.arange(300.0))
    lacking = write_npz(tmp_path / "c.npz", acceleration=rng.normal(size=300))
    found, said = read(f"{stated}?load=40", str(measured), str(lacking))
    assert said == ["c.npz: has no load, unlike other recordings; its blocks count as unknown"]
    block = np.array([0, 1])
    assert [one.at(0, block)["load"].tolist() for one in found[:2]] == [[40, 40], [49.5, 149.5]]
    assert np.isnan(found[2].at(0, block)["load"]).all()
    assert ranges(found) == {"load": (40.0, 249.5)}
    # Nobody asked: an array of that name is nothing special.
    found, said = read(str(stated), str(lacking))
    assert (said, ranges(found), [one.quantities for one in found]) == ([], {}, [{}, {}])


def test_a_sensor_that_is_not_connected_is_left_out(tmp_path: Path) -> None:
    samples, zero = np.random.default_rng(1).normal(size=300), np.zeros(300)
    path = write_npz(tmp_path / "a.npz", acceleration=samples, load=zero, flow=np.full(300, np.nan))
    for text in (f"{path}?load&speed_rpm=1200", f"{path}?speed_rpm=1200&load"):
        [conditions], [warning] = read(text)
        assert conditions.quantities == {"speed_rpm": 1200.0}
        assert warning.startswith("load is zero in all recordings, which says nothing: is the sensor connected?")
    assert read(f"{path}?flow") == ([Conditions({})], ["flow has no known value in any recording; it is left out"])
    # A zero that is stated, or one among others, is a value.
    assert read(f"{path}?load=0") == ([Conditions({"load": 0.0})], [])
    [_, found], said = read(f"{path}?load=40", str(path))
    assert (found.at(0, np.array([1]))["load"].tolist(), said) == ([0.0], [])


def test_a_column_of_a_quantity_is_no_channel(tmp_path: Path) -> None:
    table = np.random.default_rng(1).normal(size=(300, 3))
    path = tmp_path / "a.csv"
    np.savetxt(path, table, delimiter=",", header="x,load,y", comments="")
    for text in (f"{path}?load", f"{path}?load=3"):
        named = open_described([text], RecordingOptions(sampling_rate_hz=RATE, channel="all"))
        assert [each.recording.channel for each in named] == ["x", "y"]
    found, said = read(f"{path}?load&channel=2", sampling_rate_hz=RATE)
    np.testing.assert_allclose(found[0].at(0, np.arange(3))["load"], naive(table[:, 1]), rtol=1e-6)
    assert said == []


def test_the_nearest_group_of_an_h5_has_the_quantity(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["sampling_rate_hz"] = RATE
        file["load"] = 1.0
        for run in ("run1", "run2"):
            file[f"plant/{run}/acceleration"] = np.ones(300) + np.arange(300)
        file["plant/run2/load"] = np.full(300, 2.0)
    for run, load in (("run1", 1.0), ("run2", 2.0)):
        [found] = records(f"{tmp_path / 'a.h5'}#plant/{run}/acceleration?load", "load")
        assert found.tolist() == [load] * 3
