from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import hilbert

from monitor.core.arrays import Float32, Float64
from monitor.errors import ConfigurationError
from monitor.simulation.machine import Bearing, Fault, FaultKind, Machine, catalogue, measuring_point
from monitor.simulation.simulator import CHUNK_SAMPLES, SLIP, Simulation
from monitor.simulation.speed import SpeedTurns

RATE_HZ = 12000.0
QUIET = Machine(shaft_hz=25.0, speed_drift=0.0, harmonics_mps2=(), noise_mps2=0.01)


def lines(signal: Float32) -> tuple[Float64, Float64]:
    """Frequencies and amplitudes of a Hann-windowed spectrum."""
    window = np.hanning(signal.size)
    amplitude = np.abs(np.fft.rfft((signal - signal.mean()) * window)) * 2 / window.sum()
    frequencies = np.fft.rfftfreq(signal.size, 1 / RATE_HZ).astype(np.float64)
    return frequencies, amplitude.astype(np.float64)


def amplitude_at(signal: Float32, frequency_hz: float) -> float:
    frequencies, amplitudes = lines(signal)
    near = np.abs(frequencies - frequency_hz) < 1.0
    return float(amplitudes[near].max())


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(0, 6000) | st.sampled_from([4096, 8192]), min_size=1, max_size=8), st.sampled_from(FaultKind)
)
def test_the_signal_does_not_depend_on_how_it_is_asked_for(sizes: list[int], kind: FaultKind) -> None:
    faults = (Fault(kind, 0.1, 1.0),)
    whole = Simulation(catalogue()["gearbox"], RATE_HZ, 3, faults).next(sum(sizes))
    pieces = Simulation(catalogue()["gearbox"], RATE_HZ, 3, faults)
    assert np.concatenate([pieces.next(size) for size in sizes]).tolist() == whole.tolist()


def test_the_seed_decides() -> None:
    fan = catalogue()["fan"]
    assert (Simulation(fan, RATE_HZ, 1).next(9000) == Simulation(fan, RATE_HZ, 1).next(9000)).all()
    assert (Simulation(fan, RATE_HZ, 1).next(9000) != Simulation(fan, RATE_HZ, 2).next(9000)).any()


def test_harmonics_blades_and_mesh_stand_where_the_equations_put_them() -> None:
    machine = Machine(
        shaft_hz=25.0, speed_drift=0.0, harmonics_mps2=(1.0, 0.5), teeth=31, mesh_mps2=(2.0,), mesh_modulation=0.2,
        blades=8, blade_mps2=0.7, noise_mps2=0.01,
    )  # fmt: skip
    signal = Simulation(machine, RATE_HZ).next(120_000)
    for frequency_hz, expected in (
        (25.0, 1.0), (50.0, 0.5), (200.0, 0.7), (31 * 25.0, 2.0), (30 * 25.0, 0.2), (32 * 25.0, 0.2),
    ):  # fmt: skip
        assert amplitude_at(signal, frequency_hz) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("kind", "order"),
    [
        (FaultKind.OUTER_RACE, 9 / 2 * 0.8),
        (FaultKind.INNER_RACE, 9 / 2 * 1.2),
        (FaultKind.BALL, (1 - 0.04) / 0.2),
        (FaultKind.GEAR_TOOTH, 1.0),
    ],
)
def test_impacts_stand_in_the_envelope_spectrum(kind: FaultKind, order: float) -> None:
    signal = Simulation(QUIET, RATE_HZ, 1, (Fault(kind, 0.0, 0.0),)).next(240_000)
    envelope = np.abs(hilbert(signal)).astype(np.float32)
    frequencies, amplitudes = lines(envelope)
    expected_hz = order * 25.0
    floor = float(np.median(amplitudes[(frequencies > 5) & (frequencies < 500)]))
    assert amplitude_at(envelope, expected_hz) > 20 * floor


def test_impacts_ring_at_the_resonance() -> None:
    machine = Machine(shaft_hz=25.0, speed_drift=0.0, harmonics_mps2=(), noise_mps2=0.01, bearing=Bearing())
    signal = Simulation(machine, RATE_HZ, 1, (Fault(FaultKind.OUTER_RACE, 0.0, 0.0),)).next(120_000)
    frequencies, amplitudes = lines(signal)
    assert abs(float(np.average(frequencies, weights=amplitudes**2)) - 3200.0) < 250.0


