"""The desk beside real boards: what is counted, what it costs the event loop, and what a full disk costs."""

import asyncio
import re
import time
from pathlib import Path

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.runtime.history.cells import QUANTITIES
from monitor.runtime.history.desk import Grown, HistoryDesk
from monitor.runtime.history.healthy import SAMPLES
from monitor.runtime.history.store import Store
from monitor.runtime.intake.channel import Channel
from tests.support.page.page_plant import Plant

FAN = ("machine=fan", "sensor=de", "axis=x")


def look(desk: HistoryDesk) -> None:
    asyncio.run(desk._look())


def series(desk: HistoryDesk, name: str = "score") -> Float32:
    found = desk.series(FAN, "hours")
    assert found is not None
    return np.concatenate([found.mean[name], found.top[name]]).astype(np.float32)


def test_an_interval_counts_once_and_silence_is_a_gap(tmp_path: Path) -> None:
    plant = Plant(4, state_dir=tmp_path)
    row = 0
    plant.send("fan", plant.noise(1600))
    for at, score in enumerate((1.0, 5.0, 5.0, 5.0)):
        plant.lane.board.score[row] = score
        plant.lane.board.scored_at_s[row] = 1.0 + min(at, 1)  # no interval closes after the second
        look(plant.history)
    assert series(plant.history).tolist() == pytest.approx([3.0, 5.0], rel=1e-3)
    plant.ahead_s += 180.0
    look(plant.history)
    assert np.isnan(series(plant.history)[1:4]).all()


def test_a_score_that_grows_in_alarm_is_told(tmp_path: Path) -> None:
    plant, told = Plant(4, state_dir=tmp_path), list[Grown]()
    plant.history._grown = told.append
    plant.send("fan", plant.noise(1600))
    board = plant.lane.board
    for at, (state, score) in enumerate([(0, 0.2), (2, 1.1), (2, 3.4), (2, 3.6), (2, 12.0), (0, 0.1)]):
        board.score[0], board.alarm_state[0], board.scored_at_s[0] = score, state, 1.0 + at
        look(plant.history)
    assert [(one.channel.name, one.score) for one in told] == [("fan/de/x", 3.0), ("fan/de/x", 10.0)]
    (episode,) = plant.history.alarms(FAN)
    assert episode.start_s == pytest.approx(time.time(), abs=60)
    assert episode.peak_score == pytest.approx(12.0)
    assert episode.end_s is not None
    asyncio.run(plant.history.close())
    again = Plant(4, state_dir=tmp_path)
    assert again.history.alarms(FAN) == [episode]


def test_the_healthy_picture_is_of_a_calm_channel_only(tmp_path: Path) -> None:
    plant = Plant(4, 3200.0, state_dir=tmp_path)
    plant.send("fan", plant.noise(2 * SAMPLES))
    channel, board = plant.ingest.channels["fan", "de", "x"], plant.lane.board
    channel.key = "a"
    for at, (state, score) in enumerate([(-1, np.nan), (1, 0.8), (0, 0.6)]):
        board.score[0], board.alarm_state[0], board.scored_at_s[0] = score, state, 1.0 + at
        look(plant.history)
        assert plant.history.healthy(FAN, "a") is None
    board.score[0], board.alarm_state[0], board.scored_at_s[0] = 0.2, 0, 9.0
    look(plant.history)
    found = plant.history.healthy(FAN, "a")
    assert found is not None
    _, latest = plant.lane.rings.recent(channel.row, SAMPLES)
    np.testing.assert_array_equal(found.samples, latest)


def test_a_disk_that_is_full_costs_the_history_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plant = Plant(4, state_dir=tmp_path)
    plant.send("fan", plant.noise(1600))
    plant.judge("fan", 0.5)
    look(plant.history)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("monitor.runtime.history.ring_file._write_all", full)
        plant.ahead_s += 60.0
        look(plant.history)
    assert "history not written: reason=No space left on device" in caplog.text
    plant.lane.board.scored_at_s[0] += 1.0
    plant.ahead_s += 60.0
    look(plant.history)
    assert np.isfinite(series(plant.history)).any()


