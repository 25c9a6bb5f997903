"""``forecast``: compares one forecast, or several fed back, with the recording."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.cli.options.figure import figure
from monitor.cli.options.force import force_option, refuse_existing
from monitor.cli.options.model import model_argument
from monitor.cli.options.recording import recording_options
from monitor.recording.options import RecordingOptions

if TYPE_CHECKING:
    from monitor.model.forecast_ahead import ForecastAhead
    from monitor.recording.source import Recording

POSITION_BLOCKS = 5000
"""Most blocks after the first forecast sample over which the gap ratio by position is measured."""


@click.command()
@model_argument
@click.argument("recording")
@click.option("--at", "at_sample", type=click.IntRange(0), required=True, help="First sample to forecast, from 0.")
@click.option("--blocks", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Blocks to forecast.")
@click.option("--record", type=click.IntRange(0), default=0, show_default=True, help="Number of the record, from 0.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=figure,
    help="Draw the forecast and the recording.",
)
@click.option(
    "--plot-positions",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=figure,
    help="Draw the gap ratio along the block.",
)
@click.option("--engine", type=click.Choice(["auto", "onnxruntime", "tensorflow", "jax"]), default="onnxruntime")
@click.option("--any-rate", is_flag=True, help="Accept a sampling rate that the model was not trained on.")
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@recording_options
def command(
    model: Path,
    recording: str,
    at_sample: int,
    blocks: int,
    record: int,
    plot: Path | None,
    plot_positions: Path | None,
    engine: Any,
    any_rate: bool,
    force: bool,
    as_json: bool,
    options: RecordingOptions,
) -> None:
    """Forecast RECORDING from sample AT and compare the forecast with the recording.

    With --blocks N each forecast block is fed back into the model as input, until there are N blocks.

    Example: vibration-monitor forecast reference pump.npz --at 20000 --blocks 10 --plot pump.png
    """
    from monitor.errors import RecordingError
    from monitor.model.artefact.artefact import load_artefact
    from monitor.model.engines.engines import load_engine
    from monitor.model.forecast_ahead import forecast_ahead
    from monitor.model.training.report import compare
    from monitor.recording.source import open_recording

    refuse_existing(plot, force=force, option="--plot")
    refuse_existing(plot_positions, force=force, option="--plot-positions")
    artefact = load_artefact(model)
    source = open_recording(recording, options)
    if not any_rate:
        require_trained_rate(source, artefact.manifest.sampling_rates_hz, model)
    records = source.load()
    if record >= len(records):
        raise RecordingError(f"{recording}: --record {record}: there are {len(records)} records, counted from 0")
    samples = records[record]
    running = load_engine(artefact, engine)
    time_constant_blocks = artefact.manifest.scaling.time_constant_blocks
    found = forecast_ahead(running, samples, at_sample, blocks, time_constant_blocks)
    size, warmup_blocks = running.block_samples, running.window_blocks
    stretch = samples[at_sample - warmup_blocks * size :][: (warmup_blocks + POSITION_BLOCKS) * size]
    positions = compare(running, [stretch], {}, time_constant_blocks, warmup_blocks)
    unit = "m/s²" if source.unit else "unit of the file"
    title = f"{model.name or model}, {source.name}, sample {at_sample}"
    if plot:
        from monitor.cli.recording.figures import plot_forecast

        plot_forecast(plot, found, title, source.sampling_rate_hz, unit)
    if plot_positions:
        from monitor.cli.recording.figures import plot_positions as draw_positions

        draw_positions(plot_positions, positions, title)
    network = positions.ratios["network"]
    document = {
        "model": str(model),
        "recording": source.name,
        "sampling_rate_hz": source.sampling_rate_hz,
        "unit": "m/s2" if source.unit else None,
        "at_sample": at_sample,
        "blocks": blocks,
        **figures(found),
        "by_position": {"blocks": positions.blocks, "gap_ratio": network.overall, "positions": network.by_position},
    }
    click.echo(json.dumps(document) if as_json else text(found, unit, positions.blocks, network.overall))


def figures(found: "ForecastAhead") -> dict[str, Any]:
    """The gap as JSON values."""
    return {
        "level": found.level,
        "gap": found.gap,
        "gap_ratio": found.gap_ratio,
        "gap_ratio_by_block": [float(ratio) for ratio in found.block_gap_ratios()],
    }


def text(found: "ForecastAhead", unit: str, blocks: int, ratio: float) -> str:
    """The gap as text."""
    lines = [
        f"level {found.level:.4g} {unit}, gap {found.gap:.4g} {unit}, gap ratio {found.gap_ratio:.4f}",
    ]
    if len(found.forecast) > 1:
        lines.append("by block: " + " ".join(f"{each:.3f}" for each in found.block_gap_ratios()))
    lines.append(f"each block from there forecast from observed samples: gap ratio {ratio:.4f} over {blocks} blocks")
    return "\n".join(lines)


def require_trained_rate(recording: "Recording", rates_hz: tuple[float, ...], model: Path) -> None:
    """Require a sampling rate that the model was trained on, unless it takes any rate; see ``--any-rate``.

    Raises:
        RecordingError: the recording has another rate.
    """
    from monitor.errors import RecordingError
    from monitor.recording.fit import require_rate

    if not rates_hz:
        return
    found = recording.sampling_rate_hz
    try:
        # The trained rate that decimation by an integer comes closest to.
        nearest = min(rates_hz, key=lambda rate: abs((factor := found / rate) - max(1, round(factor))))
        require_rate(recording, nearest, f"the model {model}")
    except RecordingError as error:
        trained = ", ".join(f"{rate:g}" for rate in rates_hz)
        raise RecordingError(f"{error}. The model was trained at {trained} Hz; --any-rate takes any") from error
