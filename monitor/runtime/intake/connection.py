"""The connection to the broker: connect, subscribe, deliver, and come back after every loss.

Nothing that happens to a connection is final: a broker that is away, a file that cannot be read, a rival with our
identifier or a missing permission is said, and tried again after a wait that grows. A new client is made for each
connection, so nothing of a broken one lives on. Does not handle: what a payload means.
"""

import asyncio
import logging
import math
import random
import time
from dataclasses import dataclass
from typing import Any, Never

import aiomqtt
from paho.mqtt.subscribeoptions import SubscribeOptions

from monitor.config import Mqtt
from monitor.errors import MonitorError
from monitor.runtime.intake.direct_client import Deliver, DirectClient, PublishRefusedError, client_options
from monitor.runtime.repeated_log import RepeatedLog

LOG = logging.getLogger(__name__)

NOT_AUTHORIZED = 135
SESSION_TAKEN_OVER = 142
"""MQTT 5 reason codes; paho translates those of 3.1.1. The second: another client connected with our identifier."""

SHORT_CONNECTION_S = 30.0
"""A connection that ends sooner does not count as recovery: the wait before the next one goes on growing. Lower: a
broker that accepts and drops us is hammered. Higher: after a true recovery the next loss waits longer than it need."""

SHORT_CONNECTIONS = 6
"""After so many short connections in a row the log asks whether the identifier is used twice: mosquitto 2.0 ends the
older connection without saying why. Fewer: a broker that restarts a few times raises the question. More: who looks for
the cause reads about it later."""

STATUS_S = 2.0
"""A connection that ends so soon after our status was published may have ended because of it. Shorter: a slow broker
that ends it for that reason goes unnoticed. Longer: losses for other reasons are counted too."""

STATUS_TRIES = 2
"""After so many such connections the next one does without status and will. Fewer: a flapping network costs the status.
More: an account that may not write it takes longer to be connected."""

GOODBYE_S = 3.0
"""Longest wait for a broker that hangs while we stop. Longer: systemd may lose patience. Shorter: a slow broker tells
its clients that we crashed."""

TAKEN_OVER = (
    "another client connected with our mqtt.client_id, and the two throw each other out; "
    "give each its own mqtt.client_id"
)


@dataclass
class MqttState:
    """What the metrics tell of the connection."""

    connected: bool = False
    """Whether subscriptions are active."""
    connections: int = 0
    """Successful connections since the start."""
    last_error: str = "not connected yet"
    """Why there is no connection."""
    refused: tuple[str, ...] = ()
    """Filters that the broker refuses to subscribe us to, while it takes others."""

    @property
    def reconnects(self) -> int:
        """Successful connections after the first."""
        return max(0, self.connections - 1)

    @property
    def problem(self) -> str:
        """What is wrong, for the readiness answer; empty when nothing is."""
        if not self.connected:
            return self.last_error
        return f"refuses the subscription to {', '.join(self.refused)}" if self.refused else ""


