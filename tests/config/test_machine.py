"""Facts of a machine in the configuration: what they mean, beside their mistakes (``test_errors``)."""

from pathlib import Path

import pytest

from monitor.config.configuration import Config
from monitor.config.file import parse_config
from monitor.runtime.checks.scorable import doubts

SENSOR = """
sensors:
  - topic: plant/{machine}/acceleration
    payload: {format: float32}
    sampling_rate_hz: 12000
    unit: g
"""


def parsed(machine: str, more: str = "") -> Config:
    return parse_config(f"{SENSOR}    machine: {machine}\n{more}", Path("c.yaml"))


def test_bearings_come_by_designation_by_geometry_and_by_orders() -> None:
    config = parsed(
        "{speed_rpm: 1797, bearings: {de: {designation: 6205}, nde: {balls: 9, ball_diameter: 7.94, "
        "pitch_diameter: 39.04}, other: {bpfo: 3.585, bpfi: 5.415, bsf: 2.357, ftf: 0.398}}, "
        "zones: {b: 2.3, c: 4.5, d: 7}}"
    )
    machine = config.sensors[0].machine
    assert [bearing.name for bearing in machine.named_bearings] == ["de", "nde", "other"]
    for bearing in machine.named_bearings:
        assert bearing.outer == pytest.approx(3.585, abs=0.002)
        assert bearing.inner == pytest.approx(5.415, abs=0.002)
        assert bearing.ball == pytest.approx(4.714, abs=0.003), "twice the spin, however it is given"
    assert machine.zones is not None
    assert machine.zones.limits_mps == pytest.approx((0.0023, 0.0045, 0.007))


def test_facts_leave_the_samples_of_a_sensor_alone() -> None:
    bare, known = parsed("{}").sensors[0], parsed("{gears: [23], speed_rpm: 1480}").sensors[0]
    assert bare.samples_only == known.samples_only, "a reload of facts must not end the channel's context"


def test_facts_that_no_speed_belongs_to_are_doubted() -> None:
    text = "sensors[0].machine: without the speed of the shaft no bearing or gear is named"
    assert any(doubt.startswith(text) for doubt in doubts(parsed("{gears: [23]}")))
    measured = "    conditions: {speed_rpm: {topic: 'plant/{machine}/speed', payload: {format: number}}}\n"
    for config in (parsed("{gears: [23]}", measured), parsed("{gears: [23], speed_rpm: 1480}"), parsed("{}")):
        assert not [doubt for doubt in doubts(config) if "machine" in doubt]