def test_a_channel_that_comes_while_the_disk_is_full_stops_no_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = Plant(4, state_dir=tmp_path)
    board = plant.lane.board
    plant.ahead_s = -time.time() % 60.0  # so that no minute ends meanwhile

    def interval(score: float) -> None:
        for machine in plant.ingest.channels:
            plant.judge(machine[0], score)
        board.scored_at_s[:] += 1.0
        look(plant.history)

    plant.send("fan", plant.noise(1600))
    interval(1.0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("monitor.runtime.history.places.write_atomically", full)
        plant.send("pump", plant.noise(1600))
        interval(2.0)
        assert series(plant.history)[0] == pytest.approx(1.5, rel=1e-3), "others have their places"
    interval(6.0)  # there is room again, and no channel has come
    assert series(plant.history)[0] == pytest.approx(3.0, rel=1e-3)
    asyncio.run(plant.history.close())
    again = Store(tmp_path / "history", 4)
    for machine in ("fan", "pump"):
        assert again.read((f"machine={machine}", "sensor=de", "axis=x"), "hours", time.time() + 120) is not None


def test_whoever_asks_for_a_channel_without_a_place_takes_it_from_none(tmp_path: Path) -> None:
    plant = Plant(4, state_dir=tmp_path)
    plant.send("fan", plant.noise(1600))
    plant.judge("fan", 0.5)
    look(plant.history)
    places = plant.history._store._places
    places._free.clear()  # as in a plant of more channels than there are places
    assert plant.history.healthy(("machine=pump", "sensor=de", "axis=x"), "a") is None
    assert list(places.of) == [FAN]


def test_a_folder_that_cannot_be_used_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "history").write_text("a file")
    plant = Plant(4, state_dir=tmp_path)
    assert plant.history.missing.startswith("no history is kept: folder=")
    assert plant.history.missing in caplog.text

    async def supervised_run() -> bool:
        running = asyncio.create_task(plant.history.run())
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return running.cancelled()

    # A task that returns is started again, with a warning each time.
    assert asyncio.run(supervised_run())
    assert plant.history.series(FAN, "hours") is None
    assert Plant(4).history.missing == "history needs state_dir in the configuration"


def test_ten_thousand_channels_do_not_hold_up_the_event_loop(tmp_path: Path) -> None:
    """The longest that the loop was away during looks at 10,000 channels, beside that of an idle loop."""
    plant = Plant(10_000, 100.0, state_dir=tmp_path)
    for number in range(10_000):
        plant.ingest.deliver(f"plant/m{number}/de/x", b"\0" * 400)
    board = plant.lane.board
    board.score[:], board.alarm_state[:] = 0.9, 1

    async def main() -> list[float]:
        away: list[float] = []

        async def watch() -> None:
            while True:
                before_s = time.thread_time()
                await asyncio.sleep(0)
                away.append(time.thread_time() - before_s)

        watching = asyncio.create_task(watch())
        for at in range(4):
            board.scored_at_s[:] = 1.0 + at
            plant.ahead_s += 60.0  # a minute ends at each
            await plant.history._look()
        watching.cancel()
        return away

    away_s = asyncio.run(main())
    # Processor time of the loop's own thread: of other threads, and of a busy machine, it knows nothing.
    assert max(away_s) < 0.01
    assert len(plant.history.alarms(("machine=m7", "sensor=de", "axis=x"))) == 1


def test_a_store_of_ten_thousand_is_read_within_bounds(tmp_path: Path) -> None:
    store = Store(tmp_path, 10_000)
    identities = [(f"machine={number}",) for number in range(10_000)]
    values = np.full((10_000, len(QUANTITIES)), 0.5, np.float32)
    for minute in range(16):
        store.add(store.places(identities, 6e8), values, 6e8 + 60.0 * minute)
    found = store.read(identities[-1], "days", 6e8 + 16 * 60)
    assert found is not None
    np.testing.assert_allclose(found.mean["score"], 0.5, rtol=1e-3)


def test_where_a_high_score_goes_is_known_before_anybody_asks(tmp_path: Path) -> None:
    plant = Plant(4, state_dir=tmp_path)
    plant.send("fan", plant.noise(1600))
    plant.send("pump", plant.noise(1600))
    for at in range(90):
        plant.ahead_s += 60.0
        plant.lane.board.score[:2] = 0.5 + 0.004 * at, 0.1
        plant.lane.board.scored_at_s[:2] = 1.0 + at
        look(plant.history)
    fan, pump = (plant.ingest.channels[name, "de", "x"] for name in ("fan", "pump"))
    assert plant.history.outlook_of(fan) == ""
    plant.history._look_ahead()
    assert re.fullmatch(
        r"The score rises by 0\.24 an hour \(0\.24 to 0\.24 at 95 %\) over the last 90 min; "
        r"at this rate it reaches 1 in 3\d min \(3\d min to 3\d min\), sooner if it accelerates",
        plant.history.outlook_of(fan),
    )
    assert plant.history.outlook_of(pump) == ""


def test_a_channel_may_go_and_come_back(tmp_path: Path) -> None:
    plant = Plant(4, state_dir=tmp_path)
    plant.send("fan", plant.noise(1600))
    plant.judge("fan", 2.0)
    look(plant.history)
    gone: Channel = plant.ingest.channels["fan", "de", "x"]
    plant.ingest.forget(gone)
    look(plant.history)
    assert np.isfinite(series(plant.history)).any()
    plant.send("fan", plant.noise(1600))
    plant.judge("fan", 4.0)
    look(plant.history)
    assert series(plant.history).tolist() == pytest.approx([3.0, 4.0], rel=1e-3)
