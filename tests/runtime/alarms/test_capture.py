"""Evidence of alarms on disk: what is kept, how much of it, and what a disk that refuses costs."""

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from monitor.config.configuration import Evidence
from monitor.config.sensors import Sensor
from monitor.core.arrays import Float32
from monitor.core.samples.rings import Rings
from monitor.runtime.alarms.capture import MOST_AT_ONCE, EvidenceWriter, join, prune
from monitor.runtime.alarms.capture_names import NAME, is_of_channel
from monitor.runtime.alarms.event import Capture
from monitor.runtime.alarms.in_words import Figures
from monitor.runtime.history.healthy import SAMPLES, HealthyPictures
from monitor.runtime.intake.channel import Channel
from tests.support.daemons import SENSOR
from tests.support.full_disk import full_disk
from tests.support.page.page_plant import EchoEngine

Sleep = Callable[[float], Awaitable[None]]
RATE = 1000
BLOCK = EchoEngine.block_samples
ROW = 1
ALARM_S = datetime(2026, 11, 2, 8, 30, 15, 250_000, UTC).timestamp()
HUM = np.sin(2 * np.pi * np.arange(10 * RATE) / (BLOCK / 4)).astype(np.float32)
"""What a forecast that repeats the block before foresees."""


def capture(channel: str = "fan/de/x", at_s: float = ALARM_S) -> Capture:
    labels = dict(zip(("machine", "sensor", "axis"), channel.split("/"), strict=True))
    figures = Figures(1.5, {"bands": 1.5, "level": 0.25}, (100.0, 150.0), 1.04, 3.5)
    return Capture(channel, labels, at_s, figures, RATE, "ab" * 32)


