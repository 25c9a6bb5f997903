"""What learning sees of a machine whose conditions take turns, without being told them.

    python tests/benchmarks/learning_turns.py [--model DIR]

Healthy recordings of a rig at several conditions are one stream, in pieces that take turns. It goes through the
pipeline as in the daemon: the head is fitted to the first blocks, which saw one condition only, then features of
intervals are gathered and made into a calibration. It scores what the detection benchmark scores at the alarm
(detection_alarm.py), which is calibrated on the same recordings by the command's way, one recording after the other.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from monitor.core.forecasting.forecaster import Engine
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.model.artefact.artefact import load_artefact
from monitor.model.engines.engines import load_engine
from tests.benchmarks import detection_data as data
from tests.benchmarks.detection_alarm import Rig, Way, gearbox, measure, show_ways, uestc
from tests.support.channels.learning_channel import LearningChannel, in_turns

PIECE_S = {"rpm": 10.0, "% load": 1.0}
"""Seconds at one condition, by what sets the conditions of a rig apart; the gearbox's recordings are short."""


def learn(engine: Engine, rig: Rig, way: Way) -> Calibration:
    """The calibration that a channel learns from the recordings of a way in turns."""
    channel = LearningChannel(engine, rig.interval_blocks)
    channel.pipeline.gatherer.take_turn(0, 1)
    channel.run(in_turns(list(way.learned.values()), int(PIECE_S[rig.quantity] * rig.rate_hz)))
    return channel.calibration(rig.rate_hz).calibration


def show(engine: Engine, name: str, rig: Rig) -> None:
    """Print the figures of both ways."""
    untold = {f"{way}, without labels": one for way, one in rig.ways.items() if not one.told and len(one.learned) > 1}
    both = {f"{way}: {how}": one for way, one in untold.items() for how in ("named recordings", "learned in turns")}
    rig = replace(rig, ways=both)
    learned = {way: learn(engine, rig, one) for way, one in both.items() if way.endswith("learned in turns")}
    print(name)
    show_ways(measure(engine, rig, learned=learned))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=data.ROOT / "models" / "reference", type=Path)
    engine = load_engine(load_artefact(parser.parse_args().model), "onnxruntime")
    show(engine, "UESTC", uestc())
    for axis, rig in gearbox().items():
        show(engine, f"gearbox {axis}", rig)


if __name__ == "__main__":
    main()
