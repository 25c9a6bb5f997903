"""The plant of the soak: simulated sensors, a broker that restarts, reloads, HTTP clients, with faults mixed in.

What goes wrong, how often, stands in the constants; a seed fixes the order. Everything is on loopback. Does not handle:
what the daemon makes of it.
"""

import contextlib
import http.client
import json
import random
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from monitor.core.messages.encode import packed_samples
from monitor.demo.plant import NEWCOMER, PlantChannel, plant_channels
from monitor.simulation.machine import Fault, FaultKind
from monitor.simulation.simulator import Simulation
from tests.support.programs import program
from tests.support.servers import free_port, listening, wait_for

RATE_HZ = 12000
MESSAGE_S = 0.25

FAULTS_A_MESSAGE = {"lost": 0.004, "twice": 0.004, "swapped": 0.004, "bad": 0.01, "foreign": 0.005}
"""Probability that a message meets each of these."""

STEP_EVERY_S = 120.0
"""Mean time between two steps of one sensor's clock, of up to a day."""

SILENT_EVERY_S, SILENT_S = 300.0, 12.0
"""Mean time between two silences of one sensor, and how long one is."""

DAMAGED_EVERY_S, DAMAGED_S = 240.0, 20.0
"""Time between two episodes of a damaged bearing, and how long one is: each is an alarm with a capture."""

RECONNECT_EVERY_S, RELOAD_EVERY_S, CLIENTS_EVERY_S = 150.0, 60.0, 5.0
"""Time between two restarts of the broker, two reloads, two rounds of HTTP clients."""

DIGITS = "9" * 401
BAD_PAYLOADS = (
    b"", b"\x00", b"\xff" * 7, b"{", b"[]", b'{"samples": []}', b'{"samples": [1, "x"]}', b'{"samples": [NaN, 1]}',
    b'{"samples": [1], "t": 1.7e18}', b'{"samples": [1], "seq": 10000000000000000000}',
    b'{"samples": [1], "t": ' + DIGITS.encode() + b"}", b'{"samples": [1], "fs": ' + DIGITS.encode() + b"}",
    b'{"samples": {"\\ud800": [1]}}', b"[" * 2000, b'{"samples": ["' + b"y" * 20000 + b'"' + b",1" * 2000 + b"]}",
    np.full(300, np.nan, np.float32).tobytes(), np.full(300, 1e30, np.float32).tobytes(),
)  # fmt: skip


class Sensor:
    """One accelerometer: what it sends next, with its own sequence numbers and its own clock."""

    def __init__(self, channel: PlantChannel, dice: random.Random, *, as_json: bool) -> None:
        self.topic = channel.topic.replace("plant/", "gateway/") if as_json else channel.topic
        self.silent_until_s = 0.0
        self._as_json = as_json
        self._dice = dice
        self._healthy = channel.simulation
        fault = Fault(FaultKind.OUTER_RACE, 0.0, 0.0, 8.0)
        self._damaged = Simulation(channel.simulation.machine, RATE_HZ, dice.randrange(10**6), (fault,))
        self._seq = 0
        self._clock_s = time.time()

    def message(self, *, damaged: bool) -> bytes:
        """The next message."""
        samples = (self._damaged if damaged else self._healthy).next(round(RATE_HZ * MESSAGE_S))
        self._seq += 1
        self._clock_s += MESSAGE_S
        if self._dice.random() < MESSAGE_S / STEP_EVERY_S:
            self._clock_s += self._dice.uniform(-86400.0, 86400.0)
        if not self._as_json:
            return packed_samples(samples)
        numbers = [round(value, 3) for value in samples.tolist()]
        return json.dumps({"samples": numbers, "seq": self._seq, "t": self._clock_s}).encode()


