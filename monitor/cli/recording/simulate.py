"""``simulate``: writes a recording of a simulated machine."""

import json
import math
import sys
from pathlib import Path

import click

from monitor.cli.options.duration import duration as duration_option
from monitor.cli.options.force import force_option, refuse_existing
from monitor.simulation.machine import POINTS, FaultKind, catalogue

MAX_SAMPLES = 2**28
"""Most samples in a recording, over all channels: it is held in memory, and this is 1 GiB."""


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write, for example fan.npz.")
@click.option("--machine", type=click.Choice(list(catalogue())), default="fan", show_default=True)
@click.option("--point", type=click.IntRange(0, 2), default=0, show_default=True, help="First measuring point.")
@click.option("--channels", type=click.IntRange(1, 3), default=1, show_default=True, help="Measuring points to write.")
@click.option("--duration", callback=duration_option, default="60s", show_default=True)
@click.option("--sampling-rate-hz", type=click.FloatRange(1000, 1_000_000), default=12000.0, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32), default=0, show_default=True, help="Same seed, same samples.")
@click.option("--fault", type=click.Choice([kind.value for kind in FaultKind]), help="Kind of fault; default: none.")
@click.option("--fault-start", callback=duration_option, default="30s", show_default=True)
@click.option(
    "--fault-growth",
    callback=duration_option,
    default="30s",
    show_default=True,
    help="Time from the fault's start to its full size.",
)
@click.option(
    "--fault-size",
    type=click.FloatRange(0, 1000),
    default=6.0,
    show_default=True,
    help="Full size in m/s^2 at the drive end (point 0), where the fault is; it is smaller at other points.",
)
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    out: Path,
    machine: str,
    point: int,
    channels: int,
    duration: float,
    sampling_rate_hz: float,
    seed: int,
    fault: str | None,
    fault_start: float,
    fault_growth: float,
    fault_size: float,
    force: bool,
    as_json: bool,
) -> None:
    """Write a recording of a simulated machine, healthy or with a fault that grows.

    Example: vibration-monitor simulate --out fan.npz --machine fan --fault outer-race --fault-start 20s
    """
    import numpy as np

    from monitor.recording.write import write_recording
    from monitor.simulation.machine import Fault, measuring_point
    from monitor.simulation.simulator import Simulation

    _check(out, point, channels, duration, sampling_rate_hz, fault, fault_start, fault_size)
    refuse_existing(out, force=force)
    points = range(point, point + channels)
    count = round(duration * sampling_rate_hz)
    breaks = Fault(FaultKind(fault), fault_start, fault_growth, fault_size) if fault else None
    simulations = [
        Simulation(
            measuring_point(catalogue()[machine], number),
            sampling_rate_hz,
            len(POINTS) * seed + number,
            (breaks.felt_at(number),) if breaks else (),
            shaft_seed=seed,
        )
        for number in points
    ]
    samples = np.empty((count, channels), np.float32)
    piece = max(1, round(10 * sampling_rate_hz))
    with click.progressbar(range(0, count, piece), label="simulating", file=sys.stderr) as starts:
        for start in starts:
            for column, simulation in enumerate(simulations):
                samples[start : start + piece, column] = simulation.next(min(piece, count - start))
    names = [POINTS[number] for number in points]
    write_recording(out, samples[:, 0] if channels == 1 else samples, sampling_rate_hz, "m/s2", channels=names)
    facts = {
        "file": str(out), "samples": count, "sampling_rate_hz": sampling_rate_hz, "unit": "m/s2", "channels": names,
        "machine": machine, "seed": seed, "fault": fault, "fault_start_s": fault_start if fault else None,
    }  # fmt: skip
    if as_json:
        click.echo(json.dumps(facts))
    else:
        click.echo(f"{out}: {count} samples of {', '.join(names)}, {duration:g} s at {sampling_rate_hz:g} Hz, m/s^2")


def _check(
    out: Path,
    point: int,
    channels: int,
    duration: float,
    sampling_rate_hz: float,
    fault: str | None,
    fault_start: float,
    fault_size: float,
) -> None:
    """Report all invalid options before the work begins.

    Raises:
        ConfigurationError: with all problems, one a line.
    """
    from monitor.errors import ConfigurationError
    from monitor.recording.write import destination_problems

    problems = [f"--out {problem}" for problem in destination_problems(out)]
    if point + channels > len(POINTS):
        problems.append(
            f"--point {point} --channels {channels}: the machine has {len(POINTS)} points, 0 to 2; give fewer"
        )
    if not math.isfinite(sampling_rate_hz) or not math.isfinite(fault_size):
        problems.append(f"--sampling-rate-hz {sampling_rate_hz}, --fault-size {fault_size}: give finite numbers")
    elif not 2 <= (total := channels * duration * sampling_rate_hz) <= MAX_SAMPLES:
        longest_s = MAX_SAMPLES / channels / sampling_rate_hz
        problems.append(
            f"--duration {duration:g}s: {total:.0f} samples; 2 to {MAX_SAMPLES} can be written, "
            f"{longest_s:.0f}s with these channels and this rate"
        )
    if fault and fault_start >= duration:
        problems.append(
            f"--fault-start {fault_start:g}s: the recording ends at {duration:g}s; start the fault earlier, or raise "
            "--duration"
        )
    if problems:
        raise ConfigurationError("\n".join(problems))
