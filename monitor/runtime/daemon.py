"""The daemon: wires all parts together, and starts and stops them in order.

Its life is three coroutines: :meth:`Daemon.start`, :meth:`Daemon.serve`, :meth:`Daemon.close`. An invalid configuration
or model stops the start with a full message; a missing broker does not. A reload prepares and checks everything new
before it replaces anything.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import numpy as np

from monitor.config.configuration import Config
from monitor.core.samples.condition_values import ConditionValues
from monitor.core.scoring.alarm import Changes
from monitor.errors import ConfigurationError, MonitorError
from monitor.runtime.addresses import channel_url, public_url
from monitor.runtime.alarms.acknowledge import Acknowledgements
from monitor.runtime.alarms.capture import EvidenceWriter
from monitor.runtime.alarms.capture_names import evidence_dir
from monitor.runtime.alarms.desk import AlarmDesk
from monitor.runtime.alarms.publisher import EventPublisher
from monitor.runtime.baselines.calibrations import Calibrations
from monitor.runtime.baselines.desk import BaselineDesk
from monitor.runtime.baselines.store import Store
from monitor.runtime.credentials.certificates import server_context
from monitor.runtime.diagnosis.desk import DiagnosisDesk
from monitor.runtime.history.desk import Grown, HistoryDesk
from monitor.runtime.intake import by_the_clock
from monitor.runtime.intake.broker import Broker
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.conditions import Conditions
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.intake.rates import RateWatch
from monitor.runtime.lanes.lane import Lane
from monitor.runtime.lanes.loading import Lanes, LoadedLane
from monitor.runtime.lanes.orders import Batches, Measured
from monitor.runtime.lanes.settings import row_order, state_key
from monitor.runtime.lanes.workers import Inference
from monitor.runtime.learning.desk import LearningDesk
from monitor.runtime.log.internal_errors import InternalErrors, Where, beside
from monitor.runtime.own_model.desk import OwnModelDesk
from monitor.runtime.processes.notify import Notifier
from monitor.runtime.reload import Prepared, Running, check_files, load, prepare, renew_certificate
from monitor.runtime.scores.desk import ScoreDesk
from monitor.runtime.state import absent
from monitor.runtime.state.file import locked
from monitor.runtime.state.memory import Memory
from monitor.runtime.state.saving import Saving
from monitor.runtime.wall_clock import WallClock
from monitor.runtime.web import server
from monitor.runtime.web.border.auth import open_to_others
from monitor.runtime.web.metrics import exposition, families
from monitor.runtime.web.state_log import StateLog
from monitor.runtime.web.view import View, status

LOG = logging.getLogger(__name__)


class Daemon:
    """One run of the service."""

    def __init__(self, config: Config, config_file: Path | None = None, notifier: Notifier | None = None) -> None:
        self.config = config
        self.address = f"{'https' if config.http.cert_file else 'http'}://{config.http.listen}"
        """Where the HTTP server listens; port 0 is replaced at the start."""
        self._config_file = config_file
        self._notifier = notifier or Notifier(None)
        self._wall_clock = WallClock(time.time, time.monotonic)
        self._errors = InternalErrors(time.monotonic)
        self._stack = AsyncExitStack()
        self._lanes: dict[str, LoadedLane] = {}
        self._process_registry = exposition.process_registry()
        self._reloaded_s = time.monotonic()
        self._reload_successful = True
        self._reloading = asyncio.Lock()

    async def start(self) -> None:
        """Load the models, start their workers, open the HTTP server. It does not wait for the broker.

        Raises:
            MonitorError: the daemon cannot run.
        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._errors.in_loop)
        self._failure: asyncio.Future[None] = loop.create_future()
        self._certificates = check_files(self.config, self._config_file)
        self._tls = server_context(self.config.http)
        self._stack.enter_context(locked(self.config.state_dir))
        self._store = Store(self.config.state_dir, self._wall_clock.now_s)
        self._calibrations = Calibrations(self._config_file, self._store)
        self.learning = LearningDesk(
            self.config.state_dir,
            self._store,
            self.config.learning,
            inference_of=lambda channel: self._lanes[channel.model].inference,
            configure=self._configure_channel,
            tell=lambda labels: self.baselines.tell(labels),  # noqa: PLW0108 - there is none yet
            wall_offset_s=lambda: self._wall_clock.offset_s,
            errors=self._errors,
        )
        self._scores = ScoreDesk(
            lambda: self._broker.state,
            lambda model: self.ingest.of_rows(model),  # noqa: PLW0108 - there is none yet
            self._wall_clock,
            self._errors,
        )
        soon = partial(partial, loop.call_soon_threadsafe)
        self._loader = Lanes(soon(self._alarms_changed), soon(self._fail), self.learning.gathered, self._scores.heard)
        self._lanes = self._loader.load(self.config, self._config_file, {})
        self._stack.callback(self._stop_lanes)
        self._stack.callback(self.learning.close)
        rings = {name: lane.rings for name, lane in self._shared().items()}
        self._conditions = Conditions(time.monotonic)
        self._conditions.configure(self.config, self._condition_values(), ())
        self.ingest = Ingest(
            self.config, rings, self._new_channel, time.monotonic, self._errors, self._conditions, self._leave
        )
        memory = self._memory = Memory(self.config.state_dir, self._wall_clock, self.config.limits.channels)
        self._saving = Saving(memory, self.ingest, lambda: self.config, self._inference, self._forget, self._errors)
        moving = self._saving.moving(self._scores, self._store, self.learning.travel)
        self._broker = Broker(self.config, self.ingest, self._errors, moving)
        self._scores.configure(self.config, self._inference())
        self._stack.push_async_callback(self._scores.close)
        self._evidence = EvidenceWriter(self.config.evidence, evidence_dir(self.config), asyncio.sleep, self._errors)
        self._stack.push_async_callback(self._evidence.close)
        self._events = EventPublisher(
            self.config.broker, self._broker.publish, lambda: self._broker.state.connected, errors=self._errors
        )
        channels = self.ingest.channels.values
        self.baselines = BaselineDesk(
            self._store,
            self.ingest.channels,
            lambda: self.config.label_names,
            self._configure_channel,
            self._events.baseline,
            learns=lambda: self.config.learning.enabled,
        )
        self.own = OwnModelDesk(
            self._store, channels, self.learning.leave, self._configure_channel, self._exchange, self._errors
        )
        self.own.configure(self.config, self._lanes)
        self._rates = RateWatch(channels, lambda: self.config.scoring.rate_tolerance, self._rate_changed)
        names, now_s = self.config.label_names, self._wall_clock.now_s
        page = partial(channel_url, lambda: public_url(self.config.http, self.address))
        self.history = await asyncio.to_thread(
            HistoryDesk,
            self.config.state_dir,
            self.config.limits.channels,
            channels,
            self._shared,
            lambda: self.config.label_names,
            self._wall_clock.now_s,
            self._errors,
            grown=self._grown,
        )
        self._stack.push_async_callback(self.history.close)
        healthy, outlook, tell = self.history.healthy_of, self.history.outlook_of, self._events.alarm
        self._alarm_desk = AlarmDesk(self._evidence, names, now_s, page, tell, self._errors, healthy, outlook)
        named = partial(self._alarm_desk.named, retain=self._events.state)
        self.diagnosis = DiagnosisDesk(
            self.config.state_dir, self._shared, lambda: self.ingest.channels, now_s, named, self._errors
        )
        self._stack.callback(self.diagnosis.close)
        self.acknowledgements = Acknowledgements(
            lambda: self.config.label_names, now_s, page, self._events.state, self._saving.wanted.set
        )
        absent.bring_back(self.ingest, self._memory, self.config, time.monotonic())
        if self.ingest.channels:  # the first scrape has them
            for loaded in self._lanes.values():
                await loaded.inference.obeyed()
        self.address = await self._listen()

    async def serve(self) -> None:
        """Process messages until cancelled, or until a worker fails."""
        self._broker.start()
        self._notifier.ready(status(self.view()))
        runs: dict[str, Callable[[], Awaitable[None]]] = {
            "watch": partial(self._notifier.watch, self._oldest_beat_s, lambda: status(self.view())),
            "remember": self._saving.run,
            "events": self._events.run,
            "rates": self._rates.run,
            "release": partial(by_the_clock.release, self.ingest),
            "rebirths": partial(by_the_clock.ask_nodes, self.ingest, self._wall_clock.now_s, self._broker.publish),
            "learning": self.learning.run,
            "learned": self.learning.keep,
            "states": StateLog(self.view).run,
            "history": self.history.run,
            "diagnosis": self.diagnosis.run,
            "own model": self.own.run,
            "scores": self._scores.run,
        }
        try:
            async with beside(runs, self._errors):
                try:
                    await self._failure
                finally:
                    self._notifier.stopping()
        finally:
            # State that may have made a worker fail must not reach the next run.
            sound = self._failure.cancelled() or isinstance(self._failure.exception(), MonitorError)
            if sound:
                await self._saving.save()
            await self._broker.stop()
            if sound:
                await self._saving.save(final=True)

    async def close(self) -> None:
        """Stop everything that :meth:`start` started, in reverse order."""
        await self._stack.aclose()
        self._notifier.close()

    async def reload(self) -> None:
        """Reload the configuration file; if any part of it is invalid, nothing changes.

        Raises:
            MonitorError: why the old configuration stays.
        """
        if self._config_file is None:
            raise ConfigurationError("cannot reload: the daemon was started without a configuration file")
        async with self._reloading:
            self._notifier.reloading()
            reason = MonitorError("an internal error, see the log; restart the service")
            good = False
            with self._errors.contained(Where.TASK, "reload"):
                try:
                    await self._swap(await asyncio.to_thread(prepare, self._config_file, self.config, self._running()))
                    good = True
                except MonitorError as error:
                    reason = error
            self._reload_successful = good
            self._notifier.ready(status(self.view()))
        if not good:
            LOG.error("not reloaded, the old configuration stays: %s", " ".join(str(reason).split()))
            raise reason
        self._reloaded_s = time.monotonic()
        LOG.info("reloaded: file=%s sensors=%d", self._config_file, len(self.config.sensors))

    async def _exchange(self) -> None:
        """Load the models that are in use now; if one cannot be used, it raises MonitorError and nothing changes."""
        async with self._reloading:
            await self._swap(await asyncio.to_thread(load, self.config, self._config_file, self._running()))

    async def _swap(self, prepared: Prepared) -> None:
        """Replace the running configuration by a prepared one; nothing but its certificate may fail."""
        renew_certificate(self._tls, prepared, self._lanes)
        config, lanes = prepared.config, prepared.lanes
        before, gone = self.config, [old for name, old in self._lanes.items() if lanes.get(name) is not old]
        self._certificates, self._calibrations = prepared.certificates, prepared.calibrations
        self._lanes, self.config = lanes, config
        self._events.settings, self.learning.settings = config.broker, config.learning
        self._alarm_desk.label_names = config.label_names
        self._scores.configure(config, self._inference())
        self.own.configure(config, lanes)
        away = self.ingest.configure(config, {name: loaded.lane.rings for name, loaded in lanes.items()})
        self._conditions.configure(config, self._condition_values(), self.ingest.channels.values())
        self._memory.put_back(away, before.label_names, config.limits.channels)
        for channel in away:
            self.learning.leave(channel)
        for loaded in lanes.values():
            loaded.inference.rebatch(Batches(config.inference.max_batch, config.inference.max_delay))
        for channel in self.ingest.channels.values():
            self._configure_channel(channel)
        absent.bring_back(self.ingest, self._memory, config, time.monotonic())
        for old in gone:
            await asyncio.to_thread(old.inference.stop)
        await self._broker.change(config)
        if config.broker != before.broker:  # another one may have nothing of the channels yet
            self._events.renew(self.ingest.channels.values(), config.label_names)

    def metrics_page(self) -> bytes:
        """The metrics page in Prometheus' text format."""
        return families.render(self.view()) + exposition.process_metrics(self._process_registry)

    def unready(self) -> list[str]:
        """The reasons why the service is not ready; empty when it is."""
        problem = self._broker.state.problem
        return [f"broker {self.config.broker.url}: {problem}"] if problem else []

    def view(self) -> View:
        """The data behind the metrics and the page."""
        return View(
            label_names=self.config.label_names,
            ingest=self.ingest,
            lanes=self._shared(),
            source=self._broker.state,
            models=tuple(loaded.info for loaded in self._lanes.values()),
            now_s=time.monotonic(),
            wall_offset_s=self._wall_clock.offset_s,
            silent_after_s=self.config.scoring.silent_after,
            channel_limit=self.config.limits.channels,
            reload_successful=self._reload_successful,
            reloaded_at_s=self._wall_clock.unix_s(self._reloaded_s),
            evidence_written=self._evidence.written,
            evidence_failures=dict(self._evidence.failures),
            state_write_failures=self._memory.write_failures,
            learning_restarts=self.learning.restarts.counted(),
            learning_lost=self.learning.unsaved_intervals,
            own_models=self.own.shown(),
            events_dropped=self._events.dropped,
            scores=self._scores,
            workers={name: loaded.inference.pids for name, loaded in self._lanes.items()},
            certificates=self._certificates,
            internal_errors=dict(self._errors.counts),
            http_connections=self._http.connections,
            http_dropped=self._http.dropped,
            url=public_url(self.config.http, self.address),
            cases=self.diagnosis.cases,
            false_alarms_per_month=self.config.scoring.false_alarms_per_month,
        )

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    def _forget(self, channel: Channel) -> None:
        """Remove a channel that is gone for good."""
        self._leave(channel)
        self._events.forget(dict(zip(self.config.label_names, channel.labels, strict=True)))

    def _shared(self) -> dict[str, Lane]:
        return {name: loaded.lane for name, loaded in self._lanes.items()}

    def _inference(self) -> dict[str, Inference]:
        return {name: loaded.inference for name, loaded in self._lanes.items()}

    def _running(self) -> Running:
        return Running(self._loader, self._lanes, self._calibrations, list(self.ingest.channels.values()))

    def _stop_lanes(self) -> None:
        for inference in self._inference().values():
            inference.stop()

    def _oldest_beat_s(self) -> float:
        return min(loaded.inference.beat_s() for loaded in self._lanes.values())

    def _condition_values(self) -> dict[str, ConditionValues]:
        return {name: loaded.lane.conditions for name, loaded in self._lanes.items()}

    def _new_channel(self, channel: Channel) -> None:
        self._conditions.join(channel)
        inference = self._lanes[channel.model].inference
        channel.first_block = int(inference.lane.rings.blocks_received(np.array([channel.row]))[0])
        inference.clear(channel.row, channel.first_block)
        self._configure_channel(channel)
        state = self._memory.restore(channel, inference, self.config.label_names)
        labels = dict(zip(self.config.label_names, channel.labels, strict=True))
        self._events.channel(labels)
        self._alarm_desk.restored(channel, labels, state, self._events.state, retained_is_right=self._memory.clean)

    def _leave(self, channel: Channel) -> None:
        """Let go of a channel: it is forgotten, or another daemon has it; what was published of it stays."""
        self._conditions.leave(channel)
        self.learning.leave(channel)
        self._events.drop(dict(zip(self.config.label_names, channel.labels, strict=True)))

    def _rate_changed(self, channel: Channel) -> None:
        self._lanes[channel.model].inference.measured(Measured(channel.row, channel.wrong_rate))

    def _alarms_changed(self, lane: Lane, changes: Changes) -> None:
        loaded = self._lanes.get(lane.name)
        if loaded is not None and loaded.lane is lane:
            self._alarm_desk.changed(loaded, changes, self.ingest.of_rows(lane.name))
            self._saving.wanted.set()

    def _grown(self, grown: Grown) -> None:
        loaded = self._lanes.get(grown.channel.model)
        if loaded is not None:
            self._alarm_desk.grown(loaded, grown.channel, grown.score)

    def _configure_channel(self, channel: Channel) -> None:
        """Configure a channel's row: interval, warm-up, calibration and limit."""
        loaded = self._lanes[channel.model]
        labels = dict(zip(self.config.label_names, channel.labels, strict=True))
        calibration = self._calibrations.of(channel.sensor, labels, loaded.info.sha256)
        shape, scoring = loaded.lane.shape, self.config.scoring
        calibration = self.learning.usable(channel, labels, calibration, shape, scoring)
        channel.calibrated_at_s = self._calibrations.locked_at_s(channel.sensor, labels)
        channel.baseline_changed = self._store.changed(labels)
        order = row_order(channel.row, channel.sensor, shape, scoring, calibration, channel.burst)
        channel.key = state_key(channel.topic, channel.sensor, loaded.info.sha256, calibration, order.limit)
        settings = (loaded.lane, order)
        if channel.settings != settings or channel.calibration is not calibration:
            channel.settings, channel.calibration = settings, calibration
            loaded.inference.configure(order, calibration)
        if not self.own.hold(channel):
            self.learning.attend(channel, labels, order, loaded.info.sha256, shape.block_samples)

    async def _listen(self) -> str:
        settings = self.config.http
        self._http = server.Server(server.make_app(self, settings, self._errors), settings, self._tls, self._errors)
        self._stack.push_async_callback(self._http.close)
        if open_to_others(settings):
            LOG.warning("no HTTP authentication is configured: any client can read http.listen=%s", settings.listen)
        return await self._http.start()
