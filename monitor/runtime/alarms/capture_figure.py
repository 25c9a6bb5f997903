"""The figure of a capture as PNG: the waveform with its forecast, and the spectra of samples and residual.

Beside both stands what they are when the channel is healthy, if that is known.
Text comes from topics and messages. So it is drawn literally, never parsed as a formula, and characters that the font
lacks are drawn as escapes.
"""

import gc
import io
import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from monitor.core.arrays import Float32, Float64
from monitor.runtime.history.healthy import Healthy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURED, FORECAST, RESIDUAL, HEALTHY = "#4a6fa5", "#d9a400", "#c0392b", "#2e8b57"
DETAIL_S = 0.03
"""Seconds before and after the alarm that are shown in detail: short enough to tell single impacts apart."""

TITLE_CHARACTERS = 110
"""Longest line of the title: as wide as the figure. More: long names are cut off. Less: needless lines."""


class Envelope(NamedTuple):
    """The spectrum of the envelope, with marked lines."""

    step_hz: float
    """Distance of two lines."""
    depth: Float32
    """(lines,) depth of modulation."""
    band_hz: tuple[float, float]
    """Band of which it is."""
    marks: list[tuple[str, float]]
    """Name and frequency in Hz of each mark."""


def draw_capture(
    title: str,
    sampling_rate_hz: float,
    band_hz: tuple[float, float] | None,
    curves: tuple[Float32, Float32, Float32],
    alarm_sample: int,
    healthy: Healthy | None = None,
    envelope: Envelope | None = None,
) -> bytes | None:
    """Draw a capture; None without matplotlib.

    Args:
        title: any text.
        sampling_rate_hz: sampling rate of the curves.
        band_hz: frequency band that stands out; None: none does.
        curves: samples, forecast and residual, each (n,) in m/s²; NaN is not drawn.
        alarm_sample: index at which the alarm rose; it may be before the first sample.
        healthy: what the channel looks like when it is healthy; None: not known.
        envelope: spectrum of the envelope; None: it is not drawn.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    samples, forecast, residual = curves
    sound = below = None
    rows = 3 if envelope is None else 4
    figure = Figure(figsize=(10, 7 * rows / 3), layout="constrained")
    places = figure.add_gridspec(rows, 2)
    whole = figure.add_subplot(places[0, :])
    detail = figure.add_subplot(places[1, :] if healthy is None else places[1, 1])
    spectrum = figure.add_subplot(places[2, :])
    time_s = (np.arange(samples.size) - alarm_sample) / sampling_rate_hz
    whole.plot(time_s, samples, lw=0.4, color=MEASURED)
    whole.axvline(0.0, color=RESIDUAL, lw=1)
    whole.set(xlabel="s from the alarm", ylabel="m/s²")
    lines = textwrap.wrap(_drawable(title), TITLE_CHARACTERS, max_lines=3)
    whole.set_title("\n".join(lines), parse_math=False, fontsize=10)
    nearest, reach = min(max(0, alarm_sample), samples.size), round(DETAIL_S * sampling_rate_hz)
    part = slice(max(0, nearest - reach), nearest + reach)
    detail.plot(time_s[part], samples[part], lw=1, color=MEASURED, label="measured")
    detail.plot(time_s[part], forecast[part], lw=1, color=FORECAST, label="forecast")
    detail.set(xlabel="s from the alarm", ylabel="m/s²")
    detail.legend(loc="upper right")
    if healthy is not None:
        sound = figure.add_subplot(places[1, 0], sharey=detail)
        shown = healthy.samples[-2 * reach :]
        sound.plot(np.arange(shown.size) / healthy.rate_hz, shown, lw=1, color=HEALTHY)
        sound.set(xlabel="s", ylabel="m/s²")
        sound.set_title(f"when healthy, {datetime.fromtimestamp(healthy.last_s, UTC):%Y-%m-%d %H:%M} UTC", fontsize=9)
        detail.set_title("now, same scale", fontsize=9)
        spectrum.fill_between(*_healthy_spectrum(healthy), color=HEALTHY, alpha=0.35, lw=0, label="healthy")
    for values, label, colour in ((samples, "measured", MEASURED), (residual, "residual", RESIDUAL)):
        finite = values[np.isfinite(values)]
        if finite.size > 256:
            frequency, amplitude = _spectrum(finite, sampling_rate_hz)
            spectrum.semilogy(frequency, amplitude, lw=0.7, color=colour, label=label)
    if band_hz is not None:
        spectrum.axvspan(*band_hz, color=FORECAST, alpha=0.2, label="band that stands out")
    spectrum.set(xlabel="Hz", ylabel="m/s²/√Hz")
    if spectrum.get_legend_handles_labels()[0]:
        spectrum.legend(loc="upper right")
    if envelope is not None:
        below = figure.add_subplot(places[3, :])
        _draw_envelope(below, envelope)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    # A figure refers to itself. Left to a later collection, figures took 80 MB more after 60 captures (measured); this
    # takes 0.07 s, on the thread that draws.
    del figure, whole, detail, spectrum, places, sound, below
    gc.collect()
    return buffer.getvalue()


def _healthy_spectrum(healthy: Healthy) -> tuple[Float64, Float64]:
    """Frequencies and amplitude spectral density, without the mean."""
    step_hz = healthy.rate_hz / (2 * (healthy.power.size - 1))
    frequency = np.asarray(np.arange(healthy.power.size) * step_hz, np.float64)
    # A sine of amplitude a has the power a²/2; a Hann window spreads it over 1.5 lines.
    return frequency[1:], np.asarray(np.sqrt(healthy.power[1:] / 3.0 / step_hz), np.float64)


def _draw_envelope(axes: "Axes", envelope: Envelope) -> None:
    step_hz, depth, (low, high), marks = envelope
    axes.plot(step_hz * np.arange(depth.size), depth, lw=0.7, color=RESIDUAL)
    named = set[str]()
    for name, hertz in marks:
        if hertz < step_hz * depth.size:
            colour = FORECAST if name == marks[0][0] else MEASURED
            axes.axvline(hertz, color=colour, lw=1, ls="--", label=None if name in named else _drawable(name))
            named.add(name)
    axes.set(xlabel=f"Hz, envelope of {low:.0f} to {high:.0f} Hz", ylabel="depth")
    if named:
        axes.legend(loc="upper right")


def _drawable(text: str) -> str:
    """The text with backslash escapes for characters that are invisible or missing in the font."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    glyphs = get_font(findfont(FontProperties())).get_charmap()
    return "".join(one if one.isprintable() and ord(one) in glyphs else ascii(one)[1:-1] for one in text)


def _spectrum(values: Float32, rate_hz: float) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], ...]:
    """Frequencies and amplitude spectral density by Welch's method with Hann windows."""
    from scipy.signal import welch

    frequency, density = welch(values, rate_hz, nperseg=min(2048, values.size))
    return frequency, np.sqrt(density)
