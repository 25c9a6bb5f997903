"""The figure of a backtest: level, gaps, score with its limit, and alarms over time."""

from pathlib import Path

import numpy as np

from monitor.cli.figures import new_figure, save_figure
from monitor.core.scoring.alarm import State
from monitor.offline.backtest import ChannelResult

COLOURS = {State.WARNING: "#d9a400", State.ALARM: "#c0392b"}


def draw(results: list[ChannelResult], path: Path) -> None:
    """Draw the channels above each other into a file; three panels each."""
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
