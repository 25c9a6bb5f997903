"""A service without a broker: real rings, pipelines and boards, fed by the test, for whoever shows them."""

import time
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monitor.config.configuration import Config
from monitor.core.arrays import Float32, Rows
from monitor.core.forecasting.forecaster import CarriedState, Engine
from monitor.core.messages.encode import packed_samples
from monitor.core.scoring.alarm import State
from monitor.core.scoring.evidence.kinds import KINDS
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.conditions import Conditions
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.intake.mqtt.connection import MqttState
from monitor.runtime.lanes.lane import Lane, LaneShape
from monitor.runtime.lanes.loading import ModelInfo
from monitor.runtime.lanes.orders import Clear, Configure
from monitor.runtime.lanes.worker import Worker
from monitor.runtime.lanes.workers import Inference
from monitor.runtime.web.view import View
from tests.support.networks.numpy_engine import NumpyEngine
from tests.support.page.acknowledgements import acknowledgements
from tests.support.page.baselines import baseline_desk
from tests.support.page.diagnosis import diagnosis_desk
from tests.support.page.histories import history_desk


class Plant:
    """One lane, its channels, and the clock that the test sets."""

    def __init__(
        self,
        channels: int = 16,
        rate_hz: float = 800.0,
        engine: Engine | None = None,
        mode: str = "carried",
        state_dir: Path | None = None,
        inference: Inference | None = None,
        conditions: dict[str, object] | None = None,
        more_sensors: Sequence[dict[str, object]] = (),
    ) -> None:
        self.engine = engine or NumpyEngine()
        self.config = Config.model_validate(
            {
                "sensors": [
                    {
                        "topic": "plant/{machine}/{sensor}/{axis}",
                        "payload": {"format": "float32"},
                        "sampling_rate_hz": rate_hz,
                        "conditions": conditions or {},
                    },
                    *more_sensors,
                ],
                "limits": {"channels": channels},
                "state_dir": state_dir,
            }
        )
        blocks = max(2 * self.engine.window_blocks, int(2 * rate_hz / self.engine.block_samples))
        size, window = self.engine.block_samples, self.engine.window_blocks
        self.inference = inference
        """Processes that work; None: the test lets :attr:`worker` do it."""
        self.lane = (
            inference.lane if inference else Lane(LaneShape("default", channels, size, window, blocks, mode=mode))
        )
        self.lane.viewer = lambda: self.engine
        self.ahead_s = 0.0
        """How far the test has moved the clock."""
        self.silent_after_s = 60.0
        self.mqtt = MqttState(connected=True)
        self.conditions = Conditions(self.now_s)
        self.conditions.configure(self.config, {"default": self.lane.conditions}, ())
        self.ingest = Ingest(
            self.config, {"default": self.lane.rings}, self._on_channel, self.now_s, conditions=self.conditions
        )
        self.worker = Worker(self.lane, self.engine, self.now_s)
        self.baselines = baseline_desk(state_dir, self.ingest.channels, self.config.label_names)
        self.history = history_desk(
            state_dir,
            self.ingest.channels.values,
            lambda: {"default": self.lane},
            self.config.label_names,
            lambda: time.time() + self.ahead_s,
        )
        self.acknowledgements = acknowledgements(lambda: self.config.label_names)
        self.diagnosis = diagnosis_desk(lambda: {"default": self.lane}, lambda: self.ingest.channels)
        self.rng = np.random.default_rng(1)

    def now_s(self) -> float:
        return time.monotonic() + self.ahead_s

    def _on_channel(self, channel: Channel) -> None:
        self.conditions.join(channel)
        interval = int(channel.sensor.sampling_rate_hz / self.engine.block_samples)
        order = Configure(channel.row, interval, self.engine.window_blocks)
        if self.inference is not None:
            self.inference.configure(order, None)
        else:
            self.worker.obey(Clear(channel.row, 0))
            self.worker.obey(order)

    def send(self, machine: str, samples: Float32, sensor: str = "de", axis: str = "x") -> None:
        """Messages of at most half a buffer, each scored at once."""
        rings = self.lane.rings
        size = rings.capacity_blocks * rings.block_samples // 2
        for start in range(0, samples.size, size):
            part = packed_samples(samples[start : start + size])
            self.ingest.deliver(f"plant/{machine}/{sensor}/{axis}", part)
            while self.worker.round():
                pass

    def judge(self, machine: str, score: float, sensor: str = "de", axis: str = "x") -> None:
        """Let the board say this of a channel, until its next interval."""
        board, row = self.lane.board, self.ingest.channels[machine, sensor, axis].row
        board.score[row] = score
        board.alarm_state[row] = State.ALARM if score >= 1 else State.WARNING if score >= 0.7 else State.OK
        board.evidence[row] = score * np.linspace(1.0, 0.1, len(KINDS))
        board.band[row] = (0.25, 0.3)
        board.times_healthy[row] = (7.0, 40.0)

    def noise(self, count: int) -> Float32:
        return self.rng.normal(size=count).astype(np.float32)

    # What a service is.

    def metrics_page(self) -> bytes:
        return b""

    def unready(self) -> list[str]:
        return [] if self.mqtt.connected else [f"broker: {self.mqtt.last_error}"]

    async def reload(self) -> None:
        raise AssertionError("nobody asks a plant to reload")

    def view(self) -> View:
        return View(
            label_names=self.config.label_names,
            ingest=self.ingest,
            lanes={"default": self.lane},
            source=self.mqtt,
            models=(ModelInfo("default", "0" * 64, self.engine.name, self.engine.device),),
            now_s=self.now_s(),
            wall_offset_s=time.time() - time.monotonic(),
            silent_after_s=self.silent_after_s,
            channel_limit=self.config.limits.channels,
            reload_successful=True,
            reloaded_at_s=0.0,
        )


def unpacked(text: str) -> Float32:
    """The samples in a document of the page."""
    return np.frombuffer(b64decode(text), "<f4")


class NoState:
    """The state of a network without one."""

    def reset(self, rows: Rows) -> None:
        """Nothing to forget."""

    def export(self, rows: Rows) -> Float32:
        """Nothing to copy."""
        return np.zeros((rows.size, 0), np.float32)

    def restore(self, rows: Rows, exported: Float32) -> None:
        """Nothing to replace."""


class EchoEngine:
    """Forecasts that the next block is as the last: right for a period that divides a block, wrong for the rest."""

    name = "echo"
    device = "cpu"
    block_samples = 100
    window_blocks = 25

    def new_state(self, channels: int) -> NoState:  # noqa: ARG002 - the protocol's
        return NoState()

    def step(self, blocks: Float32, state: CarriedState, rows: Rows) -> Float32:  # noqa: ARG002 - as above
        return blocks.copy()

    def forecast_windows(self, windows: Float32) -> Float32:
        last: Float32 = windows[:, -1].copy()
        return last