class MqttSource:
    """Keeps one connection to the broker alive."""

    def __init__(self, settings: Mqtt, topic_filters: list[str], deliver: Deliver) -> None:
        """Make a source; :meth:`run` connects.

        Args:
            settings: the broker; files named there are read at each connection.
            topic_filters: what to subscribe to.
            deliver: takes ``(topic, payload, retained)`` of each message, on the event loop.
        """
        self.state = MqttState()
        self._settings = settings
        self._filters = topic_filters
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
        """Connect, and connect again after every loss, until cancelled."""
        settings = self._settings
        wait_s, short = settings.reconnect_min, 0
        while True:
            self._connected_s = math.inf
            error, code = await self._connection()
            lasted_s = self._clock() - self._connected_s  # under 0 if there was no connection
            if code == SESSION_TAKEN_OVER:
                error = TAKEN_OVER
                # The rival comes back as we do: each time only after a longer wait, however long we were connected.
                self._log.error("taken over", f"{TAKEN_OVER}: url={settings.url} client_id={settings.client_id}")
            else:
                self._suspect_status(code == NOT_AUTHORIZED or 0 <= lasted_s < STATUS_S)
                if lasted_s >= SHORT_CONNECTION_S:
                    wait_s, short = settings.reconnect_min, 0
                short += 0 <= lasted_s < SHORT_CONNECTION_S
            # Jitter: a thousand clients that lost one broker must not come back at one instant.
            pause_s = wait_s * self._random.uniform(0.5, 1.0)
            hint = (
                f" short_connections={short}, is mqtt.client_id used once only?" if short >= SHORT_CONNECTIONS else ""
            )
            self._log.warning(error, f"no broker: url={settings.url} error={error!r} next_try_s={pause_s:.1f}{hint}")
            self.state.last_error = error
            await asyncio.sleep(pause_s)
            wait_s = min(2 * wait_s, settings.reconnect_max)

    async def publish(self, topic: str, payload: str | bytes, *, retain: bool = False) -> bool:
        """Publish if connected; returns whether the broker took it."""
        if self._client is None:
            return False
        try:
            await self._client.send(topic, payload, retain=retain)
        except (aiomqtt.MqttError, ValueError) as error:
            self._log.warning("publish", f"not published: topic={topic} error={error}")
            return False
        return True

    async def close(self) -> None:
        """Say goodbye: publish ``stopped``, so that the will is not sent."""
        if not self._with_status:
            return
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self.publish(self._settings.status_topic, "stopped", retain=True)
        except TimeoutError:
            LOG.warning("the broker did not take our goodbye: url=%s", self._settings.url)

    async def _connection(self) -> tuple[str, int | None]:
        """Live through one connection; returns why it ended or why there was none, with the broker's reason code."""
        settings = self._settings
        try:
            # Files may be on a disk that hangs; the system's certificates take 20 ms.
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
            return str(error) or type(error).__name__, getattr(code, "value", code)
        except MonitorError as error:
            return str(error), None
        except TimeoutError:
            return "the broker did not answer in time", None
        finally:
            self._client = None
            self.state.connected = False
            # Leaving a broken connection may raise an error of its own, in place of the cancellation.
            _raise_if_cancelled()

    def _make_client(self, options: dict[str, Any]) -> DirectClient:
        settings = self._settings
        will = aiomqtt.Will(settings.status_topic, "offline", qos=1, retain=True) if self._with_status else None
        return DirectClient(
            self._deliver,
            settings.max_payload,
            identifier=settings.client_id,
            will=will,
            **options,
        )

    async def _subscribe(self, client: DirectClient, filters: list[str] | tuple[str, ...]) -> None:
        """Subscribe; what the broker refuses is remembered while it takes others.

        Raises:
            aiomqtt.MqttError: it takes none at all.
        """
        settings = self._settings
        topics: Any
        if settings.version == "5":
            # Retained messages are not wanted: 2 asks the broker not to send them.
            options = SubscribeOptions(qos=settings.qos, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            topics = [(topic, options) for topic in filters]
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
        """Publish ``online``; an account that may not do that works without."""
        topic = self._settings.status_topic
        if self._with_status:
            try:
                await client.send(topic, "online", retain=True)
            except PublishRefusedError as error:
                self._status_refused, self._with_status = True, False
                LOG.warning("going on without mqtt.status_topic, allow the account to write it: %s", error)
        elif not self._status_refused:
            self._log.warning(
                "status",
                f"connected without status and will, since {STATUS_TRIES} connections with them ended at once; "
                f"may the account write mqtt.status_topic? topic={topic}",
            )

    async def _wait(self, client: DirectClient) -> Never:
        """Wait for the end of the connection, which raises its reason; meanwhile ask again for what was refused."""
        while self.state.refused:
            try:
                async with asyncio.timeout(self._settings.reconnect_max):
                    await client.wait_disconnected()
            except TimeoutError:
                await self._subscribe(client, self.state.refused)
        await client.wait_disconnected()

    def _suspect_status(self, suspicious: bool) -> None:
        """Decide whether the next connection has a status and a will.

        Some brokers end the connection of an account that may not write the topic, or refuse it because of the will,
        and do not say why.

        Args:
            suspicious: whether the last connection may have ended for that reason.
        """
        if not self._status_refused:
            self._suspicions = self._suspicions + 1 if suspicious and self._with_status else 0
            self._with_status = self._suspicions < STATUS_TRIES


def _raise_if_cancelled() -> None:
    """Python 3.11's ``wait_for``, which aiomqtt uses, loses a cancellation that meets the answer it waits for."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
