"""What follows the question mark of an address: options, measured quantities, and mistakes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ConfigurationError, RecordingError
from monitor.recording.described import QUANTITY, Described, open_described, refuse_quantities
from monitor.recording.options import RecordingOptions
from monitor.recording.source import MAX_MAGNITUDE

RATE = 1000.0
QUANTITIES = (
    "speed_rpm", "load", "rpm", "torque_nm", "temperature", "temperature_c", "pressure_bar", "flow", "power_kw",
    "current_a", "voltage", "frequency_hz", "feed_rate", "rate", "tool", "gear", "valve", "wind_speed", "line_hz",
    "stage_2", "estimate", "a", "unit_load",
)  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("described") / "a.npz"
    np.savez(path, acceleration=np.arange(1000.0), sampling_rate_hz=RATE)
    return str(path)


def described(text: str) -> Described:
    [found] = open_described([text], RecordingOptions())
    return found


def test_quantities_stand_beside_options(file: str) -> None:
    found = described(f"{file}?speed_rpm=1200&decimate=2&load=-4e1&first=0.5&torque_nm&temperature=+2.5e+1")
    assert found.quantities == {"speed_rpm": 1200.0, "load": -40.0, "torque_nm": None, "temperature": 25.0}
    assert found.recording.sampling_rate_hz == RATE / 2
    assert [record.size for record in found.recording.load()] == [250]


@pytest.mark.parametrize("name", QUANTITIES)
def test_usual_names_are_quantities(file: str, name: str) -> None:
    assert described(f"{file}?{name}=1").quantities == {name: 1.0}
    assert described(f"{file}?{name}").quantities == {name: None}


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("sampling_rate_hz", "'sampling-rate-hz'"),
        ("sampling_rate", "'sampling-rate-hz'"),
        ("sampling-rate", "'sampling-rate-hz'"),
        ("sampling", "'sampling-rate-hz'"),
        ("samplerate", "'sampling-rate-hz'"),
        ("fs", "'sampling-rate-hz'"),
        ("decimat", "'decimate'"),
        ("decimation", "'decimate'"),
        ("dec", "'decimate'"),
        ("chanel", "'channel'"),
        ("channels", "'channel'"),
        ("units", "'unit'"),
        ("frist", "'first'"),
        ("fist", "'first'"),
        ("until", "an option of the command, such as --until 1h"),
        ("record_interval", "an option of the command"),
    ],
)
def test_a_mistaken_option_is_no_quantity(file: str, key: str, meant: str) -> None:
    for query in (key, f"{key}=4"):
        with pytest.raises(ConfigurationError) as caught:
            described(f"{file}?{query}")
        assert f"a.npz?{query}: '{key}' is not known after '?'; did you mean {meant}" in str(caught.value)
        assert "? Options are sampling-rate-hz, channel, decimate, unit, first, written" in str(caught.value)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("Speed=1", "'Speed' is not known after '?'. Options are sampling-rate-hz, channel,"),
        ("speed-rpm=1", "'speed-rpm' is not known after '?'"),
        ("=1", "'' is not known after '?'"),
        ("load=1&", "'' is not known after '?'"),
        ("load=1&load=2", "'load' stands twice after '?'"),
        ("load=1&load", "'load' stands twice after '?'"),
        ("decimate", "'decimate' needs a value after '?'"),
        ("time=1", "'time' is no measured quantity, since recordings give that name to something else"),
        ("acceleration=1", "'acceleration' is no measured quantity"),
        ("load=high", "load is 'high'; a measured quantity is a finite number, such as load=40, or load alone"),
        ("load=", "load is ''; a measured quantity is a finite number"),
        ("load=nan", "load is 'nan'; a measured quantity is a finite number"),
        ("load=-inf", "load is '-inf'; a measured quantity is a finite number"),
        ("load=1e300", "load is '1e300'; a measured quantity is a finite number"),
        ("uint=g", "uint is 'g'; a measured quantity is a finite number"),
    ],
)
def test_what_cannot_be_is_refused(file: str, query: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        described(f"{file}?{query}")
    assert f"a.npz?{query}: {message}" in str(caught.value)


@given(st.from_regex(QUANTITY, fullmatch=True), st.floats(-MAX_MAGNITUDE, MAX_MAGNITUDE))
def test_a_name_is_read_back_or_refused(file: str, name: str, value: float) -> None:
    try:
        found = described(f"{file}?{name}={value}")
    except ConfigurationError as error:
        assert f"'{name}' is " in str(error)  # noqa: PT017 - most names are no error
    else:
        assert found.quantities == {name: value}


def test_a_file_whose_name_has_a_question_mark(tmp_path: Path) -> None:
    path = tmp_path / "a?load=1.npz"
    np.savez(path, acceleration=np.arange(1000.0), sampling_rate_hz=RATE)
    assert described(str(path)).quantities == {}


def test_first_takes_records_or_samples(tmp_path: Path) -> None:
    bursts, table = tmp_path / "bursts.npz", tmp_path / "a.csv"
    # The clock of the starts passes midnight.
    np.savez(bursts, acceleration=np.ones((4, 300)), sampling_rate_hz=RATE, start_s=[86000, 86300, 200, 500])
    np.savetxt(table, np.arange(1000.0))
    assert [record.size for record in described(f"{bursts}?first=0.75").recording.load()] == [300] * 3
    assert [record.size for record in described(f"{bursts}?first=0.01").recording.load()] == [300]
    [record] = described(f"{table}?first=0.123&sampling-rate-hz=1000").recording.load()
    np.testing.assert_array_equal(record, np.arange(123, dtype=np.float32))


def test_a_part_must_be_long_enough_itself(file: str) -> None:
    open_described([f"{file}?first=0.5"], RecordingOptions(), 500, "to train")
    with pytest.raises(RecordingError, match="it has 499 samples"):
        open_described([f"{file}?first=0.499"], RecordingOptions(), 500, "to train")


def test_a_command_without_use_for_quantities_refuses_them(file: str) -> None:
    refuse_quantities([described(file)], "train")
    with pytest.raises(ConfigurationError, match="train makes no use of measured quantities; leave load, flow out"):
        refuse_quantities([described(f"{file}?load=1&flow")], "train")
