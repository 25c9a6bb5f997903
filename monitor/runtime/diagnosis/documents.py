"""What is known of a channel's fault as JSON: for events and captures in short, for the page with its spectra."""

import base64
from typing import Any

import numpy as np

from monitor.core.diagnosis.naming import Finding
from monitor.runtime.diagnosis.case import Case
from monitor.runtime.diagnosis.messages import Spectrum
from monitor.runtime.intake.channel import Channel


def summary(case: Case) -> dict[str, Any]:
    """What the looks name, in the words of ``diagnose --json``; with when, and how many looks there were."""
    latest = case.latest.diagnosis if case.latest is not None else None
    return {
        "at_s": case.at_s,
        "looks": case.looks,
        "faults": [_fault(case, one) for one in case.named()],
        "repetition_rates_hz": [] if latest is None else [round(rate, 3) for rate in latest.rates_hz],
        "velocity_rms_mps": None if latest is None else latest.velocity_rms_mps,
        "reason": case.reason,
    }


def in_words(case: Case) -> str:
    """What the looks name, for a person; empty if they name nothing."""
    return "; ".join(one.words for one in case.named())


def whole(case: Case, channel: Channel) -> dict[str, Any]:
    """Everything that the page shows of it."""
    latest = case.latest
    found = None if latest is None else latest.diagnosis
    return {
        "channel": case.channel,
        "began_s": case.began_s or None,
        "in_alarm": case.alarmed,
        "doing": case.doing,
        **summary(case),
        "compared_with_healthy": case.with_healthy,
        "shaft_hz": None if found is None else found.shaft_hz,
        "orders": orders(channel),
        "line_frequency_hz": channel.sensor.machine.line_frequency_hz,
        "trend": [
            {"at_s": look.at_s, "depths": {f"{fault}, {part}": depth for (fault, part), depth in look.depths.items()}}
            for look in case.kept
        ],
        "spectrum": None if latest is None else _spectrum(latest.spectrum),
        "envelope": None if latest is None else _spectrum(latest.envelope),
        "envelope_band_hz": None if latest is None else latest.envelope_band_hz,
    }


def orders(channel: Channel) -> dict[str, float]:
    """The rates that the facts of the machine give, as multiples of the shaft's frequency, by name."""
    machine = channel.sensor.machine
    found = {"shaft": 1.0}
    for bearing in machine.named_bearings:
        rates = {"outer race": bearing.outer, "inner race": bearing.inner, "ball": bearing.ball, "cage": bearing.cage}
        found |= {f"{fault}, {bearing.name}": order for fault, order in rates.items()}
    found |= {f"mesh of {teeth} teeth": float(teeth) for teeth in machine.gears}
    if machine.blades is not None:
        found["blades"] = float(machine.blades)
    return found


def _fault(case: Case, one: Finding) -> dict[str, Any]:
    return {**one.document(), "named_looks": sum(one.what in look.faults for look in case.kept)}


def _spectrum(spectrum: Spectrum | None) -> dict[str, Any] | None:
    """Its values as base64 of little-endian float32."""
    if spectrum is None:
        return None
    values = base64.b64encode(np.asarray(spectrum.values, "<f4").tobytes()).decode()
    return {"step_hz": spectrum.step_hz, "values": values}