class Bench:
    """A channel's ring with 3 s of hum, and a writer."""

    def __init__(self, folder: Path | None, sleep: Sleep | None = None, **settings: object) -> None:
        self.rings = Rings(2, 100, BLOCK)
        self.rings.append(ROW, HUM[: 3 * RATE], 1.0, 0.0)
        self.channel = Channel(("fan", "de", "x"), "plant/fan/de/x", Sensor.model_validate(SENSOR), "default", ROW)
        self.waited: list[float] = []
        self.later = HUM[3 * RATE : 4 * RATE]
        self.lost = 0
        """Samples that never come, before the later ones."""
        chosen = Evidence.model_validate({"before": 2.0, "after": 1.0, **settings})
        self.writer = EvidenceWriter(chosen, folder, sleep or self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        if self.lost:
            self.rings.start_context(ROW, self.rings.next_sample(ROW) + self.lost)
        self.rings.append(ROW, self.later, 1.0, 0.0)

    def start(self, what: Capture) -> str | None:
        return self.writer.start(what, self.rings, self.channel, EchoEngine, 10)

    def keep(self, *captures: Capture) -> list[str | None]:
        """Capture and wait until all is written; the names that were told."""

        async def story() -> list[str | None]:
            names = [self.start(one) for one in captures]
            await asyncio.gather(*self.writer._tasks)
            return names

        return asyncio.run(story())


def test_the_samples_around_the_alarm_with_their_forecasts(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "state" / "evidence")
    bench.later = bench.later.copy()
    bench.later[250] += 5.0
    [name] = bench.keep(capture())
    assert bench.waited == [1.0]
    assert name is not None
    assert name.startswith("2026-11-02T08-30-15Z-fan_de_x-")
    assert is_of_channel(name, "fan/de/x")
    assert (bench.writer.written, bench.writer.failures.total()) == (1, 0)
    with np.load(tmp_path / "state" / "evidence" / name, allow_pickle=False) as file:
        assert (float(file["sampling_rate_hz"]), str(file["unit"])) == (RATE, "m/s2")
        samples, forecast, residual = file["acceleration"], file["forecast"], file["residual"]
    assert {array.dtype for array in (samples, forecast, residual)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(samples, np.concatenate([HUM[RATE : 3 * RATE], bench.later]))
    known = np.isfinite(forecast)
    assert not known[:BLOCK].any()
    assert known[2 * BLOCK :].all()
    np.testing.assert_allclose(forecast[known] + residual[known], samples[known], atol=1e-5)
    # The blow that no forecast foresaw, and nothing else before it.
    assert int(np.nanargmax(residual)) == 2 * RATE + 250
    assert residual[2 * RATE + 250] == pytest.approx(5.0, abs=0.01)
    assert np.nanmax(np.abs(residual[: 2 * RATE + 250])) < 0.01


def test_what_is_said_of_the_alarm_and_a_picture(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    [name] = bench.keep(capture())
    assert name is not None
    stem = name.removesuffix(".npz")
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"{stem}.json", name, f"{stem}.png"]
    assert json.loads((tmp_path / f"{stem}.json").read_text()) == {
        "channel": "fan/de/x",
        "labels": {"machine": "fan", "sensor": "de", "axis": "x"},
        "complete": True,
        "alarm_at_s": ALARM_S,
        "alarm_at_sample": 2 * RATE,
        "text": (
            "fan/de/x: alarm. RMS 1.0 times healthy, 100 to 150 Hz 3.5 times. Strongest evidence: energy in a "
            "frequency band. Score 1.50, limit 1."
        ),
        "mark": 1.0,
        "score": 1.5,
        "evidence": {"bands": 1.5, "level": 0.25},
        "band_hz": [100.0, 150.0],
        "rms_times_healthy": 1.04,
        "band_times_healthy": 3.5,
        "sampling_rate_hz": RATE,
        "samples": 3 * RATE,
        "rms_mps2": pytest.approx(0.5**0.5, rel=1e-3),
        "peak_mps2": pytest.approx(1.0, rel=0.01),
        "model_sha256": "ab" * 32,
    }
    assert (tmp_path / f"{stem}.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_fault_that_has_grown_is_told_and_stands_beside_the_healthy_machine(tmp_path: Path) -> None:
    pictures = HealthyPictures(tmp_path)
    pictures.take(0, "key", RATE, HUM[:SAMPLES], ALARM_S - 86400)
    healthy = pictures.read(0, "key")
    shown = list[Axes]()

    def save(figure: Figure, *arguments: Any, **settings: Any) -> None:
        shown.extend(figure.axes)
        drawn(figure, *arguments, **settings)

    drawn = Figure.savefig
    bench = Bench(tmp_path / "evidence")
    bench.later = bench.later + 3.0 * np.sin(2 * np.pi * 0.31 * np.arange(RATE)).astype(np.float32)

    async def story() -> str | None:
        what = replace(capture(), mark=10.0)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Figure, "savefig", save)
            found = bench.writer.start(what, bench.rings, bench.channel, EchoEngine, 10, lambda: healthy)
            await asyncio.gather(*bench.writer._tasks)
        return found

    stem = str(asyncio.run(story())).removesuffix(".npz")
    about = json.loads((tmp_path / "evidence" / f"{stem}.json").read_text())
    assert about["mark"] == 10.0
    assert about["text"].startswith("fan/de/x: alarm, grown past a score of 10. RMS 1.0 times healthy")
    _, now, spectrum, sound = shown
    assert (sound.get_title(), now.get_title()) == ("when healthy, 2026-11-01 08:30 UTC", "now, same scale")
    assert sound.get_ylim() == now.get_ylim()
    # Both spectra are densities: where the machine is as it was, they agree.
    (area,) = spectrum.collections
    corners = np.asarray(area.get_paths()[0].vertices)
    hum_hz, ringing_hz = RATE / (BLOCK / 4), 0.31 * RATE
    measured = spectrum.lines[0]
    healthy_at, now_at = (
        {hertz: float(y[np.abs(x - hertz) < 3].max()) for hertz in (hum_hz, ringing_hz)}
        for x, y in (corners.T, (np.asarray(measured.get_xdata()), np.asarray(measured.get_ydata())))
    )
    assert healthy_at[hum_hz] == pytest.approx(now_at[hum_hz], rel=0.3)
    assert now_at[ringing_hz] > 100 * healthy_at[ringing_hz]


def test_a_young_channel_gives_what_it_has(tmp_path: Path) -> None:
    bench = Bench(tmp_path, before=60.0)
    [name] = bench.keep(capture())
    with np.load(tmp_path / str(name)) as file:
        np.testing.assert_array_equal(file["acceleration"], HUM[: 4 * RATE])
    about = json.loads((tmp_path / str(name)).with_suffix(".json").read_text())
    assert (about["alarm_at_sample"], about["samples"]) == (3 * RATE, 4 * RATE)


@pytest.mark.parametrize("wanted", [True, False])
def test_nothing_is_written_unless_wanted_and_possible(tmp_path: Path, wanted: bool) -> None:
    bench = Bench(None if wanted else tmp_path, enabled=wanted)
    assert bench.keep(capture()) == [None]
    assert (bench.writer.written, bench.writer.failures.total(), bench.waited) == (0, 0, [])
    assert not list(tmp_path.iterdir())


def test_alarms_of_a_whole_plant_at_once_are_bounded_and_counted(tmp_path: Path) -> None:
    async def story() -> list[str | None]:
        go = asyncio.Event()

        async def sleep(_: float) -> None:
            await go.wait()

        bench = Bench(tmp_path, sleep)
        names = [bench.start(capture(f"fan{number}/de/x")) for number in range(MOST_AT_ONCE + 2)]
        assert [name is None for name in names] == [False] * MOST_AT_ONCE + [True] * 2
        assert bench.writer.failures == {"io_error": 0, "too_many": 2, "internal_error": 0}
        go.set()
        await asyncio.gather(*bench.writer._tasks)
        assert bench.writer.written == MOST_AT_ONCE
        assert bench.start(capture("fan10/de/x")) is not None
        await bench.writer.close()
        return names[:MOST_AT_ONCE]

    assert set(asyncio.run(story())) == {file.name for file in tmp_path.glob("*.npz")}


def test_what_is_known_at_the_alarm_is_written_at_once_and_outlives_the_end(tmp_path: Path) -> None:
    async def story() -> str | None:
        waiting = asyncio.Event()

        async def sleep(_: float) -> None:
            waiting.set()
            await asyncio.Event().wait()

        bench = Bench(tmp_path, sleep)
        name = bench.start(capture())
        await asyncio.wait_for(waiting.wait(), 10)
        await asyncio.wait_for(bench.writer.close(), 10)
        assert (bench.writer.written, bench.writer.failures.total()) == (0, 0)
        return name

    name = str(asyncio.run(story()))
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".npz"]
    with np.load(tmp_path / name) as file:
        np.testing.assert_array_equal(file["acceleration"], HUM[RATE : 3 * RATE])
        assert np.isnan(file["forecast"]).all()
    about = json.loads((tmp_path / name).with_suffix(".json").read_text())
    assert (about["complete"], about["alarm_at_sample"], about["samples"]) == (False, 2 * RATE, 2 * RATE)


def test_a_folder_that_cannot_be_written_costs_the_evidence_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "evidence"
    folder.write_text("a file where the folder should be")
    bench = Bench(folder)
    with caplog.at_level(logging.WARNING):
        [name] = bench.keep(capture())
    assert name is not None
    assert (bench.writer.written, bench.writer.failures) == (0, {"io_error": 1, "too_many": 0, "internal_error": 0})
    assert "evidence not written: channel=fan/de/x error=File exists" in caplog.text
    folder.unlink()
    bench.keep(capture())
    assert (bench.writer.written, bench.writer.failures["io_error"]) == (1, 1)
    assert (folder / name).is_file()


def test_a_disk_without_room_leaves_no_half_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path)
    with caplog.at_level(logging.WARNING), full_disk(300):
        bench.keep(capture())
    assert (bench.writer.written, bench.writer.failures) == (0, {"io_error": 1, "too_many": 0, "internal_error": 0})
    assert "evidence not written: channel=fan/de/x error=File too large" in caplog.text
    assert not list(tmp_path.iterdir())


