import numpy as np
import pytest

from monitor.bench.alone import bench_calibration
from monitor.runtime.web.metrics.exposition import MetricsPage
from monitor.runtime.web.metrics.families import write_channels
from monitor.runtime.web.page.documents import FleetMessages, figures_documents
from monitor.runtime.web.page.fleet import HISTORY_SAMPLES, Fleet
from tests.support.page.page_plant import Plant

RATE_HZ = 800


def test_history_goes_with_its_channel() -> None:
    plant = Plant(channels=4)
    fleet = Fleet(4)
    for machine in ("a", "b", "c"):
        plant.send(machine, plant.noise(2 * RATE_HZ))
    for _ in range(3):
        fleet.sample(plant.view())
    ratios = [float(fleet.history(place)["gap_ratio"][-1]) for place in range(3)]
    assert len(set(ratios)) == 3
    del plant.ingest.channels["b", "de", "x"]
    plant.send("d", plant.noise(2 * RATE_HZ))
    generation = fleet.generation
    fleet.sample(plant.view())
    assert fleet.generation == generation + 1
    assert [channel.labels[0] for channel in fleet.table.channels] == ["a", "c", "d"]
    assert fleet.history(1)["gap_ratio"].tolist() == [np.float32(ratios[2])] * 4
    assert np.isnan(fleet.history(2)["gap_ratio"][:3]).all()
    assert np.isfinite(fleet.history(2)["gap_ratio"][3])


def test_history_is_as_long_as_it_says() -> None:
    plant = Plant(channels=2)
    fleet = Fleet(2)
    plant.send("a", plant.noise(2 * RATE_HZ))
    for second in range(HISTORY_SAMPLES + 7):
        plant.lane.board.gap_ratio[:] = second
        fleet.sample(plant.view())
    history = fleet.history(0)["gap_ratio"]
    assert history.tolist() == list(range(7, HISTORY_SAMPLES + 7))


def test_a_sparkline_holds_the_largest_of_each_step() -> None:
    plant = Plant(channels=2)
    fleet = Fleet(2)
    plant.send("a", plant.noise(2 * RATE_HZ))
    assert fleet.sparklines(4, 3, 0).shape == (0, 0)
    for second in range(20):
        plant.lane.board.gap_ratio[:] = second
        fleet.sample(plant.view())
    # Steps begin at multiples of three: 9 to 11, 12 to 14, 15 to 17, 18 to 19.
    assert fleet.sparklines(4, 3, 1).tolist() == [[11, 14, 17, 19]]


def test_what_a_larger_limit_lets_in_is_shown() -> None:
    plant = Plant(channels=3)
    fleet = Fleet()
    plant.send("a", plant.noise(2 * RATE_HZ))
    fleet.sample(plant.view())
    ratio = float(fleet.history(0)["gap_ratio"][-1])
    for machine in ("b", "c"):
        plant.send(machine, plant.noise(2 * RATE_HZ))
    fleet.sample(plant.view())
    assert (len(fleet.table.channels), fleet.beyond_limit) == (3, 0)
    assert fleet.history(0)["gap_ratio"].tolist() == [pytest.approx(ratio)] * 2
    assert np.isnan(fleet.history(2)["gap_ratio"]).tolist() == [True, False]


def test_more_channels_than_the_page_holds_are_counted() -> None:
    plant = Plant(channels=8)
    fleet = Fleet(3)
    for machine in "abcde":
        plant.send(machine, plant.noise(80))
    fleet.sample(plant.view())
    assert (len(fleet.table.channels), fleet.beyond_limit) == (3, 2)


def test_a_message_about_a_thousand_channels_is_small() -> None:
    plant = Plant(channels=1000)
    for number in range(1000):
        plant.send(f"machine-{number}", plant.noise(8))
    calibration = bench_calibration(100, RATE_HZ)
    for channel in plant.ingest.channels.values():
        channel.calibration = calibration
    board = plant.lane.board
    fleet = Fleet(1000)
    messages = FleetMessages(fleet)
    messages._viewers = 1
    for _ in range(2):
        for figures in (board.gap_ratio, board.rms):
            figures[:] = plant.rng.lognormal(size=1000)
        fleet.sample(plant.view())
        messages.publish(plant.view(), plant)
    assert len(messages._feed.message) < 62_000
    assert len(messages._whole()) < 150_000


def test_a_channel_that_fell_silent_in_alarm_is_shown_so() -> None:
    plant = Plant(channels=4)
    fleet = Fleet(4)
    for machine, score in (("alarm", 2.0), ("warning", 0.8), ("ok", 0.1)):
        plant.send(machine, plant.noise(2 * RATE_HZ))
        plant.judge(machine, score)
    plant.ahead_s = 100.0
    table = fleet.sample(plant.view())
    assert table.silent.all()
    assert table.figures["alarm_state"][:2].tolist() == [2, 1]
    assert np.isnan(table.figures["alarm_state"][2])
    assert np.isnan(table.figures["score"]).all()
    assert [document["alarm_state"] for document in figures_documents(fleet, slice(None))] == [2, 1, None]


def test_a_channel_tells_its_measured_quantities_until_they_are_too_old() -> None:
    conditions: dict[str, object] = {
        "speed_rpm": {"topic": "plant/{machine}/speed", "payload": {"format": "number"}, "max_age": "30s"},
        "load": {"topic": "plant/{machine}/load", "payload": {"format": "number"}},
    }
    plant = Plant(channels=4, conditions=conditions)
    fleet = Fleet(4)
    plant.send("fan", plant.noise(2 * RATE_HZ))
    plant.send("pump", plant.noise(2 * RATE_HZ))

    def shown() -> list[object]:
        fleet.sample(plant.view())
        return [document["conditions"] for document in figures_documents(fleet, slice(None))]

    def exported() -> list[str]:
        page = MetricsPage()
        write_channels(page, plant.view())
        return [line for line in page.lines if line.startswith("vibration_condition_value{")]

    unknown = {"value": None, "stale": False}
    plant.ingest.deliver("plant/fan/speed", b"1480.25")
    series = 'vibration_condition_value{machine="fan",sensor="de",axis="x",condition="speed_rpm"}'
    assert exported() == [f"{series} 1480.25"]
    others = [{"speed_rpm": unknown, "load": unknown}]
    assert shown() == [{"speed_rpm": {"value": 1480.25, "stale": False}, "load": unknown}, *others]
    plant.ahead_s = 31.0
    assert exported() == []
    assert shown() == [{"speed_rpm": {"value": None, "stale": True}, "load": unknown}, *others]
    plant.ingest.deliver("plant/fan/speed", b"900")
    assert exported() == [f"{series} 900"]
    plant.silent_after_s = 10.0
    assert exported() == []
    assert shown() == [{"speed_rpm": unknown, "load": unknown}, *others]


def test_a_fleet_without_channels_has_a_table() -> None:
    fleet = Fleet(2)
    table = fleet.sample(Plant(channels=2).view())
    assert (table.channels, table.figures["score"].size) == ((), 0)
