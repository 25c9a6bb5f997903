"""The process beside: it diagnoses, says why it cannot, and its end costs one look."""

import asyncio
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from monitor.core.diagnosis.bearings import from_geometry, public_bearing
from monitor.core.diagnosis.diagnose import Facts
from monitor.recording.options import RecordingOptions
from monitor.recording.source import open_recording
from monitor.runtime.diagnosis import process as side
from monitor.runtime.diagnosis.diagnoser import answer
from monitor.runtime.diagnosis.messages import Look, Seen, Unable
from monitor.runtime.diagnosis.process import DiagnosisProcess
from monitor.simulation.machine import Fault, FaultKind, catalogue
from monitor.simulation.simulator import Simulation
from tests.support.recordings import recording_file

RATE = 12000
FACTS = Facts((from_geometry("drive end", 9, 0.2, 1),))


def look(seconds: float = 8.0, size: float = 3.0) -> Look:
    fault = Fault(FaultKind.OUTER_RACE, growth_s=0.0, size_mps2=size)
    samples = Simulation(catalogue()["fan"], RATE, 3, (fault,)).next(round(seconds * RATE))
    return Look("fan", [samples], RATE, [np.full(samples.size, 1488.0)], FACTS, None)


async def _story() -> None:
    process = DiagnosisProcess()
    try:
        found = await process.do(look())
        assert isinstance(found, Seen)
        [fault] = found.diagnosis.faults
        assert (fault.fault, fault.part) == ("outer race", "drive end")
        assert found.diagnosis.spectra is None, "too large to be sent"
        assert found.envelope is not None
        assert found.spectrum is not None
        # The line of the fault is where the page draws it.
        line = round(fault.frequency_hz / found.envelope.step_hz)
        assert found.envelope.values[line - 2 : line + 3].max() > 0.3
        once = round(24.8 / found.spectrum.step_hz)
        assert found.spectrum.values[once - 1 : once + 2].max() == pytest.approx(0.6, rel=0.3)
        # What it saw goes with the next look, which it adds to.
        assert found.diagnosis.together is not None
        again = await process.do(replace(look(), before=found.diagnosis.together))
        assert isinstance(again, Seen)
        assert again.diagnosis.together is not None
        assert again.diagnosis.together.looks == 2
        assert again.diagnosis.together.segments == 2 * found.diagnosis.together.segments
        short = await process.do(look(0.05))
        assert isinstance(short, Unable)
        assert "turns of the shaft" in short.reason
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        assert isinstance(await process.do(look(2.0)), Unable)
        assert isinstance(await process.do(look(2.0)), Seen), "another process does the next one"
        await process.rest()
        assert process.pid is None
    finally:
        process.close()


def test_looks_are_done_in_a_process_whose_end_costs_one() -> None:
    asyncio.run(_story())


def recorded(name: str, rate: int) -> Look:
    """Ten seconds of a drive end of the CWRU rig at 12 kHz, whose bearing is known."""
    options = RecordingOptions(sampling_rate_hz=rate, unit="g", decimate=rate // RATE)
    file, _, key = name.partition("#")
    [samples] = open_recording(f"{recording_file(f'cwru/{file}')}#{key}", options).load()
    known = public_bearing("6205")
    assert known is not None
    return Look("rig", [samples[: 10 * RATE]], RATE, [np.full(10 * RATE, 1796.0)], Facts((known,)), None)


@pytest.mark.parametrize(
    ("name", "rate", "fault"),
    [
        ("OR021at6_0.mat#X234_DE_time", 12000, "outer race"),
        ("IR021_0.mat#X209_DE_time", 12000, "inner race"),
        ("Normal_0.mat#X097_DE_time", 48000, None),
    ],
)
def test_real_recordings_are_named_as_the_command_names_them(name: str, rate: int, fault: str | None) -> None:
    found = answer(recorded(name, rate))
    assert isinstance(found, Seen)
    assert [one.fault for one in found.diagnosis.faults] == ([fault] if fault else [])
    assert found.diagnosis.velocity_rms_mps is not None


def test_a_look_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side, "LONGEST_S", 0.0)

    async def story() -> None:
        process = DiagnosisProcess()
        found = await process.do(look(2.0))
        assert isinstance(found, Unable)
        assert "took longer than 0 s" in found.reason
        assert process.pid is None
        process.close()

    asyncio.run(story())