def fill(folder: Path, ages_s: dict[str, float]) -> None:
    """Files of 1000 bytes, by the day in their name."""
    for day, age_s in ages_s.items():
        file = folder / f"2026-01-{day}T00-00-00Z-fan-12345678.npz"
        file.write_bytes(bytes(1000))
        os.utime(file, (1e9 - age_s, 1e9 - age_s))


def days(folder: Path) -> list[str]:
    return sorted(file.name[8:10] for file in folder.iterdir() if NAME.fullmatch(file.name))


@pytest.mark.parametrize(
    ("most_bytes", "most_age_s", "left"),
    [
        (4000, 1000.0, ["01", "02", "03", "04"]),
        (3999, 1000.0, ["02", "03", "04"]),
        (1500, 1000.0, ["04"]),
        (0, 1000.0, []),
        (4000, 25.0, ["03", "04"]),
        (4000, 5.0, []),
        (1000, 25.0, ["04"]),
    ],
)
def test_the_oldest_go_until_size_and_age_are_kept(
    tmp_path: Path, most_bytes: int, most_age_s: float, left: list[str]
) -> None:
    fill(tmp_path, {"01": 40.0, "02": 30.0, "03": 20.0, "04": 10.0})
    (tmp_path / "notes.txt").write_bytes(bytes(10_000))
    assert prune(tmp_path, most_bytes, most_age_s, 1e9) == 4 - len(left)
    assert days(tmp_path) == left
    assert (tmp_path / "notes.txt").is_file()


