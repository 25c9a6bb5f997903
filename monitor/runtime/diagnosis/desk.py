"""Decides what is looked at, and when: channels in warning or alarm, those that somebody asks for, and healthy ones.

It runs on the event loop and reads rings and boards only; a process beside diagnoses. So neither messages nor scores
wait. A channel is looked at when it leaves ok, then again and again for some minutes, and then every ten minutes, while
it is not ok; all looks of an alarm count together. Healthy channels with facts of their machine are looked at for
comparison, one at a time and slowly. No score depends on any of it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path

import numpy as np

from monitor.core.diagnosis.diagnose import Diagnosis, Facts, Healthy
from monitor.core.diagnosis.together import Together
from monitor.core.scoring.alarm import State
from monitor.runtime.diagnosis.case import Case
from monitor.runtime.diagnosis.healthy import HealthyLooks
from monitor.runtime.diagnosis.listening import Listening
from monitor.runtime.diagnosis.messages import Look, Seen, Unable
from monitor.runtime.diagnosis.process import IDLE_S, DiagnosisProcess
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.log.internal_errors import InternalErrors, Where

LOG = logging.getLogger(__name__)

SOON_LOOKS = 24
"""Looks of an alarm that follow each other at once. Fewer: what a few minutes tell is named after hours. More: a plant
in alarm keeps a process busy for longer, which takes a third of a second for each."""

SOON_S, LATER_S = 5.0, 600.0
"""Seconds between two of these looks, and between later ones. Less: a plant in alarm keeps a core busy. More: faint
faults are named later."""

RETRY_S = 60.0
"""Seconds after which a look is tried again that could not be done. Less: the log fills."""

MOST_LISTENING = 4
"""Channels that are listened to at the same time. Fewer: a plant-wide alarm waits for its names. More: memory, up to 8
MB each."""

MOST_CASES = 128
"""Cases that are kept; the oldest that are not in alarm go first. Fewer: the page loses them. More: memory, up to 0.4
MB each."""

MOST_ASKED = 16
"""Channels that may wait because somebody asked. Fewer: a person is refused. More: alarms wait for curiosity."""

WATCH_S = 1.0
"""Seconds between two looks at the alarm states."""

HEALTHY_LOOKS = 6
"""Looks at a healthy channel at once. Fewer: what an alarm shows must be deeper to be named. More: it takes longer."""

HEALTHY_PAUSE_S = 5.0
"""Pause between two healthy looks. Shorter: with listening before each, they take more than 4 % of a core. Longer: a
large plant is known late (1,000 channels take two days)."""

Labels = tuple[str, ...]


class DiagnosisDesk:
    """Has channels looked at, and keeps what was found."""

    def __init__(
        self,
        state_dir: Path | None,
        lanes: Callable[[], Mapping[str, Lane]],
        channels: Callable[[], Mapping[Labels, Channel]],
        wall_clock: Callable[[], float],
        named: Callable[[Channel, Case], None],
        errors: InternalErrors,
        process: DiagnosisProcess | None = None,
    ) -> None:
        """Make a desk.

        Args:
            state_dir: looks at healthy channels are kept in it; None: in memory.
            lanes: returns the lanes by model.
            channels: returns the channels by the values of their labels.
            wall_clock: returns UNIX seconds.
            named: called when what a channel in warning or alarm is named as has changed.
            errors: counts unexpected errors.
            process: does the looks; None: it makes its own.
        """
        self.cases: dict[Labels, Case] = {}
        """By the values of the channel's labels."""
        self._lanes, self._channels = lanes, channels
        self._wall_clock, self._named, self._errors = wall_clock, named, errors
        self._process = process or DiagnosisProcess()
        self._healthy = HealthyLooks(state_dir and state_dir / "diagnosis")
        self._healthy_seen: tuple[Labels, list[Diagnosis]] | None = None
        self._healthy_due_s = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[Labels] = set()
        self._last_look_s = time.monotonic()

    def ask(self, labels: Labels) -> Case | None:
        """Have a channel looked at because somebody asked; returns its case, or None if too many wait."""
        case = self.cases.get(labels)
        if case is None or case.doing == "done":
            waiting = sum(one.doing == "waiting" and not one.alarmed for one in self.cases.values())
            if waiting >= MOST_ASKED:
                return None
            if case is None:
                case = self._begin(labels, alarmed=False)
            case.doing, case.due_s = "waiting", time.monotonic()
        return case

    async def run(self) -> None:
        """Watch until cancelled."""
        await asyncio.to_thread(self._healthy.load)
        try:
            while True:
                self._watch(time.monotonic())
                await asyncio.sleep(WATCH_S)
        finally:
            for task in self._tasks:
                task.cancel()

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def _watch(self, now_s: float) -> None:
        channels = self._channels()
        alarmed = self._alarmed(channels)
        for labels, state in alarmed.items():
            case = self.cases.get(labels)
            if case is None or not case.alarmed:
                case = self._begin(labels, alarmed=True)
            elif state > case.state:
                case.due_s = now_s  # for the capture of the alarm
            case.state = state
        for labels, case in list(self.cases.items()):
            if labels not in channels:
                del self.cases[labels]
            elif case.alarmed and labels not in alarmed:
                case.alarmed = False
        due = [
            (not case.alarmed, case.due_s, labels)
            for labels, case in self.cases.items()
            if case.due_s <= now_s and (case.alarmed or case.doing == "waiting") and labels not in self._busy
        ]
        for _, _, labels in sorted(due)[: max(0, MOST_LISTENING - len(self._busy))]:
            self._start(channels[labels], self.cases[labels])
        if not self._busy:
            self._look_at_healthy(channels, now_s)
        if not self._busy and self._process.pid is not None and now_s - self._last_look_s > IDLE_S:
            self._spawn(self._process.rest())

    def _alarmed(self, channels: Mapping[Labels, Channel]) -> dict[Labels, int]:
        """The alarm states of the channels in warning or alarm."""
        states = {name: lane.board.read(("alarm_state",))["alarm_state"] for name, lane in self._lanes().items()}
        if not any((state > State.OK).any() for state in states.values()):
            return {}
        return {
            labels: int(state)
            for labels, channel in channels.items()
            if channel.model in states and (state := states[channel.model][channel.row]) > State.OK
        }

    def _begin(self, labels: Labels, *, alarmed: bool) -> Case:
        if len(self.cases) >= MOST_CASES:
            quiet = [name for name, case in self.cases.items() if not case.alarmed and name not in self._busy]
            for old in quiet[: len(self.cases) - MOST_CASES + 1]:
                del self.cases[old]
        channel = "/".join(value for value in labels if value)
        self.cases[labels] = case = Case(channel, self._wall_clock(), alarmed, due_s=time.monotonic())
        return case

    def _start(self, channel: Channel, case: Case | None) -> None:
        self._busy.add(channel.labels)
        self._spawn(self._look(channel, channel.labels, case))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name="diagnosis")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self, channel: Channel, labels: Labels, case: Case | None) -> None:
        """Listen to a channel and have it diagnosed; without a case for comparison later."""
        try:
            with self._errors.contained(Where.TASK, f"diagnosis of {channel.name}"):
                if case is not None:
                    case.doing = "listening"
                listening = Listening(channel, self._lanes()[channel.model], time.monotonic())
                while not listening.look(time.monotonic()):
                    await asyncio.sleep(listening.pause_s)
                    if self._channels().get(labels) is not channel or not self._holds(listening):
                        return  # the channel went with a reload
                if case is not None:
                    case.doing = "diagnosing"
                    await self._diagnose(listening, case)
                else:
                    await self._compare(listening)
        finally:
            self._busy.discard(labels)
            self._last_look_s = time.monotonic()
            if case is not None:
                case.doing = "done"
                case.due_s = time.monotonic() + (
                    RETRY_S if case.problem else SOON_S if case.looks < SOON_LOOKS else LATER_S
                )

    def _holds(self, listening: Listening) -> bool:
        return self._lanes().get(listening.channel.model) is listening.lane

    async def _diagnose(self, listening: Listening, case: Case) -> None:
        channel, before = listening.channel, case.named()
        speeds = listening.speeds()
        shaft_hz = None if speeds is None else float(np.mean(np.concatenate(speeds))) / 60
        healthy = self._healthy.of(channel.name, healthy_key(channel), shaft_hz)
        answer = await self._ask(listening, healthy, case.together)
        if isinstance(answer, Unable):
            case.problem = answer.reason
            return
        case.add(answer, self._wall_clock(), with_healthy=healthy is not None)
        named = case.named()
        if case.alarmed and [one.what for one in named] != [one.what for one in before]:
            LOG.warning(
                "fault named: channel=%s fault=%s", channel.name, "; ".join(one.words for one in named) or "none"
            )
        if case.alarmed:
            self._named(channel, case)

    async def _ask(self, listening: Listening, healthy: Healthy | None, before: Together | None) -> Seen | Unable:
        channel, records = listening.channel, listening.records()
        if not records:
            return Unable("no samples came that could be looked at")
        machine = channel.sensor.machine
        look = Look(
            channel.name,
            records,
            channel.sensor.sampling_rate_hz,
            listening.speeds(),
            Facts(machine.named_bearings, machine.gears),
            healthy,
            before,
        )
        answer = await self._process.do(look)
        if isinstance(answer, Unable):
            LOG.warning("not diagnosed: channel=%s reason=%s", channel.name, answer.reason)
        return answer

    def _look_at_healthy(self, channels: Mapping[Labels, Channel], now_s: float) -> None:
        """Start a look at a healthy channel, if it is time: first of those of which none is kept."""
        if now_s < self._healthy_due_s:
            return
        self._healthy_due_s = now_s + HEALTHY_PAUSE_S
        waiting: list[tuple[bool, Channel]] = []
        for labels, channel in channels.items():
            machine = channel.sensor.machine
            known = machine.speed_rpm is not None or machine.has_orders
            if not known or channel.calibration is None or channel.provisional or labels in self.cases:
                continue
            once = self._healthy.has(channel.name, healthy_key(channel))
            if once and not self._healthy.apart_due(channel.name, self._wall_clock()):
                continue
            if self._scored(channel):
                waiting.append((once, channel))
                if not once:
                    break
        if waiting:
            self._start(min(waiting, key=lambda one: one[0])[1], None)

    def _scored(self, channel: Channel) -> bool:
        """Whether the channel is ok and has a score, so that its machine runs."""
        lane = self._lanes()[channel.model]
        score, state = lane.board.row(("score", "alarm_state"), channel.row)
        return bool(state == State.OK and 0 <= score < 1)

    async def _compare(self, listening: Listening) -> None:
        channel = listening.channel
        known = self._healthy.has(channel.name, healthy_key(channel))
        if self._healthy_seen is None or self._healthy_seen[0] != channel.labels:
            self._healthy_seen = channel.labels, []
        seen = self._healthy_seen[1]
        answer = await self._ask(listening, None, seen[-1].together if seen else None)
        self._healthy_due_s = time.monotonic() + HEALTHY_PAUSE_S
        if isinstance(answer, Unable) or not self._scored(channel):
            self._healthy_due_s += RETRY_S
            return
        found, at_s = answer.diagnosis, self._wall_clock()
        for before in seen:
            before.together = None
        seen.append(found)
        if not known and len(seen) < HEALTHY_LOOKS:
            return
        self._healthy_seen = None
        try:
            if known:
                await asyncio.to_thread(self._healthy.keep_apart, channel.name, found, at_s)
            else:
                lines = [one.lines for one in seen if one.lines is not None]
                await asyncio.to_thread(self._healthy.keep, channel.name, healthy_key(channel), lines, found, at_s)
        except OSError as error:
            LOG.warning("a healthy look is not kept: channel=%s error=%s", channel.name, error.strerror or error)


def healthy_key(channel: Channel) -> str:
    """Everything that a look at a healthy channel depends on."""
    machine = channel.sensor.machine
    return f"{channel.key} {machine.speed_rpm} {machine.named_bearings} {machine.gears}"
