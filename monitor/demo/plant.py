"""The simulated plant: an MQTT broker on loopback, and simulated machines that publish to it in real time.

It runs in a separate thread with its own event loop, so the daemon sees nothing of it but MQTT messages.
"""

import asyncio
import logging
import math
import socket
import threading
import time
from dataclasses import dataclass, field, replace

import aiomqtt

from monitor.core.messages.encode import packed_samples
from monitor.errors import MonitorError
from monitor.simulation.machine import POINTS, Fault, FaultKind, Machine, catalogue, measuring_point
from monitor.simulation.simulator import Simulation
from monitor.simulation.speed import SpeedTurns

SAMPLING_RATE_HZ = 12000.0
MESSAGE_S = 0.1


@dataclass(frozen=True)
class PlantChannel:
    """One accelerometer of the plant."""

    machine: str
    """Name of the machine."""
    point: str
    """Name of the measuring point."""
    simulation: Simulation
    """The source of its samples."""
    silent_s: tuple[float, float] = (0.0, 0.0)
    """Start and end of the time in which it sends nothing, in seconds from the start of the plant."""

    @property
    def topic(self) -> str:
        """The MQTT topic that it publishes to."""
        return f"plant/{self.machine}/{self.point}/acceleration"


@dataclass(frozen=True)
class Story:
    """The events of the demo, in seconds from its start."""

    bearing_fault_s: float = 20.0
    """The outer race of fan-2's bearing begins to spall."""
    gear_fault_s: float = 30.0
    """A tooth of gearbox-1 begins to crack."""
    growth_s: float = 90.0
    """Seconds from the start of a fault to its full size."""
    dropout_s: tuple[float, float] = (40.0, 55.0)
    """Start and end of the dropout of pump-1's foot sensor."""
    appears_s: float = 35.0
    """fan-3 is connected: nobody has calibrated it."""
    watched_s: float = 10.0
    """Seconds for which fan-3 has been watched when the outer race of its bearing begins to spall."""
    seed: int = 7
    """Seed of all random numbers."""


FLEET = {"fan-1": "fan", "fan-2": "fan", "pump-1": "pump", "gearbox-1": "gearbox", "pump-2": "pump", "fan-3": "fan"}
"""Kind of each machine of the plant, by name."""

NEWCOMER = "fan-3"
"""The machine that appears while the plant runs, and learns."""

SPEEDS = SpeedTurns(((1.0, 4.0), (0.7, 4.0), (0.85, 4.0)), ramp_s=1.0)
"""The speeds of the machines in :data:`WITH_SPEEDS`; a round takes 15 s."""

WITH_SPEEDS = ("pump-2", NEWCOMER)
"""The machines whose speed changes."""


def plant_channels(story: Story | None, seed: int = 7) -> list[PlantChannel]:
    """The channels of the plant, three on each machine.

    Args:
        story: events of the demo; None: all machines stay healthy and send from the start.
        seed: random seed; another seed is another day of the same plant.
    """
    kinds = catalogue()
    channels = []
    for number, (name, kind) in enumerate(FLEET.items()):
        speeds = SPEEDS if name in WITH_SPEEDS else None
        for index, point in enumerate(POINTS):
            faults = _faults(story, name, index)
            machine: Machine = measuring_point(replace(kinds[kind], build=number, speeds=speeds), index)
            simulation = Simulation(machine, SAMPLING_RATE_HZ, seed * 100 + number * 10 + index, faults)
            channels.append(PlantChannel(name, point, simulation, _silent_s(story, name, point)))
    return channels


def _silent_s(story: Story | None, machine: str, point: str) -> tuple[float, float]:
    if story is not None and machine == NEWCOMER:
        return 0.0, story.appears_s
    if story is not None and (machine, point) == ("pump-1", "foot"):
        return story.dropout_s
    return 0.0, 0.0


def _faults(story: Story | None, machine: str, point: int) -> tuple[Fault, ...]:
    if story is None:
        return ()
    faults = {
        "fan-2": Fault(FaultKind.OUTER_RACE, story.bearing_fault_s, story.growth_s, 8.0),
        "gearbox-1": Fault(FaultKind.GEAR_TOOTH, story.gear_fault_s, story.growth_s, 16.0),
        NEWCOMER: Fault(FaultKind.OUTER_RACE, math.inf, story.growth_s, 8.0),  # begins with Plant.break_down
    }
    return (faults[machine].felt_at(point),) if machine in faults else ()


@dataclass
class Plant:
    """The broker and the machines, in one thread; see :meth:`start` and :meth:`stop`."""

    channels: list[PlantChannel]
    """The channels that publish."""
    port: int = 0
    """Port of the broker; 0 takes a free one and is replaced by its number at the start."""
    started_s: float = 0.0
    """Monotonic time of the first sample."""
    _ready: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)
    _error: list[BaseException] = field(default_factory=list)

    def start(self, timeout_s: float = 15.0) -> None:
        """Start the broker and the machines on a thread.

        Raises:
            MonitorError: the broker does not start.
        """
        if not self.port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="plant", daemon=True)
        self._thread.start()
        if not self._ready.wait(timeout_s) or self._error:
            reason = self._error[0] if self._error else "it took too long"
            raise MonitorError(f"the demo's broker did not start: {reason}")

    def stop(self) -> None:
        """Stop the broker and the machines."""
        self._stop.set()
        self._thread.join(10.0)

    def break_down(self, machine: str) -> None:
        """Let the faults of a machine begin now."""
        for channel in self.channels:
            if channel.machine == machine:
                simulation, now_s = channel.simulation, time.monotonic() - self.started_s
                simulation.faults = tuple(replace(fault, start_s=now_s) for fault in simulation.faults)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - reported by start, or logged
            self._error.append(error)
            if self._ready.is_set():
                logging.getLogger(__name__).warning("the plant stopped: error=%r", error)
        finally:
            self._ready.set()

    async def _main(self) -> None:
        from amqtt.broker import Broker

        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.ERROR)
        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        await broker.start()
        try:
            async with aiomqtt.Client("127.0.0.1", self.port, protocol=aiomqtt.ProtocolVersion.V311) as client:
                self._ready.set()
                await self._publish(client)
        finally:
            await broker.shutdown()

    async def _publish(self, client: aiomqtt.Client) -> None:
        count = round(MESSAGE_S * SAMPLING_RATE_HZ)
        self.started_s = time.monotonic()
        message = 0
        while not self._stop.is_set():
            at_s = message * MESSAGE_S
            for channel in self.channels:
                samples = channel.simulation.next(count)
                if not channel.silent_s[0] <= at_s < channel.silent_s[1]:
                    await client.publish(channel.topic, packed_samples(samples))
            message += 1
            await asyncio.sleep(max(0.0, self.started_s + message * MESSAGE_S - time.monotonic()))
