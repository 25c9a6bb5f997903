"""The head of a channel against slow twins, and what its fit decides."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.fft import dct

from monitor.core.arrays import Float32, Float64, Floats
from monitor.core.learning.head_fit import NO_NETWORK, Stretch, choose, fit_head
from monitor.core.scoring.interval.head import Head, cosines
from tests.support.channels.healthy import BLOCK, signal, stretch


def made_up(seed: int = 0, size: int = 12) -> Head:
    rng = np.random.default_rng(seed)
    past = rng.normal(size=size) * 0.5 ** np.arange(1, size + 1)
    summary = (0.2 * rng.normal(size=(2 * size, 5))).astype(np.float32)
    ahead, carried = (0.2 * rng.normal(size=(2, 5, size))).astype(np.float32)
    return Head(past, 0.5 + rng.random(size), 0.5 + rng.random(size), summary, ahead, carried)


def innovations(head: Head, before: Float64, block: Float64, network: Float64) -> Float64:
    """What is left of a block when each sample is predicted from those of the block before it, and from the summary."""
    summary = np.concatenate([before, network]) @ head.summary
    left = []
    for t in range(before.size):
        predicted = sum(weight * block[t - lag] for lag, weight in enumerate(head.past[:t], 1))
        left.append(block[t] - predicted - summary @ head.carried[:, t])
    return np.array(left)


def without_network(head: Head) -> Head:
    summary = head.summary.copy()
    summary[head.past.size :] = 0.0
    return replace(head, summary=summary)


@pytest.mark.parametrize("with_network", [True, False])
def test_the_components_are_the_scaled_spectrum_of_the_innovations(*, with_network: bool) -> None:
    head, rng = made_up(), np.random.default_rng(1)
    head = head if with_network else without_network(head)
    before, block, network = rng.normal(size=(3, 7, 12))
    expected = np.array([innovations(head, *one) for one in zip(before, block, network, strict=True)])
    expected = dct(expected * head.position_scale, norm="ortho", axis=1) * head.component_scale
    np.testing.assert_allclose(head.components(before, block, network), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(head.scaled(head.innovations(before, block, network)), expected, rtol=0, atol=1e-5)
    assert head.uses_network == with_network
    if not with_network:
        np.testing.assert_array_equal(head.forecast(before, np.nan * network), head.forecast(before, network))


@pytest.mark.parametrize("size", [1, 7, 100])
def test_cosines_are_the_orthonormal_transform(size: int) -> None:
    np.testing.assert_allclose(cosines(size), dct(np.eye(size), norm="ortho", axis=1), rtol=0, atol=1e-12)


def test_the_fit_finds_the_model_that_made_the_data() -> None:
    head = fit_head([stretch(signal(3000, 3))], (NO_NETWORK,)).head
    assert head.past[:3] == pytest.approx([1.2, -0.8, 0.0], abs=0.03)
    assert not head.uses_network


def test_whitened_healthy_data_have_unit_energy_at_every_frequency_even_if_new() -> None:
    head = fit_head([stretch(signal(4000, 1))]).head
    new = stretch(signal(4000, 2))
    components = head.components(new.blocks_before(slice(None)), new.signal, new.forecast)
    assert np.mean(components**2, axis=0) == pytest.approx(1.0, abs=0.15)
    assert np.abs(np.corrcoef(components.T) - np.eye(BLOCK)).max() < 0.15


def forecast_weights(head: Head) -> Floats:
    """Weights of the block before and of the network's forecast in the forecast."""
    return head.summary @ head.ahead


def of_all(head: Head) -> Floats:
    """Weights of block, block before and network's forecast in the components."""
    size = head.past.size
    return np.concatenate([head.whitening[:size], head.summary @ head.whitening[size:]])


def with_hum(blocks: int, share: float, seed: int) -> tuple[Float32, Float32]:
    """Noise, and a hum that only the network foresees, as it is not periodic; with ``share`` of its amplitude."""
    rng = np.random.default_rng(seed)
    noise, hum = rng.normal(size=(2, blocks, BLOCK)).astype(np.float32)
    return noise + 2.0 * hum, share * 2.0 * hum


@pytest.mark.parametrize("share", [1.0, 0.3, -1.0])
def test_a_forecast_that_knows_more_is_used_whatever_its_gain(share: float) -> None:
    blocks, forecast = with_hum(400, share, 1)
    fitted = fit_head([Stretch(np.zeros(BLOCK, np.float32), blocks, forecast)])
    assert fitted.head.uses_network
    assert fitted.trust == pytest.approx(0.8, abs=0.05)
    assert fitted.linear_trust == pytest.approx(0.0, abs=0.02)


