"""Captures of alarms: the samples around an alarm, their forecasts and the figures, for a person to judge.

An alarm is captured when it rises, when little is to be seen yet, and again when its score passes 3 and 10.

Samples are read from the channel's ring when the alarm rises and again a little later. Their forecasts are computed
again, so the hot path stores nothing for captures. The first samples are written at once, so a daemon that is killed
before the later ones arrive loses only those. A full disk costs the capture and nothing else.
"""

import asyncio
import contextlib
import io
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from monitor.atomic_file import write_atomically
from monitor.config.configuration import Evidence as Settings
from monitor.core.arrays import Float32
from monitor.core.forecasting.forecaster import CarriedForecaster, Engine
from monitor.core.recompute import recompute
from monitor.core.samples.rings import Rings
from monitor.core.scoring.interval.head import Head
from monitor.runtime.alarms.capture_diagnosis import add_diagnosis
from monitor.runtime.alarms.capture_figure import draw_capture
from monitor.runtime.alarms.capture_names import NAME, evidence_stem
from monitor.runtime.alarms.event import Capture, rounded
from monitor.runtime.diagnosis.messages import Seen
from monitor.runtime.history.healthy import Healthy
from monitor.runtime.intake.channel import Channel
from monitor.runtime.log.internal_errors import InternalErrors, Where

LOG = logging.getLogger(__name__)

MOST_AT_ONCE = 8
"""Most captures in progress; further alarms get none and are counted. Fewer: simultaneous alarms lose captures. More: a
plant-wide event fills memory."""

COMPLETE_S = 0.5
"""Seconds between two looks whether a capture is complete."""

FAILURES = ("io_error", "too_many", "internal_error")
"""Why a capture was not written: values of the metric's label ``reason``."""


