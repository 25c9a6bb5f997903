"""``models``: shows the contents of a model directory, and verifies it."""

import json
from pathlib import Path

import click

from monitor.cli.options.model import model_argument


@click.group(name="models")
def command() -> None:
    """Inspect or verify a model directory.

    Example: vibration-monitor models verify reference
    """


@command.command()
@model_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def inspect(model: Path, as_json: bool) -> None:
    """Show a model's layers, its training recordings and its results.

    Example: vibration-monitor models inspect reference
    """
    from monitor.cli.model.training_shown import layer_table, report_text
    from monitor.model.artefact.artefact import load_artefact

    artefact = load_artefact(model)
    manifest = artefact.manifest
    if as_json:
        click.echo(json.dumps({"model": str(model), "sha256": artefact.sha256, **manifest.model_dump(mode="json")}))
        return
    shape = manifest.shape
    click.echo(f"{model}: sha256 {artefact.sha256}")
    click.echo(f"block {shape.block_samples} samples, window {shape.window_blocks} blocks")
    click.echo(layer_table(shape))
    rates = ", ".join(f"{rate:g}" for rate in manifest.sampling_rates_hz)
    recordings = manifest.training.get("recordings", [])
    universal = "trained on random machines, for any sampling rate" + (", and on" if recordings else "")
    click.echo(f"trained at {rates} Hz on" if rates else universal)
    for recording in recordings:
        click.echo(f"  {recording['name']}  sha256 {recording['sha256'][:16]}")
    if "losses" in manifest.training:
        click.echo(report_text(manifest.training))
    click.echo("made with " + ", ".join(f"{name} {number}" for name, number in manifest.versions.items()))


@command.command()
@model_argument
@click.option("--tensorflow", is_flag=True, help="Check the TensorFlow engine too.")
@click.option("--jax", is_flag=True, help="Check the JAX engine too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify(model: Path, tensorflow: bool, jax: bool, as_json: bool) -> None:
    """Check sizes and hashes, and that the ONNX graph and the Keras file both give the golden forecasts.

    Example: vibration-monitor models verify reference
    """
    from monitor.cli.warning import warn
    from monitor.extras import installed, missing
    from monitor.model.artefact.artefact import load_artefact
    from monitor.model.artefact.onnx_graph import onnx_bytes
    from monitor.model.engines.engines import load_engine
    from monitor.model.engines.onnx_engine import OnnxEngine

    artefact = load_artefact(model)
    shape = artefact.manifest.shape
    deviations = {"model.onnx": artefact.check_golden(load_engine(artefact, "onnxruntime"))}
    # The daemon runs model.onnx alone, so a plain installation can verify what it uses.
    absent = next((library for library in ("onnx", "h5py") if not installed(library)), None)
    if absent is None:
        deviations["model.keras"] = artefact.check_golden(OnnxEngine(shape, onnx_bytes(shape, artefact.weights())))
    else:
        warn(missing(absent, "only its hash was checked: to forecast with model.keras"))
    if tensorflow:
        deviations["tensorflow"] = artefact.check_golden(load_engine(artefact, "tensorflow"))
    if jax:
        deviations["jax"] = artefact.check_golden(load_engine(artefact, "jax"))
    files = {name: entry.size_bytes for name, entry in artefact.manifest.files.items()}
    if as_json:
        document = {"model": str(model), "sha256": artefact.sha256, "ok": True, "files": files}
        click.echo(json.dumps({**document, "golden_deviations": deviations}))
        return
    for name, size in files.items():
        click.echo(f"{name:<14} {size:>10,} bytes  size and SHA-256 match the manifest")
    for name, deviation in deviations.items():
        click.echo(f"{name:<14} golden forecasts within {deviation:.1e}")
    click.echo(f"{model}: ok, sha256 {artefact.sha256}")
