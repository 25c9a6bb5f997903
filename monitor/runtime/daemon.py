"""The daemon: the only place that wires the parts together, and the order in which they start and end.

Three coroutines tell the story: :meth:`Daemon.start`, :meth:`Daemon.serve`, :meth:`Daemon.close`. A bad configuration
or model stops the start with a full message; a missing broker does not.
"""

import asyncio
import logging
import math
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
from aiohttp import web as aioweb

from monitor.config import Config, Sensor
from monitor.config_file import resolve
from monitor.core.topics import TopicPattern
from monitor.errors import MonitorError
from monitor.model.artefact import Artefact, load_artefact
from monitor.model.engines import load_engine
from monitor.runtime import families, metrics, web
from monitor.runtime.inference import Inference, Lane, make_lane
from monitor.runtime.ingest import Channel, Ingest
from monitor.runtime.mqtt import MqttSource

LOG = logging.getLogger(__name__)


class Daemon:
    """One run of the service."""

    def __init__(self, config: Config, config_file: Path | None = None) -> None:
        self.config = config
        self._config_file = config_file
        self._wall_offset_s = time.time() - time.monotonic()
        self._failure: asyncio.Future[None]
        self._stack = AsyncExitStack()
        self._lanes: dict[str, Lane] = {}
        self._models: list[families.ModelInfo] = []
        self._process_registry = metrics.process_registry()
        self._reloaded_at_s = time.time()
        self._reload_successful = True

    async def start(self) -> None:
        """Load the models, open the HTTP server, start the inference thread. The broker is not waited for.

        Raises:
            MonitorError: what makes a run impossible.
        """
        loop = asyncio.get_running_loop()
        self._failure = loop.create_future()
        for name in dict.fromkeys(sensor.model for sensor in self.config.sensors):
            self._lanes[name] = self._load_lane(name)
        rings = {name: lane.rings for name, lane in self._lanes.items()}
        self.ingest = Ingest(self.config, rings, self._new_channel, time.monotonic)
        filters = [TopicPattern.parse(sensor.topic).subscription for sensor in self.config.sensors]
        self._mqtt = MqttSource(self.config.mqtt, filters, self._deliver, lambda: None)
        self._inference = Inference(
            list(self._lanes.values()),
            time.monotonic,
            lambda error: loop.call_soon_threadsafe(self._fail, error),
            self.config.inference.max_batch,
            self.config.inference.max_delay,
        )
        self._inference.start()
        self._stack.callback(self._inference.stop)
        self.address = await self._listen()

    async def serve(self) -> None:
        """Take messages until cancelled or until something fails."""
        source = asyncio.create_task(self._mqtt.run(), name="mqtt")
        try:
            done, _ = await asyncio.wait({source, self._failure}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await self._mqtt.close()
            source.cancel()
            await asyncio.gather(source, return_exceptions=True)

    async def close(self) -> None:
        """End everything that :meth:`start` began, in the opposite order."""
        await self._stack.aclose()

    def metrics_page(self) -> bytes:
        """The metrics page in the text format."""
        return families.render(self._view()) + metrics.process_metrics(self._process_registry)

    def unready(self) -> list[str]:
        """Why the service is not ready, empty when it is."""
        state = self._mqtt.state
        return [] if state.connected else [f"broker {self.config.mqtt.url}: {state.last_error}"]

    async def reload(self) -> None:
        """Load the configuration anew."""

    def _view(self) -> families.View:
        return families.View(
            label_names=self.config.label_names,
            ingest=self.ingest,
            lanes=self._lanes,
            mqtt=self._mqtt.state,
            models=tuple(self._models),
            now_s=time.monotonic(),
            wall_offset_s=self._wall_offset_s,
            silent_after_s=self.config.scoring.silent_after,
            channel_limit=self.config.limits.channels,
            reload_successful=self._reload_successful,
            reloaded_at_s=self._reloaded_at_s,
        )

    def _deliver(self, topic: str, payload: bytes, retained: bool) -> None:
        self.ingest.deliver(topic, payload, retained=retained)

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    def _load_lane(self, name: str) -> Lane:
        config = self.config
        path = resolve(config.models[name], self._config_file)
        artefact: Artefact = load_artefact(path)
        engine = load_engine(artefact, config.inference.engine, threads=config.inference.threads)
        self._models.append(families.ModelInfo(name, artefact.sha256, engine.name, engine.device))
        fastest_hz = max(sensor.sampling_rate_hz for sensor in config.sensors if sensor.model == name)
        blocks = math.ceil(config.limits.buffer * fastest_hz / engine.block_samples)
        return make_lane(
            name,
            engine,
            config.limits.channels,
            capacity_blocks=max(blocks, 2 * engine.window_blocks),
            level_blocks=artefact.manifest.level_blocks,
            mode=config.inference.mode,
        )

    def _new_channel(self, channel: Channel) -> None:
        lane = self._lanes[channel.model]
        row = np.array([channel.row], np.intp)
        lane.board.clear(row)
        warmup = self.config.scoring.warmup_blocks or lane.pipeline.default_warmup_blocks
        lane.pipeline.configure(row, self._interval_blocks(channel.sensor, lane), warmup)

    def _interval_blocks(self, sensor: Sensor, lane: Lane) -> int:
        return max(1, round(self.config.scoring.interval * sensor.sampling_rate_hz / lane.engine.block_samples))

    async def _listen(self) -> str:
        settings = self.config.http
        runner = aioweb.AppRunner(web.make_app(self, settings), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        host, port = settings.address
        context = web.tls_context(settings)
        site = aioweb.TCPSite(runner, host, port, ssl_context=context)
        try:
            await site.start()
        except OSError as error:
            raise MonitorError(
                f"cannot listen on http.listen {settings.listen}: {error.strerror or error}; "
                "is another instance running? Choose a free port."
            ) from error
        host, port = runner.addresses[0][:2]
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if context else 'http'}://{shown}:{port}"


async def run_daemon(daemon: Daemon) -> None:
    """Start, serve until SIGTERM or SIGINT, end cleanly; a second signal ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            LOG.warning("second signal, leaving at once: signal=%s", number.name)
            sys.stderr.flush()
            # os._exit would skip the handlers' buffers; nothing else is worth waiting for.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        LOG.info("stopping: signal=%s", number.name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        await daemon.start()
        LOG.info("started: address=%s sensors=%d", daemon.address, len(daemon.config.sensors))
        serving = asyncio.create_task(daemon.serve(), name="serve")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not serving.done():
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        else:
            serving.result()
    finally:
        await daemon.close()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
