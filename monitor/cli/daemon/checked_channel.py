"""What ``check-message`` says of one channel in a message."""

from datetime import UTC, datetime
from typing import Any

from monitor.config.sensors import Sensor
from monitor.core.arrays import Numbers


def channel_figures(sensor: Sensor, labels: dict[str, str], samples: Numbers) -> dict[str, Any]:
    """What a message says of one channel: (n,) samples as sent become figures in m/s²."""
    scaled = samples.astype(float) * sensor.factor_mps2
    return {
        "labels": labels,
        "samples": int(samples.size),
        "duration_s": samples.size / sensor.sampling_rate_hz,
        "mean_mps2": float(scaled.mean()),
        "rms_mps2": float(scaled.std()),
        "peak_mps2": float(abs(scaled).max()),
    }


def channel_line(figures: dict[str, Any]) -> str:
    """The figures of one channel as text."""
    names = ", ".join(f"{name}={value}" for name, value in figures["labels"].items())
    return (
        f"channel {names}: {figures['samples']} samples, {figures['duration_s']:.4g} s, "
        f"mean {figures['mean_mps2']:.4g}, RMS {figures['rms_mps2']:.4g}, peak {figures['peak_mps2']:.4g} m/s^2"
    )


def time_text(t: float | None) -> str:
    """A time stamp for people."""
    return "none" if t is None else f"{t} ({datetime.fromtimestamp(t, UTC):%Y-%m-%d %H:%M:%S} UTC)"
