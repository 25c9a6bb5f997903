"""Alarm events: topics, payloads, and what happens while the broker is away."""

import asyncio
import json
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from monitor.config.mqtt import Mqtt
from monitor.core.scoring.alarm import State
from monitor.runtime.alarms.event import AlarmEvent, event_topic
from monitor.runtime.alarms.in_words import Figures
from monitor.runtime.alarms.publisher import EventPublisher
from monitor.runtime.log.internal_errors import InternalErrors, Where
from tests.support.servers import until

LABELS = {"machine": "fan", "sensor": "de", "axis": "x"}

SETTINGS = Mqtt.model_validate(
    {"events_topic": "plant/events", "homeassistant": {"enabled": True}, "status_topic": "plant/status"}
)


def event(score: float = 1.31415926, number: int = 0) -> AlarmEvent:
    return AlarmEvent(
        "fan/de/x",
        {**LABELS, "machine": f"fan{number or ''}"},
        1_700_000_000.25,
        State.OK,
        State.ALARM,
        Figures(score, {"level": 1.31415926, "bands": math.nan}, (1000.04, 2000.0), 7.04, 40.12346),
        1_700_000_000.25,
        None,
        "https://monitor.example.com/#/channel?machine=fan",
    )


def test_an_event_is_json_on_the_channels_topic() -> None:
    assert event_topic("plant/events", event().labels) == "plant/events/fan/de/x"
    assert json.loads(event().payload) == {
        "text": (
            "fan/de/x: alarm. RMS 7.0 times healthy, 1000 to 2000 Hz 40.1 times. Strongest evidence: level (RMS). "
            "Score 1.31, limit 1."
        ),
        "time": "2023-11-14T22:13:20.250+00:00",
        "labels": LABELS,
        "state": "alarm",
        "previous_state": "ok",
        "since": "2023-11-14T22:13:20.250+00:00",
        "score": 1.3142,
        "rms_times_healthy": 7.04,
        "band_times_healthy": 40.1235,
        "band_hz": [1000.0, 2000.0],
        "strongest_evidence": "level (RMS)",
        "evidence": {"level": 1.3142, "bands": None},
        "evidence_file": None,
        "provisional": False,
        "acknowledged": None,
        "diagnosis": None,
        "page": "https://monitor.example.com/#/channel?machine=fan",
    }
    assert json.loads(event(math.nan).payload)["score"] is None


def test_a_label_never_makes_a_wildcard_or_a_level() -> None:
    assert event_topic("p", {"machine": "a/+", "site": "", "axis": "#"}) == "p/a__/_"


class Broker:
    """Takes what it is given, when it is there."""

    def __init__(self, *, there: bool) -> None:
        self.there = there
        self.refuses = "nothing"
        self.breaks = "nothing"
        self.taken: list[str] = []
        self.payloads: list[str] = []

    async def publish(self, topic: str, payload: str, retain: bool) -> bool:
        assert retain
        assert not payload or json.loads(payload)
        await asyncio.sleep(0)
        if self.breaks in topic:
            raise ZeroDivisionError
        if not self.there or self.refuses in topic:
            return False
        self.taken.append(topic)
        self.payloads.append(payload)
        return True


def story(broker: Broker, tell: Callable[[EventPublisher], Coroutine[Any, Any, None]]) -> EventPublisher:
    async def run() -> EventPublisher:
        publisher = EventPublisher(SETTINGS, broker.publish, lambda: broker.there, retry_s=0.001)
        running = asyncio.create_task(publisher.run())
        async with asyncio.timeout(20):
            await tell(publisher)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return publisher

    return asyncio.run(run())


