"""What the desk does with changed alarm states: a line in the log, an event, and evidence of new alarms only."""

import asyncio
import json
import logging
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from monitor.config.configuration import Evidence
from monitor.core.scoring.alarm import Changes, State
from monitor.core.scoring.evidence.kinds import IN_WORDS, KINDS
from monitor.runtime.addresses import channel_url
from monitor.runtime.alarms.capture import EvidenceWriter
from monitor.runtime.alarms.desk import AlarmDesk
from monitor.runtime.alarms.event import AlarmEvent, restored_payload, since_s
from monitor.runtime.lanes.loading import LoadedLane, ModelInfo
from monitor.runtime.log.internal_errors import InternalErrors, Where
from tests.support.page.page_plant import Plant

NOW_S = 1_790_000_000.5


def page(labels: Mapping[str, str]) -> str:
    return channel_url(lambda: "https://monitor.example.com", labels)


class Office:
    """A plant of two fans, whose lane tells a desk."""

    def __init__(self, folder: Path | None = None) -> None:
        self.plant = Plant(channels=4)
        for machine in ("fan", "pump"):
            self.plant.send(machine, self.plant.noise(800))
        info = ModelInfo("default", "ab" * 32, "numpy", "cpu")
        self.loaded = cast("LoadedLane", SimpleNamespace(lane=self.plant.lane, info=info))
        self.writer = EvidenceWriter(Evidence(after=0.0), folder, asyncio.sleep)
        self.events: list[AlarmEvent] = []
        names = self.plant.config.label_names
        self.desk = AlarmDesk(self.writer, names, lambda: NOW_S, page, self.events.append)

    def row(self, machine: str) -> int:
        return self.plant.ingest.channels[machine, "de", "x"].row

    def change(self, *changes: tuple[int, State, State]) -> None:
        """Rows with their states before and after, on an event loop, until evidence is written."""
        rows, before, after = (np.array(column) for column in zip(*changes, strict=True))
        score = self.plant.lane.board.score[rows]
        channels = {channel.row: channel for channel in self.plant.ingest.channels.values()}

        async def tell() -> None:
            self.desk.changed(self.loaded, Changes(rows, before, after, score), channels)
            await asyncio.gather(*self.writer._tasks)

        asyncio.run(tell())


def test_an_alarm_is_logged_told_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    office = Office(tmp_path)
    office.plant.judge("fan", 1.25)
    with caplog.at_level(logging.WARNING):
        office.change((office.row("fan"), State.WARNING, State.ALARM))
    expected = f"alarm state: channel=fan/de/x from=warning to=alarm score=1.25 evidence={IN_WORDS[KINDS[0]]!r}"
    assert caplog.messages == [expected]
    [event] = office.events
    assert (event.channel, event.labels) == ("fan/de/x", {"machine": "fan", "sensor": "de", "axis": "x"})
    figures = event.figures
    assert (event.at_s, event.before, event.after, figures.score) == (NOW_S, State.WARNING, State.ALARM, 1.25)
    assert list(figures.evidence) == list(KINDS)
    assert list(figures.evidence.values()) == pytest.approx(1.25 * np.linspace(1.0, 0.1, len(KINDS)))
    # The board's 0.25 to 0.3 are parts of the highest frequency, at 800 Hz 400 Hz.
    assert figures.band_hz == pytest.approx((100.0, 120.0))
    assert figures.how_far == "RMS 7.0 times healthy, 100 to 120 Hz 40.0 times"
    assert event.page == "https://monitor.example.com/#/channel?machine=fan&sensor=de&axis=x"
    assert event.evidence_file is not None
    with np.load(tmp_path / event.evidence_file) as file:
        assert file["acceleration"].size == 800
        assert float(file["sampling_rate_hz"]) == 800.0
    assert office.writer.written == 1


def test_where_the_score_goes_stands_in_the_text_of_an_alarm_and_not_of_its_end() -> None:
    office = Office()
    office.desk._outlook = lambda channel: f"The score of {channel.name} rises"
    office.plant.judge("fan", 1.25)
    office.change((office.row("fan"), State.WARNING, State.ALARM))
    office.change((office.row("fan"), State.ALARM, State.OK))
    first, second = (json.loads(event.payload)["text"] for event in office.events)
    assert first.endswith(" Score 1.25, limit 1. The score of fan/de/x rises.")
    assert "rises" not in second


