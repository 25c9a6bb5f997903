"""Records channels from the broker: the daemon's intake, with a tape in the place of the rings.

Topics, decoding, order and missing samples are the daemon's own, so a recording holds what the daemon would have
scored, with the measured quantities of its configuration. A broker that is away for a moment costs the samples of that
moment.
"""

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import aiomqtt

from monitor.config.kafka import Kafka
from monitor.config.mqtt import Mqtt
from monitor.core.messages.decode import PACKED, SPARKPLUG, Reason
from monitor.core.messages.sparkplug.addresses import NAMESPACE, address_of, message_filters
from monitor.core.messages.topics import TopicPattern
from monitor.core.scoring.plausibility import IMPLAUSIBLE_MPS2
from monitor.errors import ConfigurationError, MonitorError
from monitor.feed.kafka import HandedOn, require_topics
from monitor.feed.tape import Tape, Track
from monitor.feed.wanted import Wanted
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.conditions import Conditions
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.intake.kafka.whole_topics import WholeTopics
from monitor.runtime.intake.mqtt.direct_client import DirectClient, client_options

SILENCE_S = 30.0
"""Seconds without a message after which a channel is not waited for. Lower: sensors that send rarely cannot be
recorded. Higher: a wrong topic or a dead sensor is noticed later."""

UNUSABLE_MESSAGES = 10
"""Messages that cannot be used, without a usable one, after which recording fails. Fewer: a single damaged message ends
it. More: a wrong format is reported later."""

TELL_RATE_S = 10.0
"""Seconds after which a wrong rate is told while recording goes on. Lower: a stalled connection looks like one. Higher:
it is told later, at the latest at the end."""

LOOK_S = 0.2
"""Seconds between two looks at the state. More: the end is noticed later."""

RETRY_S = 1.0
"""Seconds between two attempts to reach a broker that was lost."""