class EvidenceWriter:
    """Writes captures to a folder and keeps it within its limits."""

    def __init__(
        self,
        settings: Settings,
        folder: Path | None,
        sleep: Callable[[float], Awaitable[None]],
        errors: InternalErrors | None = None,
    ) -> None:
        """Make a writer.

        Args:
            settings: durations and limits of captures.
            folder: folder of the files; None: nothing is written.
            sleep: waits for a number of seconds.
            errors: counts unexpected errors; None: it makes its own counter.
        """
        self.written = 0
        """Complete captures written."""
        self.failures: Counter[str] = Counter(dict.fromkeys(FAILURES, 0))
        """Captures not written, by reason."""
        self._settings = settings
        self._folder = folder
        self._sleep = sleep
        self._errors = errors or InternalErrors(time.monotonic)
        self._tasks: set[asyncio.Task[None]] = set()
        self._namings: set[asyncio.Task[None]] = set()
        self._open: set[str] = set()
        """Stems of captures that are not complete yet."""
        # One writer at a time: pruning must not meet files that another one replaces.
        self._writing = asyncio.Lock()

    def start(
        self,
        capture: Capture,
        rings: Rings,
        channel: Channel,
        viewer: Callable[[], Engine] | None,
        level_blocks: int,
        healthy: Callable[[], Healthy | None] | None = None,
    ) -> str | None:
        """Begin a capture, on the event loop; a thread computes the forecasts with ``viewer`` and writes the files.

        ``healthy`` is called there; what it returns is drawn beside what is captured.

        Returns:
            Name of the file that will hold the samples; None if nothing is written.
        """
        if self._folder is None or not self._settings.enabled:
            return None
        if len(self._tasks) >= MOST_AT_ONCE:
            self.failures["too_many"] += 1
            return None
        before = rings.recent(channel.row, round(self._settings.before * capture.sampling_rate_hz))
        head = None if channel.calibration is None else channel.calibration.head
        stem = evidence_stem(capture.channel, capture.at_s)
        forecasts = _Forecasts(viewer, level_blocks, head)
        finish = self._finish(stem, capture, rings, channel, before, forecasts, healthy)
        task = asyncio.create_task(finish, name="evidence")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return f"{stem}.npz"

    def name(
        self,
        file: str,
        channel: str,
        diagnosis: Mapping[str, Any],
        words: str,
        seen: Seen | None,
        healthy: Callable[[], Healthy | None] = lambda: None,
    ) -> None:
        """Add what a fault is named as to a capture, once that is complete; on the event loop.

        Args:
            file: name of the file that :meth:`start` returned.
            channel: name of the channel.
            diagnosis: what is known of the fault.
            words: the named fault for a person; empty: none.
            seen: what the last look saw, for the figure.
            healthy: called on a thread; returns what the channel looks like when healthy.
        """
        if self._folder is not None and len(self._namings) < MOST_AT_ONCE:
            add = partial(add_diagnosis, self._folder, file.removesuffix(".npz"), diagnosis, words, seen, healthy)
            work = self._name(file.removesuffix(".npz"), channel, add)
            task = asyncio.create_task(work, name="naming of a capture")
            self._namings.add(task)
            task.add_done_callback(self._namings.discard)

    async def _name(self, stem: str, channel: str, add: Callable[[], object]) -> None:
        while stem in self._open:
            await self._sleep(COMPLETE_S)
        with self._errors.contained(Where.CAPTURE, channel):
            try:
                async with self._writing:
                    await asyncio.to_thread(add)
            except OSError as error:
                self.failures["io_error"] += 1
                LOG.warning("diagnosis not added: channel=%s error=%s", channel, error.strerror or error)

    async def close(self) -> None:
        """Cancel the captures in progress; what was written when the alarm rose stays."""
        tasks = self._tasks | self._namings
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _finish(
        self,
        stem: str,
        capture: Capture,
        rings: Rings,
        channel: Channel,
        before: tuple[int, Float32],
        forecasts: "_Forecasts",
        healthy: Callable[[], Healthy | None] | None,
    ) -> None:
        self._open.add(stem)
        try:
            await self._write(stem, capture, before[1], before[1].size, None)
            await self._sleep(self._settings.after)
            start, samples = before
            if not channel.gone:  # else its row may be another one's by now
                after = rings.recent(channel.row, round(self._settings.after * capture.sampling_rate_hz))
                start, samples = join(before, after)
            if await self._write(stem, capture, samples, before[0] + before[1].size - start, forecasts, healthy):
                self.written += 1
                LOG.info("evidence written: channel=%s file=%s.npz", capture.channel, stem)
        finally:
            self._open.discard(stem)

    async def _write(
        self,
        stem: str,
        capture: Capture,
        samples: Float32,
        alarm_sample: int,
        forecasts: "_Forecasts | None",
        healthy: Callable[[], Healthy | None] | None = None,
    ) -> bool:
        """Write a capture, one at a time; returns whether it is on disk.

        Without ``forecasts`` this is the first of two writes. Its failure is not counted: the second write retries.
        """
        reason = "internal_error"
        assert self._folder is not None  # noqa: S101 - start has checked it
        with self._errors.contained(Where.CAPTURE, capture.channel):
            try:
                async with self._writing:
                    limits = self._settings.max_size, self._settings.max_age
                    await asyncio.to_thread(
                        _write, self._folder, stem, capture, samples, alarm_sample, forecasts, healthy, limits
                    )
            except OSError as error:
                reason = "io_error"
                if forecasts is not None:
                    LOG.warning("evidence not written: channel=%s error=%s", capture.channel, error.strerror or error)
            else:
                return True
        self.failures[reason] += forecasts is not None
        return False


