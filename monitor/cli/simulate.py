"""``simulate``: a recording of a simulated machine."""

import json
from pathlib import Path

import click

from monitor.cli.recording_options import duration as duration_option
from monitor.recording.machine import FaultKind, catalogue


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write, for example fan.npz.")
@click.option("--machine", type=click.Choice(list(catalogue())), default="fan", show_default=True)
@click.option("--point", type=click.IntRange(0, 2), default=0, show_default=True, help="Measuring point.")
@click.option("--duration", callback=duration_option, default="60s", show_default=True)
@click.option("--sampling-rate-hz", type=click.FloatRange(1000, 1_000_000), default=12000.0, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--fault", type=click.Choice([kind.value for kind in FaultKind]), help="What breaks; default nothing.")
@click.option("--fault-start", callback=duration_option, default="30s", show_default=True)
@click.option("--fault-growth", callback=duration_option, default="30s", show_default=True)
@click.option(
    "--fault-size", type=click.FloatRange(0, 1000), default=6.0, show_default=True, help="m/s^2 at full size."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    out: Path,
    machine: str,
    point: int,
    duration: float,
    sampling_rate_hz: float,
    seed: int,
    fault: str | None,
    fault_start: float,
    fault_growth: float,
    fault_size: float,
    as_json: bool,
) -> None:
    """Write a recording of a simulated machine, healthy or with a fault that grows.

    Example: vibration-monitor simulate --out fan.npz --machine fan --fault outer-race --fault-start 20s
    """
    from monitor.errors import ConfigurationError
    from monitor.recording.machine import Fault, measuring_point
    from monitor.recording.simulator import Simulation
    from monitor.recording.write import write_recording

    count = round(duration * sampling_rate_hz)
    if not 1 <= count <= 2**28:
        raise ConfigurationError(f"--duration: {count} samples; between 1 and {2**28} can be written")
    faults = (Fault(FaultKind(fault), fault_start, fault_growth, fault_size),) if fault else ()
    simulation = Simulation(measuring_point(catalogue()[machine], point), sampling_rate_hz, seed, faults)
    samples = simulation.next(count)
    write_recording(out, samples, sampling_rate_hz, "m/s2")
    if as_json:
        click.echo(json.dumps({"file": str(out), "samples": count, "sampling_rate_hz": sampling_rate_hz}))
    else:
        click.echo(f"{out}: {count} samples, {duration:g} s at {sampling_rate_hz:g} Hz, m/s^2")
