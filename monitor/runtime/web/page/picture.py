"""The picture of one channel: its latest samples, their forecasts, and the spectra of both.

The forecasts are computed again from the last samples in the ring (:mod:`monitor.core.recompute`), with a separate
engine on another thread. The network's context begins one warm-up before the first shown sample, if the ring has it.
"""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.core.arrays import Float32
from monitor.core.forecasting.forecaster import Engine, make_forecaster
from monitor.core.recompute import recompute
from monitor.core.scoring.interval.head import Head
from monitor.core.spectrum import amplitude_spectrum

WAVE_SAMPLES = 2_000
"""Most samples of the waveform that are shown, however fast the sensor."""

WAVE_S = 0.12
"""Seconds of the waveform that are shown, up to :data:`WAVE_SAMPLES`: a few revolutions of a shaft, short enough to
tell single impacts apart."""

SPECTRUM_BLOCKS = 32
"""Blocks in the spectra. Fewer: coarser and noisier spectra. More: each picture costs more steps of the network
(measured with the reference network: 57 steps take 4 ms of one core)."""

LEVEL_BLOCKS = 40
"""Most blocks before the first forecast over which the level settles. Fewer: a few blocks decide the level that scales
the network's input. More: 15 µs each, for every picture."""


@dataclass(frozen=True)
class Picture:
    """Measured and forecast samples of one channel, ending with its latest complete block."""

    start_sample: int
    """Stream index of the first sample."""
    measured_mps2: Float32
    """(n,) the samples, in m/s²."""
    forecast_mps2: Float32
    """(n,) the forecast of each sample, made one block ahead, in m/s²."""
    warmup_samples: int
    """Number of first samples that were forecast before the network had warmed up."""


def blocks_needed(window_blocks: int) -> int:
    """Most blocks of a channel that :func:`make_picture` can use."""
    return LEVEL_BLOCKS + window_blocks + SPECTRUM_BLOCKS


def make_picture(
    engine: Engine, mode: str, start_sample: int, blocks: Float32, level_blocks: int, head: Head | None = None
) -> Picture | None:
    """Forecast every block from the blocks before it.

    Args:
        engine: runs the network; no other thread may use it.
        mode: ``carried`` or ``windowed``.
        start_sample: stream index of the first sample.
        blocks: (n, block_samples) in m/s², consecutive blocks of one context.
        level_blocks: time constant of the level.
        head: head of the channel; None without a calibration.

    Returns:
        A picture of at most the last :data:`SPECTRUM_BLOCKS` blocks; None if there are fewer than two.
    """
    if len(blocks) < 2:
        return None
    warmup_blocks = engine.window_blocks
    first = max(0, len(blocks) - 1 - warmup_blocks - SPECTRUM_BLOCKS)
    shown = min(SPECTRUM_BLOCKS, len(blocks) - 1)
    made = recompute(make_forecaster(engine, mode, 1), blocks, level_blocks, head=head, first=first)
    forecast = made.forecast[-shown:]
    block_samples = blocks.shape[1]
    return Picture(
        start_sample + (len(blocks) - shown) * block_samples,
        blocks[-shown:].reshape(-1),
        forecast.reshape(-1),
        max(0, shown - max(0, len(blocks) - 1 - first - warmup_blocks)) * block_samples,
    )


def picture_document(picture: Picture, rate_hz: float) -> dict[str, Any]:
    """A picture as JSON for the browser; arrays are base64 of little-endian float32."""
    measured, forecast = picture.measured_mps2, picture.forecast_mps2
    shown = min(measured.size, WAVE_SAMPLES, max(200, int(WAVE_S * rate_hz)))
    return {
        "start_sample": picture.start_sample + measured.size - shown,
        "rate_hz": rate_hz,
        "no_forecast": bool(np.isnan(forecast).any()),
        "warmup_samples": max(0, picture.warmup_samples - (measured.size - shown)),
        "measured": _packed(measured[-shown:]),
        "forecast": _packed(forecast[-shown:]),
        "step_hz": rate_hz / (measured.size // 2),
        "spectrum": {
            "measured": _packed(amplitude_spectrum(measured)),
            "forecast": _packed(amplitude_spectrum(forecast)),
            "residual": _packed(amplitude_spectrum(measured - forecast)),
        },
    }


def _packed(values: Float32) -> str:
    return b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()
