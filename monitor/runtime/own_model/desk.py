"""Decides what becomes of a plant's own model: it is sampled for, trained, judged, and taken where it foresees more.

Its channels wait meanwhile: what is healthy is learned with the model that stays. Where channels have baselines of the
model in use already, nothing waits and nothing is exchanged: what would be gained is told, and a person decides. The
outcome is in one file (:mod:`monitor.model.own.state`), which the command ``train --learned`` writes, by hand or here.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from monitor.config.configuration import Config
from monitor.errors import MonitorError
from monitor.model.own.samples import Samples
from monitor.model.own.state import LONGEST_REASON, OwnState, Phase, read_state, write_state
from monitor.runtime.baselines.history import slug_of
from monitor.runtime.baselines.store import Store
from monitor.runtime.intake.channel import Channel
from monitor.runtime.lanes.loading import LoadedLane
from monitor.runtime.log.internal_errors import InternalErrors, Where
from monitor.runtime.log.logs import RepeatedLog
from monitor.runtime.models_in_use import own_folder
from monitor.runtime.own_model import training
from monitor.runtime.own_model.able import unable
from monitor.runtime.own_model.one_model import OneModel, OwnShown
from monitor.runtime.own_model.sampler import Sampler, Taken

LOG = logging.getLogger(__name__)

LOOKS = 400.0
"""Looks at the channels in the time that is sampled, at most one a second. Fewer: stretches are late. More: work."""

SHORTEST_PERIOD_S = 0.05
"""Shortest time between two looks."""

SAVE_S = 20.0
"""Seconds between two saves of how long channels have run, and two looks for an outcome that somebody wrote by hand."""

ATTEMPTS = 3
"""Trainings that may fail before it is given up. Fewer: a kill in need of memory decides. More: longer until channels
learn."""

RETRY_S = 10.0
"""Wait after the first failed training; after the second it is twice as long."""

AT_ONCE = 20
"""Channels that are configured anew without a pause. More: the event loop waits."""


class OwnModelDesk:
    """The own models of all lanes."""

    def __init__(
        self,
        store: Store,
        channels: Callable[[], Iterable[Channel]],
        leave: Callable[[Channel], None],
        configure: Callable[[Channel], None],
        exchange: Callable[[], Awaitable[None]],
        errors: InternalErrors,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a desk without models; :meth:`configure` names them.

        Args:
            store: the baselines.
            channels: returns all channels.
            leave: has a channel not learn.
            configure: has a channel learn if it should.
            exchange: loads the models that are in use now; raises MonitorError where one cannot be used.
            errors: counts unexpected errors.
            clock: monotonic seconds.
        """
        self._store, self._channels, self._leave = store, channels, leave
        self._configure, self._exchange, self._errors, self._clock = configure, exchange, errors, clock
        self._log = RepeatedLog(LOG, clock)
        self._models: dict[str, OneModel] = {}
        self._slugs: dict[tuple[str, ...], str] = {}
        """Beginnings of the names of files, by the labels of channels."""
        self._lanes: Mapping[str, LoadedLane] = {}
        self._training: asyncio.Task[None] | None = None
        self._looked_s = self._saved_s = clock()

    def configure(self, config: Config, lanes: Mapping[str, LoadedLane]) -> None:
        """Take up the own models of a configuration, and of the lanes that run now."""
        self._slugs.clear()
        self._settings, self._label_names, self._lanes = config.learning, config.label_names, lanes
        self._silent_after_s = config.scoring.silent_after
        before, self._models = self._models, {}
        if config.state_dir is None or not (config.learning.enabled and config.learning.model == "own"):
            return
        learn = {sensor.model for sensor in config.sensors if sensor.calibration is None}
        for name, lane in lanes.items():
            if name not in learn:
                continue
            folder, sha256 = own_folder(config.state_dir, name), lane.info.sha256
            try:
                state, old = read_state(folder), before.get(name)
            except MonitorError as error:  # it was read a moment ago, when the lane was loaded
                LOG.error("own model: %s", error)  # noqa: TRY400 - the message says all
                continue
            if old is not None and sha256 == old.state.base_sha256 and state == old.state:
                self._models[name] = old
                continue
            if state is None or (state.base_sha256 != sha256 and state.phase is not Phase.TAKEN):
                base = str(lane.key.path.absolute())
                state = OwnState(model=name, base=base, base_sha256=sha256, phase=Phase.SAMPLING)
            bare = not any(h.baseline and h.baseline.model_sha256 == sha256 for h in self._store.histories)
            shape = lane.lane.shape
            one = OneModel(
                name,
                folder,
                2 * shape.window_blocks * shape.block_samples,
                state,
                holding=bare and not unable(0),
            )
            self._models[name] = one
            _tell(one)

    def hold(self, channel: Channel) -> bool:
        """Whether a channel waits for its model before it learns; it then does not learn, and shows why."""
        one = self._models.get(channel.model)
        if one is None or not one.waits:
            return False
        self._leave(channel)
        channel.learning = one.shown
        return True

    def shown(self) -> tuple[OwnShown, ...]:
        """What metrics and page show."""
        return tuple(
            OwnShown(
                one.name,
                one.state.phase,
                one.progress if one.state.phase is Phase.SAMPLING else 1.0,
                one.state.gain,
                one.lost,
            )
            for one in self._models.values()
        )

    async def run(self) -> None:
        """Sample, have models trained and take them, until cancelled."""
        try:
            await self._run()
        finally:
            await self._end_training()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, max(SHORTEST_PERIOD_S, self._settings.minimum / LOOKS)))
            now_s = self._clock()
            passed_s, self._looked_s = now_s - self._looked_s, now_s
            saves = now_s - self._saved_s >= SAVE_S
            if saves:
                self._saved_s = now_s
            for one in list(self._models.values()):
                with self._errors.contained(Where.TASK, f"own model {one.name}"):
                    await self._step(one, passed_s, saves=saves)

    async def _end_training(self) -> None:
        task, self._training = self._training, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _step(self, one: OneModel, passed_s: float, *, saves: bool) -> None:
        if one.state.phase is Phase.SAMPLING:
            await self._sample(one, passed_s, saves=saves)
        elif one.state.phase is Phase.TRAINING and self._training is None and (saves or not one.told):
            why = await asyncio.to_thread(lambda: unable(Samples(one.folder).bytes))
            if not why:
                self._training = asyncio.create_task(self._train(one), name="train the own model")
            elif not one.told:
                one.told, one.holding = True, False
                LOG.warning("own model: %s; %s", why, _by_hand(one))
                await self._release(one)
        if self._training is not None and self._training.done():
            task, self._training = self._training, None
            task.result()
        if saves:
            await self._reread(one)

    async def _sample(self, one: OneModel, passed_s: float, *, saves: bool) -> None:
        if one.sampler is None:
            one.sampler = await asyncio.to_thread(lambda: Sampler(Samples(one.folder), one.stretch_samples))
            await self._write(one, one.state)
        sampler, lane = one.sampler, self._lanes[one.name].lane
        mine = [(channel, self._slug(channel)) for channel in self._channels() if channel.model == one.name]
        taken = sampler.look(mine, lane.rings, lane.board.refusal, self._settings, passed_s)
        index = sampler.samples.index() if saves else None
        for lost, reason in await asyncio.to_thread(_keep, sampler.samples, taken, index):
            if lost is not None:
                one.lost += 1
                sampler.lost(lost)
            self._log.warning("unsaved", f"samples for the own model could not be written: {reason}; check free space")
        one.progress = sampler.progress(self._settings)
        oldest_s = self._clock() - self._silent_after_s
        if sampler.done((slug for c, slug in mine if c.last_sample_s > oldest_s), self._settings):
            index = sampler.samples.index()
            await asyncio.to_thread(_keep, sampler.samples, [], index)
            if await self._write(one, one.state.model_copy(update={"phase": Phase.TRAINING})):
                LOG.info("own model: sampled: model=%s channels=%d bytes=%d; it is trained now", one.name, len(mine),
                         sampler.samples.bytes)  # fmt: skip
                one.sampler = None
                self._show(one)

    async def _train(self, one: OneModel) -> None:
        why = await training.train(one.folder)
        await self._reread(one)
        if one.state.phase is not Phase.TRAINING:
            return
        one.attempts += 1
        why = why or "the command ended without an outcome"
        LOG.warning("own model: the training failed: model=%s attempt=%d reason=%s", one.name, one.attempts, why)
        if one.attempts < ATTEMPTS:
            await asyncio.sleep(RETRY_S * one.attempts)
        else:
            await self._failed(one, why)

    async def _failed(self, one: OneModel, why: str) -> None:
        state = one.state.model_copy(update={"phase": Phase.FAILED, "reason": why[:LONGEST_REASON]})
        if not await self._write(one, state):
            one.state = state  # for this run
        await self._outcome(one)

    async def _reread(self, one: OneModel) -> None:
        """Take note of an outcome that the command wrote."""
        state = await asyncio.to_thread(read_state, one.folder)
        if state is None or state == one.state or state.phase in {Phase.SAMPLING, Phase.TRAINING}:
            return
        one.state, one.sampler = state, None
        await self._outcome(one)

    async def _outcome(self, one: OneModel) -> None:
        """Act on what has become of a model."""
        if one.state.phase is Phase.TAKEN and self._lanes[one.name].info.sha256 != one.state.sha256:
            try:
                await self._exchange()
            except MonitorError as error:
                await self._failed(one, f"it cannot be used: {error}")
            return  # what was exchanged was configured, and told
        _tell(one)
        await self._release(one)

    async def _release(self, one: OneModel) -> None:
        """Have the channels learn that waited."""
        for number, channel in enumerate(list(self._channels())):
            if channel.model == one.name:
                self._configure(channel)
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _write(self, one: OneModel, state: OwnState) -> bool:
        """Write the state, and use it; returns whether that could be done."""
        try:
            await asyncio.to_thread(write_state, one.folder, state)
        except MonitorError as error:
            self._log.warning("state", f"own model: {error}")
            return False
        one.state = state
        return True

    def _show(self, one: OneModel) -> None:
        for channel in self._channels():
            if channel.model == one.name and one.waits:
                channel.learning = one.shown

    def _slug(self, channel: Channel) -> str:
        slug = self._slugs.get(channel.labels)
        if slug is None:
            labels = dict(zip(self._label_names, channel.labels, strict=True))
            slug = self._slugs[channel.labels] = slug_of(labels)
        return slug