class Broker:
    """A mosquitto that can be restarted on its port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n")
        self.start()

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = [program("mosquitto"), "-c", str(self._config)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for(lambda: listening(self.port), "mosquitto to listen")

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)


class Feed:
    """Sends until stopped, on threads of its own; ``done`` counts what was done to the daemon."""

    def __init__(self, broker: Broker, sensors: int, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._broker = broker
        self._dice = random.Random(seed)
        channels = [channel for channel in plant_channels(None, seed) if channel.machine not in ("gearbox-1", NEWCOMER)]
        self.sensors = [
            Sensor(channel, random.Random(seed + number), as_json=number % 2 == 1)
            for number, channel in enumerate(channels[:sensors])
        ]
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 2)
        self._client.max_queued_messages_set(100)
        self._held: dict[str, bytes] = {}

    def run(self, stop: threading.Event) -> None:
        """Send in real time until ``stop``."""
        self._client.connect("127.0.0.1", self._broker.port)
        self._client.loop_start()
        began_s = time.monotonic()
        number = 0
        while not stop.is_set():
            at_s = number * MESSAGE_S
            for index, sensor in enumerate(self.sensors):
                damaged = index == 0 and at_s % DAMAGED_EVERY_S > DAMAGED_EVERY_S - DAMAGED_S
                self._send(sensor, at_s, sensor.message(damaged=damaged))
            number += 1
            stop.wait(max(0.0, began_s + number * MESSAGE_S - time.monotonic()))
        self._client.disconnect()
        self._client.loop_stop()

    def _send(self, sensor: Sensor, at_s: float, payload: bytes) -> None:
        if self._dice.random() < MESSAGE_S / SILENT_EVERY_S:
            sensor.silent_until_s = at_s + SILENT_S
            self.done["silence"] += 1
        if at_s < sensor.silent_until_s:
            return
        fault = self._fault()
        self.done[fault or "message"] += 1
        held = self._held.pop(sensor.topic, None)
        if fault == "swapped":
            self._held[sensor.topic] = payload
        elif fault != "lost":
            self._publish(sensor.topic, payload)
        if held is not None:
            self._publish(sensor.topic, held)
        if fault == "twice":
            self._publish(sensor.topic, payload)
        elif fault == "bad":
            self._publish(sensor.topic, self._dice.choice(BAD_PAYLOADS))
        elif fault == "foreign":
            # Topics that match a sensor's pattern and hold nothing decodable, and topics that match none.
            number = self.done["foreign"]
            self._publish(f"gateway/ghost-{number}/de/acceleration", self._dice.choice(BAD_PAYLOADS))
            self._publish(f"plant/ghost-{number}", b"1")

    def _fault(self) -> str | None:
        at = self._dice.random()
        for name, share in FAULTS_A_MESSAGE.items():
            at -= share
            if at < 0:
                return name
        return None

    def _publish(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload)


class Neighbours:
    """Everything else that happens to a daemon: the broker restarts, configurations change, clients come and go."""

    def __init__(self, address: str, broker: Broker, config: Path, done: Counter[str]) -> None:
        self._address = address
        self._broker = broker
        self._config = config
        self._text = config.read_text()
        self._done = done

    def run(self, stop: threading.Event) -> None:
        """Do everything in its turn until ``stop``."""
        tasks: list[tuple[float, Callable[[], None]]] = [
            (RECONNECT_EVERY_S, self._restart_broker),
            (RELOAD_EVERY_S, self._reload),
            (CLIENTS_EVERY_S, self._clients),
        ]
        due_s = [time.monotonic() + period_s for period_s, _ in tasks]
        while not stop.wait(0.2):
            for index, (period_s, task) in enumerate(tasks):
                if time.monotonic() >= due_s[index]:
                    due_s[index] = time.monotonic() + period_s
                    task()

    def _restart_broker(self) -> None:
        self._broker.stop()
        self._broker.start()
        self._done["broker restart"] += 1

    def _reload(self) -> None:
        number = self._done["reload"]
        good = self._text.replace("silent_after: 5s", f"silent_after: {5 + number % 3}s")
        self._config.write_text("sensors: [{" if number % 4 == 3 else good)
        with contextlib.suppress(urllib.error.HTTPError):  # the broken one is refused
            urllib.request.urlopen(urllib.request.Request(f"{self._address}/-/reload", method="POST"), timeout=60)
        self._config.write_text(good)
        self._done["reload"] += 1

    def _clients(self) -> None:
        for path in ("/metrics", "/-/ready", "/api/v1/channels", "/", "/nowhere"):
            with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(self._address + path) as answer:
                answer.read()
        host, port = self._address.removeprefix("http://").split(":")
        for sent in (b"", b"GET /metrics HTTP/1.1\r\nHost: ", b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
            with socket.create_connection((host, int(port)), timeout=10) as hostile:
                hostile.sendall(sent)
        stream = http.client.HTTPConnection(host, int(port), timeout=10)
        stream.request("GET", "/api/v1/stream")
        stream.getresponse().read1(100)
        stream.close()
        self._done["client round"] += 1