def test_new_evidence_makes_room_for_itself(tmp_path: Path) -> None:
    old, recent = (tmp_path / f"2026-0{month}-01T00-00-00Z-fan-12345678.npz" for month in (1, 2))
    old.write_bytes(bytes(500_000))
    recent.write_bytes(bytes(499_999))
    [name] = Bench(tmp_path, max_size=10**6).keep(capture())
    assert not old.exists()
    assert recent.exists()
    assert (tmp_path / str(name)).is_file()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 10**6


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((10, 5), (15, 3), range(10, 18)),
        ((10, 5), (13, 4), range(10, 17)),
        ((10, 5), (10, 5), range(10, 15)),
        ((10, 0), (10, 4), range(10, 14)),
        ((10, 5), (16, 3), range(16, 19)),
        ((10, 5), (8, 9), range(8, 17)),
    ],
    ids=["one after the other", "overlap", "nothing new", "nothing before", "hole between", "reaches further back"],
)
def test_two_stretches_of_a_stream_become_one(before: tuple[int, int], after: tuple[int, int], expected: range) -> None:
    def stretch(start: int, count: int) -> tuple[int, Float32]:
        return start, np.arange(start, start + count, dtype=np.float32)

    start, samples = join(stretch(*before), stretch(*after))
    assert samples.tolist() == list(expected)
    assert start == expected[0]


def test_after_a_hole_the_alarm_is_outside_of_what_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.lost = 100
    [name] = bench.keep(capture())
    about = json.loads((tmp_path / str(name)).with_suffix(".json").read_text())
    assert (about["alarm_at_sample"], about["samples"]) == (None, RATE)


def test_where_nothing_came_after_it_the_alarm_is_at_the_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path, before=1.0, after=2.0)
    bench.later = HUM[:0]
    [name] = bench.keep(capture())
    about = json.loads((tmp_path / str(name)).with_suffix(".json").read_text())
    assert (about["alarm_at_sample"], about["samples"]) == (2 * RATE, 2 * RATE)


def test_the_picture_shows_in_detail_what_is_nearest_to_an_alarm_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    bench = Bench(tmp_path)
    bench.lost = 100
    bench.keep(capture())
    detail = np.asarray(drawn[0].axes[1].lines[0].get_xdata(), np.float64)
    np.testing.assert_allclose(detail, 0.1 + np.arange(30) / RATE)


def test_a_capture_holds_nothing_of_a_channel_that_gets_the_row_meanwhile(tmp_path: Path) -> None:
    """As when Kafka gives the partition of a channel in alarm to another daemon, and ours another partition."""
    bench = Bench(tmp_path)

    async def story() -> str | None:
        name = bench.start(capture())
        bench.later = 100.0 * HUM[:RATE]  # another machine's
        bench.channel.gone = True
        bench.rings.start_context(ROW, 0)
        await asyncio.gather(*bench.writer._tasks)
        return name

    name = asyncio.run(story())
    assert bench.writer.written == 1
    with np.load(tmp_path / str(name), allow_pickle=False) as file:
        np.testing.assert_array_equal(file["acceleration"], HUM[RATE : 3 * RATE])