def test_an_inner_race_fault_has_sidebands_of_the_shaft() -> None:
    signal = Simulation(QUIET, RATE_HZ, 1, (Fault(FaultKind.INNER_RACE, 0.0, 0.0),)).next(240_000)
    envelope = np.abs(hilbert(signal)).astype(np.float32)
    frequencies, amplitudes = lines(envelope)
    floor = float(np.median(amplitudes[(frequencies > 5) & (frequencies < 500)]))
    passing_hz = QUIET.bearing.inner_race_order * 25.0
    for frequency_hz in (25.0, passing_hz - 25.0, passing_hz + 25.0):
        assert amplitude_at(envelope, frequency_hz) > 10 * floor


def test_slip_scatters_the_times_between_impacts_and_adds_up() -> None:
    bearing = Bearing(resonance_hz=5000.0, damping=0.2)
    machine = Machine(shaft_hz=25.0, speed_drift=0.0, harmonics_mps2=(), noise_mps2=1e-6, bearing=bearing)
    rate_hz = 100_000.0
    signal = Simulation(machine, rate_hz, 1, (Fault(FaultKind.OUTER_RACE, 0.0, 0.0),)).next(4_000_000)
    # Before an impact the last one has rung out: the signal is as good as zero.
    loud = np.flatnonzero(np.abs(signal) > 0.5)
    at_s = loud[np.diff(loud, prepend=-10_000) > 500] / rate_hz
    spacing_s = 1 / (25.0 * bearing.outer_race_order)
    assert at_s.size == pytest.approx(40.0 / spacing_s, rel=0.005)
    assert np.diff(at_s).std() / spacing_s == pytest.approx(SLIP, rel=0.15)
    later = at_s[100:] - at_s[:-100]
    assert 5 * SLIP < later.std() / spacing_s < 20 * SLIP


def test_a_cracked_tooth_keeps_step_with_the_shaft() -> None:
    signal = Simulation(QUIET, RATE_HZ, 1, (Fault(FaultKind.GEAR_TOOTH, 0.0, 0.0),)).next(120_000)
    turn = np.abs(signal[:115_200]).reshape(-1, 480).mean(axis=0)
    assert turn.max() > 10 * np.median(turn)


def test_until_its_fault_a_machine_is_the_healthy_one() -> None:
    gearbox = catalogue()["gearbox"]
    healthy = Simulation(gearbox, RATE_HZ, 4).next(30_000)
    faulty = Simulation(gearbox, RATE_HZ, 4, tuple(Fault(kind, 1.0, 1.0) for kind in FaultKind)).next(30_000)
    assert (faulty[:12_000] == healthy[:12_000]).all()
    assert (faulty[13_000:] != healthy[13_000:]).any()


def test_points_of_one_machine_turn_together() -> None:
    machine = Machine(shaft_hz=25.0, speed_drift=0.01, harmonics_mps2=(1.0,), noise_mps2=1e-6)
    one, other, alone = (
        Simulation(machine, 2000.0, seed, shaft_seed=shaft).next(100_000) for seed, shaft in ((1, 9), (2, 9), (2, None))
    )
    assert np.abs(one - other).max() < 1e-4
    assert np.abs(one - alone).max() > 0.5


def test_what_cannot_be_sampled_is_left_out() -> None:
    machine = Machine(
        shaft_hz=25.0, speed_drift=0.0, harmonics_mps2=(1.0,), teeth=31, mesh_mps2=(2.0,), blades=30, blade_mps2=2.0,
        noise_mps2=0.01,
    )  # fmt: skip
    assert Simulation(machine, 1000.0).next(20_000).std() == pytest.approx(np.sqrt(0.5), rel=0.01)
    with pytest.raises(ConfigurationError, match=r"ring at 3200 Hz, sampled at 1000 Hz.*7112 Hz or faster"):
        Simulation(machine, 1000.0, faults=(Fault(FaultKind.BALL),))


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_is_a_positive_number(rate_hz: float) -> None:
    with pytest.raises(ConfigurationError, match="sampling rate must be above 0"):
        Simulation(QUIET, rate_hz)


def test_a_seed_is_not_negative() -> None:
    with pytest.raises(ConfigurationError, match="with seed -2: a seed is 0 or above"):
        Simulation(QUIET, RATE_HZ, -2)


