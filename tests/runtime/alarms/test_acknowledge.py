"""What becomes of an acknowledgement: it is told, kept with the alarm, and goes with it."""

import json
import logging
from pathlib import Path

import pytest

from monitor.core.scoring.alarm import State
from monitor.runtime.alarms.event import restored_payload, seen_in, still_seen
from monitor.runtime.intake.channel import Channel
from tests.runtime.alarms.test_desk import Office
from tests.support.page.acknowledgements import acknowledgements

OK, WARNING, ALARM = State.OK, State.WARNING, State.ALARM


def channel_of(office: Office) -> Channel:
    return office.plant.ingest.channels["fan", "de", "x"]


def test_it_is_told_and_saved_with_what_the_last_event_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    office = Office(tmp_path)
    names = office.plant.config.label_names
    sent: list[tuple[dict[str, str], str]] = []
    saved: list[bool] = []
    taking = acknowledgements(lambda: names, lambda *event: sent.append(event), lambda: saved.append(True))
    office.plant.judge("fan", 1.25)
    office.change((office.row("fan"), OK, ALARM))
    channel = channel_of(office)
    before = json.loads(channel.event)
    with caplog.at_level(logging.INFO):
        seen = taking.take(channel, ALARM, "anna", "bearing ordered\x1b")
    assert caplog.messages[-1] == "acknowledged: channel=fan/de/x state=alarm by='anna' reason='bearing ordered\\x1b'"
    [(labels, payload)] = sent
    assert (labels, payload, saved) == (before["labels"], channel.event, [True])
    told = json.loads(payload)
    changed = {name for name in told if told[name] != before[name]}
    assert changed == {"text", "time", "previous_state", "acknowledged"}
    assert told["text"] == "fan/de/x: alarm acknowledged by anna: bearing ordered\x1b"
    assert told["acknowledged"] == {"by": "anna", "reason": seen.reason, "time": told["time"], "state": "alarm"}
    assert channel.acknowledged is seen
    again = taking.take(channel, ALARM, "ben", "it is in the post")
    kept = seen_in(channel.event)
    assert kept is not None
    assert (kept.by, kept.reason, kept.state) == ("ben", "it is in the post", ALARM)
    assert kept.at_s == pytest.approx(again.at_s, abs=1e-3)


def test_an_alarm_without_an_event_gets_one() -> None:
    office = Office()
    channel = channel_of(office)
    acknowledgements(lambda: office.plant.config.label_names).take(channel, WARNING, "anna", "seen")
    told = json.loads(channel.event)
    assert (told["state"], told["score"], told["page"]) == ("warning", None, "https://monitor.example.com")


@pytest.mark.parametrize(
    ("seen_as", "steps", "stays"),
    [
        (ALARM, [(ALARM, WARNING), (WARNING, ALARM)], True),
        (ALARM, [(ALARM, OK)], False),
        (WARNING, [(WARNING, ALARM)], False),
        (ALARM, [(OK, ALARM)], False),  # its end went unnoticed
    ],
    ids=["lower and back", "ended", "worse", "anew"],
)
def test_it_ends_with_the_alarm_or_with_a_worse_one(
    seen_as: State, steps: list[tuple[State, State]], stays: bool
) -> None:
    office = Office()
    office.change((office.row("fan"), OK, seen_as))
    channel = channel_of(office)
    acknowledgements(lambda: office.plant.config.label_names).take(channel, seen_as, "anna", "seen")
    for before, after in steps:
        office.change((office.row("fan"), before, after))
    assert (channel.acknowledged is not None) == stays
    assert (seen_in(channel.event) is not None) == stays
    assert (office.events[-1].acknowledged is not None) == stays


@pytest.mark.parametrize(("state", "stays"), [(ALARM, True), (WARNING, True), (OK, False), (None, False)])
def test_a_restart_keeps_it_as_long_as_there_is_an_alarm(state: State | None, stays: bool) -> None:
    office = Office()
    office.change((office.row("fan"), OK, ALARM))
    channel = channel_of(office)
    acknowledgements(lambda: office.plant.config.label_names).take(channel, ALARM, "anna", "seen")
    labels = dict(zip(office.plant.config.label_names, channel.labels, strict=True))
    assert (seen_in(restored_payload(channel, labels, state, 1.8e9, "")) is not None) == stays
    office.desk.restored(channel, labels, state, lambda *_: None, retained_is_right=True)
    assert (channel.acknowledged is not None) == stays


def test_an_event_of_an_earlier_version_has_none() -> None:
    assert seen_in('{"state": "alarm"}') is None
    assert seen_in("") is None
    assert still_seen(None, ALARM, ALARM) is None