def _keep(samples: Samples, taken: list[Taken], index: bytes | None) -> list[tuple[Taken | None, str]]:
    """Write stretches and the index; returns what could not be written, and why."""
    lost: list[tuple[Taken | None, str]] = []
    for each in taken:
        try:
            samples.append(each.slug, each.samples, each.before)
        except OSError as error:
            lost.append((each, error.strerror or str(error)))
    if index is not None:
        try:
            samples.save(index)
        except OSError as error:
            lost.append((None, error.strerror or str(error)))
    return lost


def _by_hand(one: OneModel) -> str:
    return f"channels learn with the configured model; 'vibration-monitor train --learned {one.folder}' does it by hand"


def _tell(one: OneModel) -> None:
    """Log where a model is, and how good."""
    state, name = one.state, one.name
    match state.phase:
        case Phase.SAMPLING:
            LOG.info("own model: the first hour of running is sampled: model=%s channels_wait=%s", name, one.waits)
        case Phase.TRAINING:
            LOG.info("own model: to be trained: model=%s channels_wait=%s", name, one.waits)
        case Phase.TAKEN:
            LOG.info("own model taken: model=%s sha256=%.12s; %s", name, state.sha256, state.judged)
        case Phase.DECLINED:
            LOG.info("own model not taken, the model in use stays: model=%s; %s", name, state.judged)
        case Phase.FAILED:
            LOG.warning(
                "own model not trained, the model in use stays: model=%s reason=%s; %s",
                name,
                state.reason,
                _by_hand(one),
            )
        case Phase.OFFERED:
            LOG.warning(
                "own model ready: model=%s; %s. Channels have baselines of the model in use and would learn anew; to "
                "take it: vibration-monitor train --learned %s --force",
                name, state.judged, one.folder,
            )  # fmt: skip
