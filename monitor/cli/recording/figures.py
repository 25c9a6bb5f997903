"""The figures that commands draw: forecasts, and the results of a backtest over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monitor.core.diagnosis.bearings import Bearing
from monitor.core.diagnosis.diagnose import Diagnosis
from monitor.core.scoring.alarm import State
from monitor.errors import ConfigurationError, MonitorError
from monitor.extras import missing
from monitor.model.artefact.card import FORECASTERS
from monitor.model.forecast_ahead import ForecastAhead
from monitor.model.training.report import Comparison
from monitor.offline.backtest import ChannelResult

SHOWN_CONTEXT_BLOCKS = 2
"""Blocks of context that are shown before the forecast."""

COLOURS = {State.WARNING: "#d9a400", State.ALARM: "#c0392b"}


def plot_forecast(file: Path, found: ForecastAhead, title: str, sampling_rate_hz: float, unit: str) -> None:
    """Write one figure: context, observed samples and forecast, and below them the residual.

    Args:
        file: file to write; its suffix sets the format, for example ``.png``.
        found: the forecast to show.
        title: title of the figure.
        sampling_rate_hz: sampling rate, for the time axis in milliseconds from the first forecast sample.
        unit: unit of the samples.
    """
    size = found.forecast.shape[1]
    before = found.context[-SHOWN_CONTEXT_BLOCKS * size :]
    observed, forecast = found.observed.reshape(-1), found.forecast.reshape(-1)
    milliseconds = 1e3 / sampling_rate_hz
    came_ms = np.arange(-before.size, observed.size) * milliseconds
    forecast_ms = np.arange(forecast.size) * milliseconds
    figure, (top, bottom) = new_figure(file, rows=2)
    top.plot(came_ms, np.concatenate([before, observed]), color="0.35", linewidth=1.0, label="observed")
    top.plot(forecast_ms, forecast, color="tab:orange", linewidth=1.2, label="forecast")
    for axes in (top, bottom):
        axes.axvline(0.0, color="0.7", linewidth=0.8)
        axes.set_xlim(came_ms[0], came_ms[-1])
        axes.set_ylabel(unit)
    top.set_title(f"{title}\ngap {found.gap:.4g} {unit}, gap ratio {found.gap_ratio:.3f}", fontsize=10)
    top.legend(loc="upper left")
    bottom.plot(forecast_ms, observed - forecast, color="tab:red", linewidth=1.0, label="observed - forecast")
    bottom.legend(loc="upper left")
    bottom.set_xlabel("ms from the first forecast sample")
    save_figure(file, figure)


def plot_positions(file: Path, comparison: Comparison, title: str) -> None:
    """Write one figure: the gap ratio at each sample of the block, for the network and the simpler forecasters."""
    figure, (axes,) = new_figure(file, rows=1)
    for name, ratio in comparison.ratios.items():
        positions = np.arange(1, len(ratio.by_position) + 1)
        axes.plot(positions, ratio.by_position, label=f"{FORECASTERS[name]} ({ratio.overall:.3f})")
    axes.set_xlabel("samples ahead")
    axes.set_ylabel("gap ratio")
    axes.set_title(f"{title}\n{comparison.blocks} blocks", fontsize=10)
    axes.set_ylim(0.0, 1.5)
    axes.legend(loc="upper right")
    save_figure(file, figure)


def plot_backtest(path: Path, results: list[ChannelResult]) -> None:
    """Write one figure: level, gaps, and score with limit and alarms, one channel below the other."""
    figure, axes = new_figure(path, 3 * len(results), row_height_in=2.0)
    for number, channel in enumerate(results):
        level, gaps, score = axes[3 * number : 3 * number + 3]
        time_s = np.array([interval.start_s for interval in channel.intervals])
        level.plot(time_s, [interval.rms for interval in channel.intervals], color="#4a6fa5", lw=1)
        level.set(title=channel.name, ylabel="RMS in m/s²")
        gaps.plot(time_s, [interval.gap_ratio for interval in channel.intervals], label="gap ratio", lw=1)
        gaps.plot(time_s, [interval.gap_whitened for interval in channel.intervals], label="whitened gap", lw=1)
        gaps.set(ylabel="gap", yscale="log")
        gaps.legend(loc="upper left")
        score.plot(time_s, [interval.score for interval in channel.intervals], color="#333333", lw=1)
        score.axhline(1.0, color=COLOURS[State.ALARM], ls="--", lw=1, label="limit")
        states = np.array([interval.alarm_state for interval in channel.intervals])
        for state, colour in COLOURS.items():
            score.fill_between(
                time_s, 0, 1, where=states == state, transform=score.get_xaxis_transform(), color=colour, alpha=0.25,
                label=state.name.lower(), step="post",
            )  # fmt: skip
        score.set(xlabel="s", ylabel="score")
        score.legend(loc="upper left")
    save_figure(path, figure)


def plot_diagnosis(file: Path, found: Diagnosis, bearings: Sequence[Bearing]) -> None:
    """Write one figure: the envelope spectra of the bands, with the lines of the bearings or the rates marked.

    Args:
        file: file to write.
        found: the diagnosis.
        bearings: whose orders are marked where a speed is known.
    """
    figure, (axes,) = new_figure(file, rows=1, row_height_in=4.5)
    spectra = found.spectra
    if spectra is not None:
        frequency = np.arange(spectra.depth.shape[1]) * spectra.resolution_hz
        scale = found.shaft_hz or 1.0
        for (low, high), depth in zip(spectra.bands_hz[: spectra.whole], spectra.depth, strict=False):
            axes.plot(frequency / scale, depth, linewidth=0.7, label=f"{low / 1e3:.3g} to {high / 1e3:.3g} kHz")
        marks = {f"{rate:.1f} Hz": rate for rate in found.rates_hz} if found.shaft_hz is None else {}
        for bearing in bearings if found.shaft_hz is not None else ():
            marks |= {f"BPFO {bearing.name}": bearing.outer, f"BPFI {bearing.name}": bearing.inner}
            marks |= {f"ball {bearing.name}": bearing.ball, f"FTF {bearing.name}": bearing.cage}
        for number, (name, at) in enumerate(marks.items()):
            axes.axvline(at, color=f"C{number % 10}", linewidth=0.8, linestyle="--")
            axes.text(
                at, 1.0, name, transform=axes.get_xaxis_transform(), rotation=90, va="top", ha="right", fontsize=7
            )
        axes.set_xlim(0.0, min(20.0, spectra.highest_hz / scale) if found.shaft_hz else spectra.highest_hz)
        axes.legend(loc="upper right", fontsize=7)
    axes.set_xlabel("multiples of the shaft's frequency" if found.shaft_hz else "Hz")
    axes.set_ylabel("depth of modulation of the squared envelope")
    named = ", ".join(f"{one.fault} ({one.part}), p {one.p_value:.0e}" for one in found.faults) or "not named"
    axes.set_title(f"{found.name}\n{named}", fontsize=10)
    save_figure(file, figure)


def new_figure(file: Path, rows: int, row_height_in: float = 3.2) -> tuple[Any, Any]:
    """A figure for ``file``, and its axes from top to bottom.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError(missing("matplotlib", f"{file}: drawing")) from error
    figure = Figure(figsize=(9, row_height_in * rows), layout="constrained")
    return figure, figure.subplots(rows, 1, squeeze=False)[:, 0]


def save_figure(file: Path, figure: Any) -> None:
    """Write a figure.

    Raises:
        MonitorError: the file cannot be written.
    """
    try:
        figure.savefig(file, dpi=120)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MonitorError(f"{file}: cannot be written: {reason}; check folder and free space") from error