def test_the_newest_event_of_each_channel_waits_for_the_broker_before_any_discovery() -> None:
    broker = Broker(there=False)
    count = 2000

    async def tell(publisher: EventPublisher) -> None:
        publisher.alarm(event(number=0))
        await until(lambda: not publisher._states)  # the first is in hand now
        for number in range(1, count + 1):
            publisher.channel({**LABELS, "machine": f"fan{number}"})
            publisher.alarm(event(0.5, number=number))
        publisher.alarm(event(3.5, number=1))
        broker.there = True
        await until(lambda: len(broker.taken) == 3 * count + 1)

    assert story(broker, tell).dropped == 0
    numbers = ["", *range(2, count + 1), 1]
    assert broker.taken[: count + 1] == [f"plant/events/fan{number}/de/x" for number in numbers]
    assert json.loads(broker.payloads[count])["score"] == 3.5
    assert all(topic.startswith("homeassistant/") for topic in broker.taken[count + 1 :])


def test_what_is_retained_of_a_channel_that_is_gone_ends() -> None:
    broker = Broker(there=True)

    async def tell(publisher: EventPublisher) -> None:
        publisher.channel(LABELS)
        publisher.forget(LABELS)
        await until(lambda: len(broker.taken) == 3)

    story(broker, tell)
    assert broker.payloads == ["", "", ""]
    assert broker.taken[0] == "plant/events/fan/de/x"


def test_an_event_that_raises_costs_itself_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    broker = Broker(there=True)
    errors = InternalErrors(lambda: 0.0)

    async def tell(publisher: EventPublisher) -> None:
        publisher._errors = errors
        broker.breaks = "fan1"
        publisher.alarm(event(number=1))
        publisher.alarm(event(number=2))
        await until(lambda: broker.taken)

    story(broker, tell)
    assert broker.taken == ["plant/events/fan2/de/x"]
    assert errors.counts == {Where.EVENT: 1}
    assert "one event is lost: 'fan1 de x'" in caplog.text


def test_what_waits_about_a_channel_that_another_daemon_has_is_dropped() -> None:
    broker = Broker(there=False)

    async def tell(publisher: EventPublisher) -> None:
        for number in (1, 2):
            publisher.alarm(event(number=number))
            publisher.baseline(event(number=number).labels, "{}")
        publisher.drop(event(number=1).labels)
        broker.there = True
        await until(lambda: broker.taken)

    story(broker, tell)
    assert broker.taken == ["plant/events/fan2/de/x"]


def test_an_event_that_the_broker_refuses_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    broker = Broker(there=True)
    broker.refuses = "fan1"

    async def tell(publisher: EventPublisher) -> None:
        publisher.alarm(event(number=1))
        publisher.alarm(event(number=2))
        await until(lambda: broker.taken)

    assert story(broker, tell).dropped == 1
    assert broker.taken == ["plant/events/fan2/de/x"]
    assert "event not published: topic=plant/events/fan1/de/x" in caplog.text


def test_nothing_is_published_unless_wanted() -> None:
    broker = Broker(there=True)

    async def tell(publisher: EventPublisher) -> None:
        publisher.settings = Mqtt()
        publisher.alarm(event())
        publisher.channel(LABELS)
        publisher.settings = SETTINGS
        publisher.alarm(event(number=7))
        await until(lambda: broker.taken)

    assert story(broker, tell).dropped == 0
    assert broker.taken == ["plant/events/fan7/de/x"]


def test_the_latest_change_of_a_baseline_has_a_topic_of_its_own() -> None:
    broker = Broker(there=True)
    settings = SETTINGS.model_copy(update={"baselines_topic": "plant/baselines"})

    async def tell() -> None:
        publisher = EventPublisher(settings, broker.publish, lambda: True)
        publisher.baseline(LABELS, '"older"')
        publisher.baseline(LABELS, '"newer"')
        publisher.alarm(event())
        publisher.forget({**LABELS, "machine": "gone"})
        task = asyncio.create_task(publisher.run())
        await until(lambda: "plant/baselines/gone/de/x" in broker.taken)
        task.cancel()

    asyncio.run(tell())
    assert [topic for topic in broker.taken if topic.startswith("plant/")] == [
        "plant/events/fan/de/x",
        "plant/events/gone/de/x",
        "plant/baselines/fan/de/x",
        "plant/baselines/gone/de/x",
    ]
    assert '"newer"' in broker.payloads
    assert '"older"' not in broker.payloads
