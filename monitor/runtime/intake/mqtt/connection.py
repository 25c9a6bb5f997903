"""The connection to the broker: connect, subscribe, deliver, and reconnect after every loss.

No error is final. A broker that is down, an unreadable file, another client with our identifier, a missing permission:
each is logged, and retried with exponential back-off. Each connection gets a new client, so no state of a broken
connection is reused. Does not handle: what a payload means.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Never

import aiomqtt
from paho.mqtt.subscribeoptions import SubscribeOptions

from monitor.config.mqtt import Mqtt
from monitor.errors import MonitorError
from monitor.runtime.intake.mqtt.direct_client import Deliver, DirectClient, PublishRefusedError, client_options
from monitor.runtime.intake.mqtt.loss import in_words
from monitor.runtime.intake.source import SourceState
from monitor.runtime.log.logs import RepeatedLog

LOG = logging.getLogger(__name__)

NOT_AUTHORIZED = 135
SESSION_TAKEN_OVER = 142
"""MQTT 5 reason codes; paho translates the codes of 3.1.1. The second: another client connected with our identifier."""

SHORT_CONNECTION_S = 30.0
"""A connection that ends sooner does not reset the back-off. Lower: a broker that accepts and drops us gets too many
attempts. Higher: after a real recovery the next loss waits longer than necessary."""

SHORT_CONNECTIONS = 6
"""After this many short connections in a row the log asks whether the identifier is used twice: mosquitto 2.0 closes
the older connection without a reason. Fewer: a few broker restarts bring the question up. More: the hint comes
later."""

STATUS_S = 2.0
"""If a connection ends this soon after our status was published, the status may be the cause. Shorter: a slow broker
that closes for this reason goes unnoticed. Longer: losses for other reasons count too."""

STATUS_TRIES = 2
"""After this many such connections the next one has no status and no will. Fewer: a flapping network costs the status.
More: an account without permission to write it takes longer to connect."""

GOODBYE_S = 3.0
"""Longest wait for the broker while we stop. Longer: systemd may kill the daemon first. Shorter: a slow broker
publishes our will, as if we had crashed."""

TAKEN_OVER = (
    "another client connected with our mqtt.client_id, so the broker disconnects each in turn; "
    "give each client its own mqtt.client_id"
)


@dataclass
class MqttState(SourceState):
    """State of the connection; it is connected while subscriptions are active."""

    refused: tuple[str, ...] = ()
    """Topic filters whose subscription the broker refused while it accepted others."""

    @property
    def problem(self) -> str:
        """Why the connection is not ready, for the readiness answer; empty when it is."""
        if self.connected and self.refused:
            return f"refuses the subscription to {', '.join(self.refused)}"
        return super().problem


class MqttSource:
    """Keeps one connection to the broker alive."""

    def __init__(
        self, settings: Mqtt, topic_filters: list[str], deliver: Deliver, with_retained: Collection[str] = ()
    ) -> None:
        """Make a source; :meth:`run` connects.

        Args:
            settings: the broker's section of the configuration; its files are read again for each connection.
            topic_filters: topic filters to subscribe to.
            deliver: called with ``(topic, payload, retained)`` for each message, on the event loop.
            with_retained: those filters whose retained messages are wanted.
        """
        self.state = MqttState()
        self._settings = settings
        self._filters = topic_filters
        self._with_retained = frozenset(with_retained)
        self._deliver = deliver
        self._client: DirectClient | None = None
        self._connected_s = math.inf
        self._with_status = True
        self._status_refused = False
        self._suspicions = 0
        self._clock = time.monotonic
        self._log = RepeatedLog(LOG, time.monotonic)
        self._random = random.Random()  # noqa: S311 - jitter, not secrecy

    async def run(self) -> None:
        """Connect, and reconnect after every loss, until cancelled."""
        settings = self._settings
        wait_s, short = settings.reconnect_min, 0
        while True:
            self._connected_s = math.inf
            error, code = await self._connection()
            lasted_s = self._clock() - self._connected_s  # negative if there was no connection
            if code == SESSION_TAKEN_OVER:
                error = TAKEN_OVER
                # The other client reconnects as we do, so the back-off grows however long we were connected.
                self._log.error("taken over", f"{TAKEN_OVER}: url={settings.url} client_id={settings.client_id}")
            else:
                self._suspect_status(code == NOT_AUTHORIZED or 0 <= lasted_s < STATUS_S)
                if lasted_s >= SHORT_CONNECTION_S:
                    wait_s, short = settings.reconnect_min, 0
                short += 0 <= lasted_s < SHORT_CONNECTION_S
            # Jitter: a thousand clients that lost a broker must not reconnect at the same instant.
            pause_s = wait_s * self._random.uniform(0.5, 1.0)
            hint = (
                f" short_connections={short} client_id={settings.client_id}, has another client this mqtt.client_id?"
                if short >= SHORT_CONNECTIONS
                else ""
            )
            self._log.warning(error, f"no broker: url={settings.url} error={error!r} next_try_s={pause_s:.1f}{hint}")
            self.state.last_error = error
            await asyncio.sleep(pause_s)
            wait_s = min(2 * wait_s, settings.reconnect_max)

    async def publish(self, topic: str, payload: str | bytes, *, retain: bool = False) -> bool:
        """Publish if connected; returns whether the broker accepted the message."""
        if self._client is None:
            return False
        try:
            await self._client.send(topic, payload, retain=retain)
        except (aiomqtt.MqttError, ValueError) as error:
            self._log.warning("publish", f"not published: topic={topic} error={error}")
            return False
        return True

    async def close(self) -> None:
        """Publish the status ``stopped``, so that the broker does not publish the will."""
        if not self._with_status:
            return
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self.publish(self._settings.status, "stopped", retain=True)
        except TimeoutError:
            LOG.warning("the broker did not accept the status 'stopped' in time: url=%s", self._settings.url)

    async def _connection(self) -> tuple[str, int | None]:
        """Run one connection to its end; returns why it ended or failed, and the broker's reason code."""
        settings = self._settings
        try:
            # On a thread: the files may be on a slow disk, and loading the system's certificates takes 20 ms.
            options = await asyncio.to_thread(client_options, settings)
            async with self._make_client(options) as client:
                await self._subscribe(client, self._filters)
                self._connected_s = self._clock()
                self._client = client
                self.state.connected = True
                self.state.connections += 1
                LOG.info("connected: url=%s filters=%s", settings.url, ",".join(self._filters))
                await self._announce(client)
                _raise_if_cancelled()
                await self._wait(client)
        except aiomqtt.MqttError as error:
            code = getattr(error, "rc", None)
            return in_words(error), getattr(code, "value", code)
        except MonitorError as error:
            return str(error), None
        except TimeoutError:
            return "the broker did not answer in time", None
        finally:
            self._client = None
            self.state.connected = False
            # Closing a broken connection may raise an error that hides the cancellation.
            _raise_if_cancelled()

    def _make_client(self, options: dict[str, Any]) -> DirectClient:
        settings = self._settings
        will = aiomqtt.Will(settings.status, "offline", qos=1, retain=True) if self._with_status else None
        return DirectClient(
            self._deliver,
            settings.max_payload,
            identifier=settings.client_id,
            will=will,
            **options,
        )

    async def _subscribe(self, client: DirectClient, filters: list[str] | tuple[str, ...]) -> None:
        """Subscribe; refused filters are kept in ``state.refused`` if the broker accepts others.

        Raises:
            aiomqtt.MqttError: the broker refuses all of them.
        """
        settings = self._settings
        topics: Any
        if settings.version == "5":
            # Retained samples are old: the broker need not send them. A retained quantity may still hold.
            live = SubscribeOptions(qos=settings.qos, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            known = SubscribeOptions(qos=settings.qos, retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE)
            topics = [(topic, known if topic in self._with_retained else live) for topic in filters]
        else:
            topics = [(topic, settings.qos) for topic in filters]
        codes: Any = await client.subscribe(topics)
        refused = tuple(topic for topic, code in zip(filters, codes, strict=False) if code.is_failure)
        text = f"the broker refused the subscription to {', '.join(refused)}"
        if len(refused) == len(self._filters):
            raise aiomqtt.MqttError(text)
        if refused and refused != self.state.refused:
            LOG.error("%s; allow the account to read it: url=%s", text, settings.url)
        self.state.refused = refused

    async def _announce(self, client: DirectClient) -> None:
        """Publish the status ``online``; without permission to do so, the daemon goes on without status."""
        topic = self._settings.status
        if self._with_status:
            try:
                await client.send(topic, "online", retain=True)
            except PublishRefusedError as error:
                self._status_refused, self._with_status = True, False
                LOG.warning("going on without mqtt.status_topic; allow the account to write it: %s", error)
        elif not self._status_refused:
            self._log.warning(
                "status",
                f"connected without status and will, because {STATUS_TRIES} connections with them ended at once; "
                f"may the account write mqtt.status_topic? topic={topic}",
            )

    async def _wait(self, client: DirectClient) -> Never:
        """Wait until the connection is lost, which raises the reason; retry refused subscriptions meanwhile."""
        while self.state.refused:
            try:
                async with asyncio.timeout(self._settings.reconnect_max):
                    await client.wait_disconnected()
            except TimeoutError:
                await self._subscribe(client, self.state.refused)
        await client.wait_disconnected()

    def _suspect_status(self, suspicious: bool) -> None:
        """Decide whether the next connection has a status and a will.

        Some brokers close the connection of an account that may not write the status topic, or refuse the will, without
        a reason.

        Args:
            suspicious: whether the last connection may have ended because of the status or the will.
        """
        if not self._status_refused:
            self._suspicions = self._suspicions + 1 if suspicious and self._with_status else 0
            self._with_status = self._suspicions < STATUS_TRIES


def _raise_if_cancelled() -> None:
    """Work around ``wait_for`` of Python 3.11, which aiomqtt uses: it can lose a cancellation."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
