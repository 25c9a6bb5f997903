"""A machine that keeps moving away while it is learned is told from one that runs under several conditions."""

from functools import cache

import numpy as np
import pytest

from monitor.core.arrays import Float32, Float64
from monitor.core.learning.block_sums import context_sums, cut
from monitor.core.learning.condition_fit import FEWEST_STRETCHES, keeps_moving, learn, novelty
from monitor.core.learning.head_fit import NO_NETWORK, Stretch, fit_head
from monitor.core.scoring.calibration.conditions import logarithms
from monitor.core.scoring.interval.bands import layout
from monitor.simulation.machine import Fault, FaultKind, catalogue
from monitor.simulation.simulator import Simulation
from tests.support.recordings import recording_file

BLOCK = 100
HEAD_BLOCKS = 512
BANDS = layout(BLOCK).bands


def features(contexts: list[Float32], interval_blocks: int) -> Float64:
    """Logarithms of the raw features of contexts, with a head of the first blocks and without a network."""
    stretches = []
    for samples in contexts:
        blocks = (samples[: samples.size // BLOCK * BLOCK].reshape(-1, BLOCK) - samples.mean()).astype(np.float32)
        stretches.append(Stretch(blocks[0], blocks[1:], np.zeros_like(blocks[1:])))
    first = [Stretch(one.before, one.signal[:HEAD_BLOCKS], one.forecast[:HEAD_BLOCKS]) for one in stretches[:25]]
    head = fit_head(first, (NO_NETWORK,)).head
    raw = np.concatenate([cut(context_sums([one], head), 0, interval_blocks, BLOCK) for one in stretches])
    return np.asarray(logarithms(raw.astype(np.float64), BANDS))


def moving(logs: Float64) -> bool:
    [aside] = learn([logs]).aside
    curve = novelty(logs, np.zeros((len(logs), 0)), aside)
    assert curve.size >= FEWEST_STRETCHES - 1
    return keeps_moving(curve)


@cache
def rig(speed: int) -> Float32:
    with np.load(recording_file(f"uestc/healthy_{speed}rpm.npz")) as stored:
        return np.asarray(stored["acceleration"], np.float32)


@cache
def life(bearing: str) -> Float32:
    """The horizontal channel of a bearing that ran to failure, (records, samples)."""
    with np.load(recording_file(f"femto/Bearing{bearing}.npz")) as stored:
        return np.asarray(stored["acceleration_mg"][:, :, 0], np.float32)


@pytest.mark.parametrize("speed", [800, 1000, 1200])
def test_a_healthy_machine_at_one_speed_is_steady(speed: int) -> None:
    assert not moving(features([rig(speed)], 20))


def test_three_speeds_that_take_turns_are_steady() -> None:
    pieces = [rig(speed)[part * 200_000 : (part + 1) * 200_000] for part in range(5) for speed in (800, 1000, 1200)]
    assert not moving(features([np.concatenate(pieces)], 20))


@pytest.mark.parametrize("bearing", ["1_1", "1_2", "2_2", "3_2"])
def test_the_last_third_of_a_bearing_that_runs_to_failure_keeps_moving(bearing: str) -> None:
    records = life(bearing)
    assert moving(features(list(records[2 * len(records) // 3 :]), 24))


@pytest.mark.parametrize("name", ["fan", "pump", "motor", "gearbox"])
def test_a_fault_that_grows_through_all_of_the_time_is_noticed(name: str) -> None:
    machine = catalogue()[name]
    growing = Fault(FaultKind.OUTER_RACE, start_s=0.0, growth_s=60.0)
    for faults in ((), (growing,)):
        signal = Simulation(machine, 12_000.0, 3, faults).next(60 * 12_000)
        assert moving(features([signal], 12)) == bool(faults)


def test_too_little_time_says_nothing() -> None:
    curve = novelty(np.zeros((20, 3)), np.zeros((20, 0)), np.zeros(20, np.bool_))
    assert curve.size == 0 or not keeps_moving(curve)
    assert not keeps_moving(np.empty(0))