def _write(
    folder: Path,
    stem: str,
    capture: Capture,
    samples: Float32,
    alarm_sample: int,
    forecasts: "_Forecasts | None",
    healthy: Callable[[], Healthy | None] | None,
    limits: tuple[int, float],
) -> None:
    """On a thread: write samples and text, with forecasts a figure too; then prune to ``limits``, bytes and seconds."""
    forecast, residual = forecasts.of(samples) if forecasts else (np.full(samples.size, np.nan, np.float32),) * 2
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        acceleration=samples,
        forecast=forecast,
        residual=residual,
        sampling_rate_hz=capture.sampling_rate_hz,
        unit="m/s2",
    )
    figures, text = capture.figures, capture.text
    about = {
        "channel": capture.channel,
        "labels": capture.labels,
        "complete": forecasts is not None,
        "alarm_at_s": capture.at_s,
        "alarm_at_sample": alarm_sample if 0 <= alarm_sample <= samples.size else None,
        "text": text,
        "mark": capture.mark,
        "score": figures.score,
        "evidence": figures.evidence,
        "band_hz": figures.band_hz,
        "rms_times_healthy": rounded(figures.rms_times_healthy),
        "band_times_healthy": rounded(figures.band_times_healthy),
        "sampling_rate_hz": capture.sampling_rate_hz,
        "samples": int(samples.size),
        "rms_mps2": float(samples.std()) if samples.size else None,
        "peak_mps2": float(np.abs(samples - samples.mean()).max()) if samples.size else None,
        "model_sha256": capture.model_sha256,
    }
    write_atomically(folder / f"{stem}.npz", buffer.getvalue())
    write_atomically(folder / f"{stem}.json", json.dumps(about, indent=2).encode())
    if forecasts is not None:
        curves = samples, forecast, residual
        beside = healthy() if healthy is not None else None
        picture = draw_capture(text, capture.sampling_rate_hz, figures.band_hz, curves, alarm_sample, beside)
        if picture:
            write_atomically(folder / f"{stem}.png", picture)
    prune(folder, *limits, time.time())


def join(before: tuple[int, Float32], after: tuple[int, Float32]) -> tuple[int, Float32]:
    """Join two stretches of one stream, each (stream index of the first sample, samples); they may overlap.

    Returns:
        One contiguous stretch. If samples are missing or a context began between them: the later stretch only.
    """
    start, early = before
    later_start, later = after
    end = start + early.size
    if not start <= later_start <= end:
        return after
    return start, np.concatenate([early[: later_start - start], later])


def prune(folder: Path, max_size_bytes: int, max_age_s: float, now_s: float) -> int:
    """Delete the oldest captures until size and age are within the limits; returns the number of deleted files.

    A file that disappears meanwhile is no error.
    """
    sizes: dict[Path, os.stat_result] = {}
    for file in sorted((file for file in folder.iterdir() if NAME.fullmatch(file.name)), key=lambda file: file.name):
        with contextlib.suppress(FileNotFoundError):
            sizes[file] = file.stat()
    total = sum(status.st_size for status in sizes.values())
    gone = 0
    for file, status in sizes.items():
        if total <= max_size_bytes and now_s - status.st_mtime <= max_age_s:
            continue
        file.unlink(missing_ok=True)
        total -= status.st_size
        gone += 1
    return gone


class _Forecasts:
    """Computes the forecasts of samples again, from a new context."""

    def __init__(self, viewer: Callable[[], Engine] | None, level_blocks: int, head: Head | None) -> None:
        self._viewer = viewer
        self._level_blocks = level_blocks
        self._head = head

    def of(self, samples: Float32) -> tuple[Float32, Float32]:
        """Forecast and residual of each sample in m/s²; NaN before the first forecast and after the last block."""
        forecast = np.full(samples.size, np.nan, np.float32)
        residual = np.full(samples.size, np.nan, np.float32)
        if self._viewer is None:
            return forecast, residual
        engine = self._viewer()
        size = engine.block_samples
        whole = samples.size // size * size
        if whole:
            blocks = samples[:whole].reshape(-1, size)
            made = recompute(CarriedForecaster(engine, 1), blocks, self._level_blocks, head=self._head)
            forecast[:whole] = np.where(made.compared[:, None], made.forecast, np.float32(np.nan)).reshape(-1)
            residual[:whole] = samples[:whole] - forecast[:whole]
        return forecast, residual