def test_an_alarm_that_grows_is_captured_again_without_an_event(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    office = Office(tmp_path)
    office.plant.judge("fan", 3.4)
    channel = office.plant.ingest.channels["fan", "de", "x"]

    async def tell() -> None:
        office.desk.grown(office.loaded, channel, 3.0)
        await asyncio.gather(*office.writer._tasks)

    with caplog.at_level(logging.WARNING):
        asyncio.run(tell())
    assert caplog.messages == [f"alarm grown: channel=fan/de/x past=3 evidence={IN_WORDS[KINDS[0]]!r}"]
    (about,) = (json.loads(file.read_text()) for file in tmp_path.glob("*.json"))
    assert (about["mark"], about["score"]) == (3.0, pytest.approx(3.4))
    assert office.events == []


@pytest.mark.parametrize(
    ("before", "after"),
    [(State.OK, State.WARNING), (State.ALARM, State.WARNING), (State.ALARM, State.OK), (State.WARNING, State.OK)],
)
def test_only_a_new_alarm_is_worth_evidence(tmp_path: Path, before: State, after: State) -> None:
    office = Office(tmp_path)
    office.plant.judge("fan", 0.8)
    office.change((office.row("fan"), before, after))
    [event] = office.events
    assert (event.before, event.after, event.evidence_file) == (before, after, None)
    assert not list(tmp_path.iterdir())


def test_changes_of_a_batch_keep_to_their_channels(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.plant.judge("fan", 0.75)
    office.plant.judge("pump", 2.0)
    gone = 3
    office.change(
        (office.row("pump"), State.OK, State.ALARM),
        (gone, State.OK, State.ALARM),
        (office.row("fan"), State.OK, State.WARNING),
    )
    told = [(event.channel, event.after, event.figures.score) for event in office.events]
    assert told == [("pump/de/x", State.ALARM, 2.0), ("fan/de/x", State.WARNING, 0.75)]
    assert [file.suffix for file in sorted(tmp_path.iterdir())] == [".json", ".npz", ".png"]


def test_without_a_folder_the_event_goes_out_all_the_same() -> None:
    office = Office()
    office.plant.judge("fan", 1.5)
    office.change((office.row("fan"), State.OK, State.ALARM))
    assert [(event.after, event.evidence_file) for event in office.events] == [(State.ALARM, None)]


def test_an_alarm_whose_figures_are_gone_is_told_without_them() -> None:
    office = Office()
    office.change((office.row("fan"), State.ALARM, State.OK))
    [event] = office.events
    assert math.isnan(event.figures.score)
    assert all(math.isnan(value) for value in event.figures.evidence.values())
    assert event.figures.band_hz is None
    assert json.loads(event.payload)["text"] == "fan/de/x: ok again."


def test_since_when_is_told_from_the_first_warning_to_the_last_and_over_a_restart() -> None:
    office = Office()
    row, times = office.row("fan"), iter([100.0, 200.0, 300.0, 400.0, 500.0])
    office.desk._wall_clock = lambda: next(times)
    channel = office.plant.ingest.channels["fan", "de", "x"]
    steps = (State.OK, State.WARNING, State.ALARM, State.WARNING, State.OK, State.ALARM)
    seen = []
    for before, after in pairwise(steps):
        office.change((row, before, after))
        seen.append((channel.alarm_since_s, since_s(channel.event)))
    assert seen[:3] == [(100.0, 100.0)] * 3
    assert all(math.isnan(value) for value in seen[3])
    assert seen[4] == (500.0, 500.0)
    # The state of the event and that of the saved evidence may differ after a kill.
    restored = restored_payload(channel, {}, State.WARNING, 900.0, "")
    assert since_s(restored) == 500.0
    assert json.loads(restored)["text"] == "fan/de/x: still warning after a restart."
    assert math.isnan(since_s(restored_payload(channel, {}, State.OK, 900.0, "")))
    assert math.isnan(since_s(""))
    assert math.isnan(since_s('{"state": "alarm"}'))  # of an earlier version


def test_an_error_with_one_channel_costs_no_other_its_alarm(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()
    errors = InternalErrors(lambda: 0.0)
    told = office.events

    def tell(event: AlarmEvent) -> None:
        if event.channel.startswith("pump"):
            raise ZeroDivisionError
        told.append(event)

    office.desk = AlarmDesk(office.writer, office.plant.config.label_names, lambda: NOW_S, page, tell, errors)
    office.change((office.row("pump"), State.OK, State.ALARM), (office.row("fan"), State.OK, State.ALARM))
    assert [event.channel for event in told] == ["fan/de/x"]
    assert errors.counts == {Where.ALARM: 1}
    assert "one alarm is lost: 'pump/de/x'" in caplog.text


@pytest.mark.parametrize(
    ("event", "state", "expected"),
    [("alarm", State.ALARM, "same"), ("alarm", State.OK, "ok"), ("", State.WARNING, "warning"), ("alarm", None, "")],
    ids=["as it was", "another calibration", "never told", "no calibration"],
)
def test_what_is_retained_after_a_restart(event: str, state: State | None, expected: str) -> None:
    office = Office()
    channel = office.plant.ingest.channels["fan", "de", "x"]
    channel.event = json.dumps({"state": event, "score": 1.5}) if event else ""
    payload = restored_payload(channel, {"machine": "fan"}, state, NOW_S, "")
    if expected == "same":
        assert payload == channel.event
    elif expected:
        document = json.loads(payload)
        assert (document["state"], document["previous_state"], document["score"]) == (expected, expected, None)
    else:
        assert payload == ""