class Recorder:
    """Records until every channel that sends is complete."""

    def __init__(self, wanted: Wanted, tape: Tape, warn: Callable[[str], None], *, single: bool) -> None:
        """Make a recorder; :meth:`run` connects.

        Args:
            wanted: what is recorded.
            tape: takes the samples.
            single: whether several channels are an error.
            warn: called with the text of each warning.
        """
        self.interrupted = False
        """Whether it was stopped by a signal."""
        self.lost = ""
        """Why it ended before its time; empty: it did not."""
        self._wanted = wanted
        self._single = single
        self._tape = tape
        self._warn = warn
        self._others: set[str] = set()
        self._told_level: set[str] = set()
        self._told_rate: set[str] = set()
        self._stop = asyncio.Event()
        self._last_message_s = time.monotonic()
        models = dict.fromkeys(wanted.config.models, tape)
        self._conditions = Conditions(time.monotonic)
        self._conditions.configure(wanted.config, dict.fromkeys(wanted.config.models, tape.conditions), ())
        self._quantities = tuple(
            TopicPattern.parse(condition.topic)
            for sensor in wanted.config.sensors
            for condition in sensor.conditions.values()
        )
        self._ingest = Ingest(wanted.config, models, self._channel_came, time.monotonic, conditions=self._conditions)

    @property
    def rejected(self) -> Counter[str]:
        """Rejected messages by reason."""
        return Counter({reason.value: count for reason, count in self._ingest.rejected.items()})

    async def run(self, broker: Mqtt | Kafka, look: Callable[[], None]) -> None:
        """Record; ends when all channels are complete or silent, or at SIGINT or SIGTERM.

        Args:
            broker: the broker.
            look: called several times a second.

        Raises:
            ConfigurationError: a password or certificate cannot be read; or the messages are not what was stated.
            MonitorError: the broker cannot be reached, refuses the subscription, or nothing arrives.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt)
        try:
            connected = False
            while not self._stop.is_set():
                try:
                    await (self._mqtt(broker, look) if isinstance(broker, Mqtt) else self._kafka(broker, look))
                except aiomqtt.MqttError as error:
                    text = f"record: the broker at {broker.address} failed: {error}"
                    if not connected and not self._tape.tracks:
                        raise MonitorError(text) from error
                    self._warn(f"{text}; trying again")
                    if time.monotonic() - self._last_message_s > SILENCE_S:
                        self.lost = text
                        return
                connected = True
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), RETRY_S)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _interrupt(self) -> None:
        self.interrupted = True
        self._stop.set()

    async def _kafka(self, broker: Kafka, look: Callable[[], None]) -> None:
        """Record what comes to all partitions from now on, until recording is over; lost brokers are found again."""
        await asyncio.to_thread(require_topics, broker)
        reader = WholeTopics(broker, broker.topics, HandedOn(self._deliver))
        reading = asyncio.create_task(reader.run())
        try:
            while not self._over():
                await asyncio.wait({reading}, timeout=LOOK_S)
                if reading.done():
                    await reading  # which raises the reason
                self._ingest.release_overdue()
                look()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        self._stop.set()

    async def _mqtt(self, broker: Mqtt, look: Callable[[], None]) -> None:
        """Record over one connection, until it is lost or recording is over."""
        client = DirectClient(self._deliver, broker.max_payload, **client_options(broker))
        async with client:
            filters = list(dict.fromkeys(self._filters()))
            topics: Any = [(each, broker.qos) for each in filters]
            codes: Any = await client.subscribe(topics)
            refused = [each for each, code in zip(filters, codes, strict=False) if getattr(code, "is_failure", False)]
            if refused:
                raise MonitorError(
                    f"record: the broker refuses the subscription to {', '.join(refused)}; allow the account to read it"
                )
            lost = asyncio.ensure_future(client.wait_disconnected())
            try:
                while not self._over():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(asyncio.shield(lost), LOOK_S)
                    self._ingest.release_overdue()
                    for topic, payload in self._ingest.sparkplug.requests(time.time()):
                        await client.send(topic, payload, retain=False)
                    look()
            finally:
                lost.cancel()
                with suppress(asyncio.CancelledError, aiomqtt.MqttError):
                    await lost
        self._stop.set()

    def _filters(self) -> Iterator[str]:
        """Topic filters of the messages with what is wanted."""
        sensors = [sensor for sensor in self._wanted.config.sensors if sensor.payload.format == SPARKPLUG]
        metrics = [TopicPattern.parse(sensor.topic) for sensor in sensors]
        for pattern in self._wanted.topics:
            of_nodes = any(pattern.shared_topic(metric) is not None for metric in metrics)
            yield from message_filters(pattern.text) if of_nodes else [pattern.subscription]
        yield from (pattern.subscription for pattern in self._quantities)

    def _wants(self, topic: str) -> bool:
        return any(pattern.match(topic) is not None for pattern in self._wanted.topics)

    def _deliver(self, topic: str, payload: bytes, retained: bool) -> None:
        if any(pattern.match(topic) is not None for pattern in self._quantities):
            self._ingest.deliver(topic, payload)  # a retained value holds, retained samples are old
            return
        of_node = topic.startswith(NAMESPACE) and address_of(topic) is not None
        if retained or not (of_node or self._wants(topic)):
            return
        if self._tape.tracks or not of_node:  # of a node's messages many hold nothing that is wanted
            self._last_message_s = time.monotonic()
        if not self._ingest.messages and _is_text(payload) and self._packed(topic):
            self._warn(f"{topic}: the messages look like JSON, not like packed samples; say --format json")
        self._ingest.deliver(topic, payload)

    def _packed(self, topic: str) -> bool:
        """Whether the sensor of a topic has packed samples."""
        sensors = self._wanted.config.sensors
        found = [each for each in sensors if TopicPattern.parse(each.topic).match(topic) is not None]
        return bool(found) and found[0].payload.format in PACKED

    def _channel_came(self, channel: Channel) -> None:
        self._conditions.join(channel)
        *others, axis = channel.labels
        if not self._wants(channel.topic):
            return  # another metric in the same messages
        if self._wanted.axis is not None and axis != self._wanted.axis:
            self._others.add(axis)
            return
        self._tape.begin(channel.row, (*others, axis), channel.topic, channel.sensor)

    def _over(self) -> bool:
        """Whether recording ends now.

        Raises:
            ConfigurationError: the messages are not what was stated.
            MonitorError: nothing came.
        """
        tracks = list(self._tape.tracks.values())
        now_s = time.monotonic()
        self._refuse_what_is_wrong()
        self._warn_of_tracks()
        if self._stop.is_set() or (tracks and all(track.complete for track in tracks)):
            return True
        if now_s - self._last_message_s > SILENCE_S:
            if not tracks:
                topics = ", ".join(pattern.text for pattern in self._wanted.topics)
                raise MonitorError(f"record: no message on '{topics}' for {SILENCE_S:g} s; check the topic")
            self.lost = f"record: no message for {SILENCE_S:g} s"
            return True
        return bool(tracks) and all(track.complete or now_s - track.last_arrived_s > SILENCE_S for track in tracks)

    def _warn_of_tracks(self) -> None:
        """Warn once of each channel whose samples cannot be what was stated."""
        for track in self._tape.tracks.values():
            if track.name not in self._told_level and track.rms_mps2 > IMPLAUSIBLE_MPS2:
                self._told_level.add(track.name)
                self._warn(
                    f"{track.name}: its samples have {track.rms_mps2:.3g} m/s^2 RMS, more than any sensor gives; check "
                    "format, unit and scale"
                )
            if track.name not in self._told_rate and (found := track.wrong_rate()) and found.over_s >= TELL_RATE_S:
                self.tell_rate(track)

    def tell_rate(self, track: Track) -> None:
        """Warn of a channel whose samples came at another rate than stated; once."""
        found = track.wrong_rate()
        if found and track.name not in self._told_rate:
            self._told_rate.add(track.name)
            self._warn(
                f"{track.name}: {found.rate_hz:.4g} samples a second arrive, but {track.sensor.sampling_rate_hz:g} Hz "
                "is stated; correct it and record again. The file says both; who reads it will be asked which is right"
            )

    def _unusable(self) -> int:
        """Rejected messages, without those that wait for births that were asked for."""
        waits = self._wanted.config.mqtt.sparkplug.rebirth
        return self._ingest.rejected.total() - waits * self._ingest.rejected[Reason.NO_BIRTH]

    def _refuse_what_is_wrong(self) -> None:
        tracks = list(self._tape.tracks.values())
        if self._single and len(tracks) > 1:
            axes = ", ".join(track.axis or track.name for track in tracks)
            raise ConfigurationError(
                f"record: the messages hold several channels: {axes}; choose one with --axis, or give a folder as --out"
            )
        if self._others and not tracks:
            raise ConfigurationError(
                f"record: there is no axis '{self._wanted.axis}'; the messages have "
                f"{', '.join(sorted(self._others - {''})) or 'one axis without a name: leave --axis out'}"
            )
        if not tracks and self._unusable() >= UNUSABLE_MESSAGES:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.rejected.items())
            raise ConfigurationError(
                f"record: none of the first {self._ingest.messages} messages can be used ({reasons}); the warnings say "
                "why. Correct --format, --sampling-rate-hz or the configuration"
            )


def _is_text(payload: bytes) -> bool:
    """Whether a payload is a JSON document."""
    try:
        return payload[:1] in {b"{", b"["} and isinstance(json.loads(payload), dict | list)
    except ValueError:
        return False
