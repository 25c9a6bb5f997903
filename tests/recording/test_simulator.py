import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import hilbert

from monitor.recording.machine import Bearing, Fault, FaultKind, Machine, catalogue, measuring_point
from monitor.recording.simulator import Simulation

RATE_HZ = 12000.0
QUIET = Machine(shaft_hz=25.0, speed_drift=0.0, harmonics_mps2=(), noise_mps2=0.01)


def lines(signal: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Frequencies and amplitudes of a Hann-windowed spectrum."""
    window = np.hanning(signal.size)
    amplitude = np.abs(np.fft.rfft((signal - signal.mean()) * window)) * 2 / window.sum()
    frequencies = np.fft.rfftfreq(signal.size, 1 / RATE_HZ).astype(np.float64)
    return frequencies, amplitude.astype(np.float64)


def amplitude_at(signal: npt.NDArray[np.float32], frequency_hz: float) -> float:
    frequencies, amplitudes = lines(signal)
    near = np.abs(frequencies - frequency_hz) < 1.0
    return float(amplitudes[near].max())


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 6000), min_size=1, max_size=8), st.sampled_from(list(FaultKind)))
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
    turns = np.concatenate([simulation._turns(np.random.default_rng([1, i])) for i in range(200)])
    frequency_hz = np.diff(turns) * 2000.0
    assert 25.0 * 0.97 <= frequency_hz.min() < frequency_hz.max() <= 25.0 * 1.03
    assert np.abs(np.diff(frequency_hz)).max() < 0.01


def test_the_catalogue_vibrates_as_machines_do() -> None:
    for machine in catalogue().values():
        for number in range(3):
            rms = float(Simulation(measuring_point(machine, number), RATE_HZ, 5).next(60_000).std())
            assert 0.1 < rms < 5.0
