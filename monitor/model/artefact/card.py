"""The model card: the ``README.md`` of a model directory, written from the manifest alone."""

import itertools
from typing import Any

FORECASTERS = {
    "network": "this network",
    "linear": "AR, all recordings",
    "linear_own": "AR, this recording",
    "zero": "zero",
    "persistence": "last block again",
}
"""Column titles for the forecasters of :mod:`monitor.model.training.report`."""


NOTHING = 0.97
"""Gap ratio above which a recording is said to hold nothing to forecast; white noise has 1. Lower: a weak but real
forecast is called nothing (an AR model has 0.94 to 0.99 on FEMTO bearings, ``tests/benchmarks/forecast.py``). Higher:
chance is called a forecast."""


def card(name: str, manifest: dict[str, Any]) -> str:
    """Write the text of the card.

    Args:
        name: name of the model.
        manifest: all fields of :class:`monitor.model.artefact.artefact.Manifest` except ``files``.

    Returns:
        Markdown.
    """
    shape, training = manifest["shape"], manifest["training"]
    first, second = shape["units"]
    size = shape["block_samples"]
    lines = [
        f"# Model {name}",
        "",
        (
            f"Forecasts the next {size} samples of a healthy vibration signal from the samples before them. "
            f"LSTM {first}, LSTM {second}, dense {shape['hidden']}, dense {size}: {manifest['parameters']:,} "
            "parameters. Input is divided by a running RMS over "
            f"{manifest['scaling']['time_constant_blocks']} blocks, so the gain does not matter."
        ),
        "",
        (
            "Intended use: the forecast gap of `vibration-monitor`, after calibration on healthy data of the channel. "
            "By itself, the model does not tell whether a machine is healthy."
        ),
        "",
        *_universal(training.get("universal")),
        *_recordings(training.get("recordings", [])),
        *_recipe(training),
        *_report(training.get("report", []), size),
        "## Files",
        "",
        (
            "`model.keras` (Keras, whole windows), `model.onnx` (carried state and windows), `golden.npz` (inputs with "
            "Keras' forecasts), `manifest.json` (hashes, recipe, losses, the report by position in the block). "
            "`vibration-monitor models verify DIR` checks them all."
        ),
        "",
        "Made with " + ", ".join(f"{library} {number}" for library, number in manifest["versions"].items()) + ".",
    ]
    return "\n".join(lines) + "\n"


def _universal(universal: dict[str, Any] | None) -> list[str]:
    if not universal:
        return []
    found = universal["random_machines"]
    classes = [
        f"| {each['from']:g} to {each['to']:g} | {each['count']} | {each['linear_own_median']:.3f} | "
        f"{each['gap_ratio_median']:.3f} | {each['gap_ratio_max']:.3f} | {each['better_than_linear_own']:.0%} |"
        for each in found["classes"]
    ]
    tones = universal["tones"]
    return [
        "## A universal model",
        "",
        (
            "Trained on random machines of `monitor/simulation/random_vibration.py`: harmonic families, carriers with "
            "sidebands, single lines, coloured and modulated noise, impacts that ring, with drift of speed and "
            "amplitude, roll-off, offset and quantisation, at any sampling rate."
            + ("" if universal["recordings"] else " No recording was used: it has seen no real machine.")
        ),
        "",
        (
            f"Gap ratio on {found['count']} random machines of a seed kept apart; an AR model of order 100 was fitted "
            "to the other half of each signal. Where that AR model foresees little, the network foresees little too: "
            "there it is useless, and limits rest on the spectrum alone."
        ),
        "",
        "| own AR model | machines | its median | network, median | network, largest | network better |",
        "|---|---|---|---|---|---|",
        *classes,
        "",
        (
            "Gap ratio on a single steady tone 30 dB above white noise, by frequency in cycles per sample (0.5 is half "
            "the sampling rate):"
        ),
        "",
        "| " + " | ".join(f"{each['frequency']:g}" for each in tones) + " |",
        "|" + "---|" * len(tones),
        "| " + " | ".join(f"{each['gap_ratio']:.3f}" for each in tones) + " |",
        "",
    ]


def _recordings(recordings: list[dict[str, Any]]) -> list[str]:
    if not recordings:
        return []
    rows = [
        f"| {each['name']} | {each['sampling_rate_hz']:g} | {each['trained_samples'] / each['sampling_rate_hz']:.1f} | "
        f"{each['held_out_samples'] / each['sampling_rate_hz']:.1f} |"
        for each in recordings
    ]
    return ["## Trained on", "", "| recording | Hz | trained, s | held out, s |", "|---|---|---|---|", *rows, ""]