@pytest.mark.parametrize(
    ("kind", "order"), [(FaultKind.UNBALANCE, 1.0), (FaultKind.MISALIGNMENT, 2.0), (FaultKind.LOOSENESS, 1.5)]
)
def test_faults_of_the_shaft_have_their_order(kind: FaultKind, order: float) -> None:
    healthy = Simulation(QUIET, RATE_HZ, 1).next(120_000)
    faulty = Simulation(QUIET, RATE_HZ, 1, (Fault(kind, 0.0, 0.0, 2.0),)).next(120_000)
    assert amplitude_at(faulty, 25.0 * order) > 0.3 > 30 * amplitude_at(healthy, 25.0 * order)


def test_a_fault_grows_from_its_start() -> None:
    fault = Fault(FaultKind.OUTER_RACE, start_s=2.0, growth_s=4.0)
    signal = Simulation(QUIET, RATE_HZ, 1, (fault,)).next(round(8 * RATE_HZ))
    rms = np.sqrt(np.mean(signal.reshape(8, -1).astype(np.float64) ** 2, axis=1))
    assert rms[:2] == pytest.approx(0.01, rel=0.1)
    assert (np.diff(rms[1:7]) > 0).all()
    assert rms[7] == pytest.approx(rms[6], rel=0.1)


def test_the_shaft_drifts_slowly_and_within_bounds() -> None:
    machine = Machine(shaft_hz=25.0, speed_drift=0.01)
    simulation = Simulation(machine, 2000.0, 1)
    turns = np.concatenate(
        [simulation._turns(np.random.default_rng([1, i]), np.ones(CHUNK_SAMPLES)) for i in range(200)]
    )
    frequency_hz = np.diff(turns) * 2000.0
    assert 25.0 * 0.97 <= frequency_hz.min() < frequency_hz.max() <= 25.0 * 1.03
    assert np.abs(np.diff(frequency_hz)).max() < 0.01


def test_the_catalogue_vibrates_as_machines_do() -> None:
    for machine in catalogue().values():
        for number in range(3):
            rms = float(Simulation(measuring_point(machine, number), RATE_HZ, 5).next(60_000).std())
            assert 0.1 < rms < 5.0


def test_one_minute_of_a_healthy_machine_stands_for_the_next() -> None:
    for machine in catalogue().values():
        signal = Simulation(machine, RATE_HZ, 5).next(round(120 * RATE_HZ)).reshape(120, -1).astype(np.float64)
        level = np.sqrt(np.mean(signal**2, axis=1))
        assert level[60:].mean() == pytest.approx(level[:60].mean(), rel=0.01)
        assert level.std() < 0.03 * level.mean()


def test_most_of_a_healthy_signal_is_deterministic() -> None:
    for machine in catalogue().values():
        power = np.square(Simulation(machine, RATE_HZ, 5).next(120_000).astype(np.float64)).mean()
        assert machine.noise_mps2**2 < 0.3 * power


def test_speeds_take_turns_with_ramps_between_them() -> None:
    speeds = SpeedTurns(((1.0, 4.0), (0.5, 2.0)), 1.0)
    at_s = np.array([0.0, 3.9, 4.5, 5.0, 6.9, 7.5, 8.0, 12.0, 12.5])
    np.testing.assert_allclose(speeds.at(at_s), [1.0, 1.0, 0.75, 0.5, 0.5, 0.75, 1.0, 1.0, 0.75])


def test_lines_follow_the_speed_and_forces_its_square() -> None:
    """At half the speed the unbalance is at half the frequency, with a quarter of the amplitude."""
    speeds = SpeedTurns(((1.0, 10.0), (0.5, 10.0)), 2.0)
    machine = replace(QUIET, harmonics_mps2=(2.0,), speeds=speeds)
    signal = Simulation(machine, RATE_HZ).next(round(22 * RATE_HZ))
    for start_s, hz, amplitude_mps2 in ((0.0, 25.0, 2.0), (12.0, 12.5, 0.5)):
        frequencies, amplitude = lines(signal[round(start_s * RATE_HZ) :][: round(8 * RATE_HZ)])
        top = int(np.argmax(amplitude))
        assert frequencies[top] == pytest.approx(hz, abs=0.2)
        assert amplitude[top] == pytest.approx(amplitude_mps2, rel=0.05)