def test_a_forecast_that_knows_nothing_gets_no_weight() -> None:
    for seed in range(20):
        blocks = signal(300, seed)
        forecast = np.random.default_rng(100 + seed).normal(size=blocks.shape).astype(np.float32)
        fitted = fit_head([Stretch(np.zeros(BLOCK, np.float32), blocks, forecast)])
        assert not fitted.head.uses_network
        assert fitted.trust == fitted.linear_trust


def test_a_constant_output_is_no_forecast_of_a_line_that_is_in_phase_with_the_blocks() -> None:
    blocks, rng = 100, np.random.default_rng(4)
    angle = 2 * np.pi * np.arange(blocks * BLOCK).reshape(blocks, BLOCK) / (BLOCK * 1.0002)
    signal_ = sum(np.cos(k * angle + k) for k in (1, 2, 4, 5, 7)) + 0.3 * rng.normal(size=angle.shape)
    constant = rng.normal(size=BLOCK) * (1 + 0.05 * rng.normal(size=(blocks, 1)))
    fitted = fit_head([Stretch(np.zeros(BLOCK, np.float32), signal_.astype(np.float32), constant.astype(np.float32))])
    assert fitted.trust - fitted.linear_trust < 0.1


def test_a_forecast_that_exploded_or_is_zero_in_a_part_gets_no_weight() -> None:
    blocks, hum = with_hum(400, 1.0, 1)
    for forecast in (np.float32(1e30) * hum, 0 * hum, hum * (np.arange(400) < 100)[:, None]):
        fitted = fit_head([Stretch(np.zeros(BLOCK, np.float32), blocks, forecast)])
        assert not fitted.head.uses_network


@pytest.mark.parametrize(
    ("gain_db", "used"),
    [
        (np.full((4, 4), 0.2), True),
        (np.full((4, 4), 0.04), False),
        (np.array([[0.5], [0.0], [0.0], [0.0]]).repeat(4, axis=1), False),  # in one fold only: chance
        (np.array([[3.0, 3.0, 3.0, -0.4]]).repeat(4, axis=0), True),
        (np.array([[3.0, 3.0, 3.0, -0.6]]).repeat(4, axis=0), False),  # at the cost of one band
    ],
)
def test_the_network_is_used_for_a_sure_gain_that_costs_no_band_much(gain_db: Float64, used: bool) -> None:
    losses = np.stack([np.zeros((4, 4)), -gain_db * np.log(10.0) / 20.0])
    assert choose(losses) == int(used)


def test_stretches_that_join_are_fitted_as_one() -> None:
    blocks, hum = with_hum(400, 1.0, 1)
    whole = fit_head([Stretch(blocks[0], blocks[1:], hum[1:])])
    parts = [Stretch(blocks[at], blocks[at + 1 : end + 1], hum[at + 1 : end + 1]) for at, end in ((0, 120), (120, 399))]
    found = fit_head(parts)
    np.testing.assert_allclose(of_all(found.head), of_all(whole.head), atol=0.02)
    np.testing.assert_allclose(forecast_weights(found.head), forecast_weights(whole.head), atol=0.02)
    assert found.trust == pytest.approx(whole.trust, abs=1e-3)


def test_a_head_does_not_depend_on_the_gain() -> None:
    blocks, hum = with_hum(400, 1.0, 1)
    one = fit_head([Stretch(np.zeros(BLOCK, np.float32), blocks, hum)]).head
    loud = fit_head([Stretch(np.zeros(BLOCK, np.float32), 1000 * blocks, 1000 * hum)]).head
    np.testing.assert_allclose(forecast_weights(loud), forecast_weights(one), atol=1e-5)
    np.testing.assert_allclose(1000 * of_all(loud), of_all(one), rtol=1e-3, atol=1e-5)


def test_what_is_held_out_is_what_counts() -> None:
    """With as few blocks as a calibration takes, chance gets no weight either."""
    used = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        blocks, forecast = rng.normal(size=(2, 48, 100)).astype(np.float32)
        used += fit_head([Stretch(np.zeros(100, np.float32), blocks, forecast)]).head.uses_network
    assert used == 0


def test_the_energy_of_a_component_is_that_of_what_gives_it_alone_when_added_to_a_block() -> None:
    blocks, hum = with_hum(400, 1.0, 1)
    head = fit_head([Stretch(np.zeros(BLOCK, np.float32), blocks, hum)]).head
    alone = np.linalg.inv(head.whitening[:BLOCK].astype(np.float64))
    np.testing.assert_allclose(head.component_energy, (alone**2).sum(axis=1), rtol=1e-3)