def _recipe(training: dict[str, Any]) -> list[str]:
    recipe = training.get("recipe")
    if not recipe:
        return []
    # A universal training has no epochs; every tenth of its hundred reports is enough. A short one has few.
    told = (training["losses"][9::10] if training.get("universal") else []) or training["losses"]
    losses = ", ".join(f"{loss:.4f}" for loss in told)
    validation = ", ".join(f"{loss:.4f}" for loss in training["validation_losses"])
    return [
        *_started_from(training.get("started_from")),
        "Recipe: " + ", ".join(f"{key} {value}" for key, value in recipe.items()) + ".",
        f"Loss {'in the course of the training' if training.get('universal') else 'by epoch'}: {losses}."
        + (f" Validation: {validation}." if validation else ""),
        f"Training took {training['seconds']:.0f} s." + (" It was stopped early." if training["interrupted"] else ""),
        "",
    ]


def _started_from(start: dict[str, Any] | None) -> list[str]:
    if not start:
        return []
    names = ", ".join(each["name"] for each in start["recordings"])
    text = f"The training continued with the weights of the model `{start['name']}`, SHA-256 `{start['sha256']}`"
    return [text + (f", which has seen {names}." if names else "."), ""]


def _report(report: list[dict[str, Any]], size: int) -> list[str]:
    if not report:
        return []
    names = list(FORECASTERS)
    rows = [
        f"| {each['name']} | {each['blocks']} | "
        + " | ".join(f"{each['gap_ratio'][name]:.3f}" for name in names)
        + f" | {quarters(each['by_position']['network'])} |"
        for each in report
    ]
    return [
        "## Held-out healthy data",
        "",
        (
            "Gap ratio: residual energy over signal energy; 0 is perfect, 1 is as good as forecasting no vibration. "
            f"The AR columns are linear models of order {size}, iterated over the block, fitted on the same data as "
            "the network or on this recording's part of it alone. The last column is the network's ratio in the four "
            "quarters of the block, from one sample ahead to a whole block."
        ),
        "",
        "| recording | blocks | " + " | ".join(FORECASTERS[name] for name in names) + " | by quarter |",
        "|---|---|" + "---|" * len(names) + "---|",
        *rows,
        "",
        *_nothing(report),
    ]


def _nothing(report: list[dict[str, Any]]) -> list[str]:
    names = [each["name"] for each in report if nothing_to_forecast(each["gap_ratio"])]
    if not names:
        return []
    return [f"Noise to the network and to an AR model alike, so that a forecast adds nothing: {', '.join(names)}.", ""]


def nothing_to_forecast(ratios: dict[str, float]) -> bool:
    """Whether neither the network nor an AR model of the recording forecasts it; gap ratios by forecaster."""
    return min(ratios["network"], ratios["linear_own"]) > NOTHING


LITTLE = 0.9
"""Gap ratio above which a forecast adds little to the score: nine tenths of the energy are not foreseen. Lower: useful
forecasts are called little. Higher: users wait for an effect that does not come."""


def advice(ratios: dict[str, float]) -> str:
    """What a user should know of a recording that the network hardly forecasts; empty if it does.

    Args:
        ratios: gap ratios by forecaster.
    """
    network, own = ratios["network"], ratios["linear_own"]
    if network <= LITTLE:
        return ""
    if own <= LITTLE:
        return (
            f"the network foresees little of it (gap ratio {network:.2f}), but an AR model of this recording foresees "
            f"more ({own:.2f}): give longer recordings, or --epochs and --windows. calibrate uses the better of both"
        )
    return (
        f"it is broad-band noise, gap ratio {network:.2f}: the forecast adds little here, and its score rests on level "
        "and spectrum. If the machine has tones or impacts that a spectrum shows, a sensor nearer to them, stiffly "
        "mounted, or a lower --decimate may help; more training will not"
    )


def verdict(ratios: dict[str, float]) -> str:
    """What the gap ratios of one recording mean, as one sentence."""
    network, own = ratios["network"], ratios["linear_own"]
    if nothing_to_forecast(ratios):
        return "nothing to forecast: this recording is noise to the network and to an AR model alike"
    if network > 1:
        return "the network is worse than no forecast; an AR model of this recording is better"
    better = "better" if network < own else "worse"
    return f"the network is {abs(1 - network / max(own, 1e-6)) * 100:.0f} % {better} than an AR model of this recording"


def quarters(by_position: list[float]) -> str:
    """Format the mean of each quarter of a block."""
    size = len(by_position)
    ends = [size * k // 4 for k in range(5)]
    parts = [by_position[a:b] for a, b in itertools.pairwise(ends)]
    return " / ".join(f"{sum(part) / len(part):.2f}" for part in parts)
