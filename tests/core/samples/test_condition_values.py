import numpy as np
import pytest

from monitor.core.samples.condition_values import CONDITIONS_IN_ALL, ConditionValues
from monitor.runtime.lanes.shared import SharedMemory

ROWS = np.arange(3)


def known(values: ConditionValues, at_s: float = 5.0) -> list[list[float | None]]:
    return [[None if np.isnan(value) else value for value in row] for row in values.of(ROWS, at_s).tolist()]


def test_a_value_holds_until_its_instant() -> None:
    values = ConditionValues(3)
    assert values.of(ROWS, 0.0).shape == (3, 0)
    columns = values.rename(["speed_rpm", "load"])
    assert values.names == ("speed_rpm", "load")
    values.write(columns["speed_rpm"], np.array([0, 2]), 1480.0, 10.0)
    assert known(values, 10.0) == [[1480.0, None], [None, None], [1480.0, None]]
    assert known(values, 10.1) == [[None, None]] * 3
    assert values.stale(ROWS, 10.0).tolist() == [[False, False]] * 3
    assert values.stale(ROWS, 10.1).tolist() == [[True, False], [False, False], [True, False]]
    found = values.of(np.array([2, 0]), np.array([10.1, 9.0]))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[np.nan, np.nan], [1480.0, np.nan]])


def test_a_name_keeps_its_column() -> None:
    values = ConditionValues(3)
    values.rename(["speed_rpm", "load"])
    values.write(1, ROWS, 0.5, 10.0)
    assert values.rename(["torque", "load"]) == {"torque": 2, "load": 1}
    assert values.names == ("speed_rpm", "load", "torque")
    assert known(values) == [[None, 0.5, None]] * 3


def test_a_column_is_used_again_when_there_are_no_more_and_is_empty_then() -> None:
    values = ConditionValues(3)
    values.rename(f"old_{number}" for number in range(CONDITIONS_IN_ALL))
    for column in range(CONDITIONS_IN_ALL):
        values.write(column, ROWS, float(column), 10.0)
    new = [f"old_{number}" for number in range(CONDITIONS_IN_ALL) if number != 7] + ["load"]
    assert values.rename(new)["load"] == 7
    assert known(values)[0] == [None if column == 7 else column for column in range(CONDITIONS_IN_ALL)]


@pytest.mark.parametrize("clear", ["row", "all but"])
def test_a_row_that_is_given_out_again_has_no_value(clear: str) -> None:
    values = ConditionValues(3)
    values.rename(["load"])
    values.write(0, ROWS, 0.5, 10.0)
    if clear == "row":
        values.clear(1)
    else:
        joined = np.ones(values.shape, np.bool_)
        joined[0, 1] = False
        values.clear_all_but(joined)
    assert known(values) == [[0.5], [None], [0.5]]
    assert not values.stale(ROWS, 11.0)[1, 0]


def test_another_process_sees_names_and_values_of_its_part() -> None:
    memory = SharedMemory.create()
    daemon = ConditionValues(5, memory)
    worker = ConditionValues(5, SharedMemory(memory.descriptor, owner=False)).part(2, 5)
    memory.close()
    assert list(worker.names) == []
    daemon.rename(["speed_rpm"])
    assert list(worker.names) == ["speed_rpm"]
    daemon.write(0, np.array([0, 3]), 1480.0, 10.0)
    assert known(worker, 5.0) == [[None], [1480.0], [None]]
    daemon.rename(["speed_rpm", "load"])
    daemon.write(1, np.array([4]), 0.25, 10.0)
    assert known(worker, 5.0) == [[None, None], [1480.0, None], [None, 0.25]]
