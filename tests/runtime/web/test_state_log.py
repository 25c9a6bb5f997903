"""The log lines about what channels do: every change is told, and no number of changes fills the log."""

import logging
from collections.abc import Iterator

import pytest

from monitor.bench.alone import bench_calibration
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.plausibility import Refusal, code
from monitor.runtime.intake.channel import Channel, Progress
from monitor.runtime.web.state_log import LINES_A_SECOND, LINES_AT_ONCE, StateLog
from monitor.runtime.web.table import read_table
from tests.support.page.page_plant import Plant

RATE_HZ = 800
LEARNS = Progress(0.1, 6.0, "gathering", False, (), (), {})


class Logged:
    """A plant, and the lines about its channels."""

    def __init__(self, caplog: pytest.LogCaptureFixture, channels: int) -> None:
        self.plant = Plant(channels=max(4, channels))
        for number in range(channels):
            self.plant.send(f"m-{number}", self.plant.noise(8))
        self.channels: list[Channel] = list(self.plant.ingest.channels.values())
        self.log = StateLog(self.plant.view)
        self._caplog = caplog

    def look(self, after_s: float = 0.0) -> list[str]:
        """The lines of one look, some time after the last one."""
        self.plant.ahead_s += after_s
        self._caplog.clear()
        self.log.look()
        return [record.getMessage() for record in self._caplog.records]

    def refuse(self, channel: Channel, refusal: Refusal | None) -> None:
        self.plant.lane.board.refusal[channel.row] = 0 if refusal is None else code(refusal)


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "monitor.runtime.web.state_log"):
        yield


@pytest.fixture
def calibration() -> Calibration:
    return bench_calibration(100, RATE_HZ)


def test_a_channel_is_told_through_its_whole_life(caplog: pytest.LogCaptureFixture, calibration: Calibration) -> None:
    logged = Logged(caplog, 1)
    (channel,) = logged.channels
    about = "state: channel=m-0/de/x state="
    assert logged.look() == [f"{about}unusable before=new reason=no_calibration changes=1"]
    channel.learning = LEARNS
    assert logged.look(1) == [f"{about}learning before=unusable changes=1"]
    assert logged.look(1) == []
    channel.calibration, channel.provisional = calibration, True
    assert logged.look(1) == [f"{about}provisional before=learning changes=1"]
    channel.provisional, channel.learning = False, None
    assert logged.look(1) == [f"{about}watched before=provisional changes=1"]
    for refusal, words in (
        (Refusal.UNKNOWN_CONDITION, "unknown_condition before=watched"),
        (Refusal.STOPPED, "stopped before=unknown_condition"),
        (Refusal.CLIPPED, "unusable before=stopped reason=clipped"),
        (Refusal.FLAT_LINE, "unusable before=unusable reason=flat_line"),
        (None, "watched before=unusable"),
    ):
        logged.refuse(channel, refusal)
        assert logged.look(1) == [f"{about}{words} changes=1"]
        # The word is that of the metrics and the page.
        assert read_table(logged.plant.view()).state[0] == words.split()[0]
    channel.away = True
    assert logged.look(1) == [f"{about}silent before=watched changes=1"]
    del logged.plant.ingest.channels[channel.labels]
    assert logged.look(1) == []
    logged.plant.ingest.channels[channel.labels] = channel
    assert logged.look(1) == [f"{about}silent before=new changes=1"]


def test_a_thousand_channels_share_lines_with_those_that_change_alike(
    caplog: pytest.LogCaptureFixture, calibration: Calibration
) -> None:
    logged = Logged(caplog, 1000)
    new = "reason=no_calibration changes=1000 of=m-0/de/x,m-1/de/x,m-2/de/x,..."
    assert logged.look() == [f"state: channels=1000 state=unusable before=new {new}"]
    for channel in logged.channels:
        channel.calibration = calibration
    logged.channels[7].provisional = True
    assert logged.look(1) == [
        "state: channels=999 state=watched before=unusable changes=999 of=m-0/de/x,m-1/de/x,m-2/de/x,...",
        "state: channels=1 state=provisional before=unusable changes=1 of=m-7/de/x",
    ]
    logged.plant.ahead_s += 100
    assert logged.look(1)[0].startswith("state: channels=999 state=silent before=watched changes=999")


def test_channels_that_change_all_the_time_do_not_fill_the_log_and_are_all_told(
    caplog: pytest.LogCaptureFixture, calibration: Calibration
) -> None:
    logged = Logged(caplog, 30)
    for channel in logged.channels:
        channel.calibration = calibration
    logged.plant.silent_after_s = 1e9
    present: dict[str, Refusal | None] = {channel.name: None for channel in logged.channels}
    lines, changed, hour_s = [], len(present), 3600
    for second in range(1, hour_s):
        lines += logged.look(1)
        for number, channel in enumerate(logged.channels[: 1 + second % 25]):
            refusal = (None, Refusal.STOPPED, Refusal.CLIPPED)[(second + number) % 3]
            changed += refusal != present[channel.name]
            present[channel.name] = refusal
            logged.refuse(channel, refusal)
    lines += logged.look(300)  # what waited
    assert changed > 30_000
    assert sum(int(line.split("changes=")[1].split()[0]) for line in lines) == changed
    assert len(lines) < LINES_AT_ONCE + LINES_A_SECOND * (hour_s + 300) + 60
    assert logged.look(300) == []
