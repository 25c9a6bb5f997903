"""A channel's state as another worker takes it: with a real intake and a real worker, in this process."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from monitor.config.configuration import Config
from monitor.config.file import parse_config
from monitor.core.arrays import Float32
from monitor.core.scoring.alarm import State
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.errors import ArtefactError
from monitor.runtime.baselines.history import Source
from monitor.runtime.baselines.store import Asked, Store
from monitor.runtime.intake.channel import Channel
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.intake.kafka.ownership import Document
from monitor.runtime.intake.kafka.positions import Position
from monitor.runtime.intake.kafka.state_topic import KeptState, Kind
from monitor.runtime.lanes.orders import Configure, Keep
from monitor.runtime.state.file import Known, Table, pack
from monitor.runtime.state.memory import Memory
from monitor.runtime.state.moving import Moving
from monitor.runtime.wall_clock import WallClock
from tests.runtime.state.test_memory import NOW_S, Workers
from tests.support.channels.healthy import BLOCK, INTERVAL, network_calibration, signal
from tests.support.networks.numpy_engine import NumpyEngine

TEXT = """
kafka: {state_topic: s}
sensors: [{topic: 'plant/{machine}/{axis}', payload: {format: float32}, sampling_rate_hz: 2000, unit: m/s2}]
scoring: {forget_after: 1h}
"""
MESSAGE = 73
"""Samples of a message: blocks do not begin with messages."""
WARMUP = 5


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return network_calibration(NumpyEngine(BLOCK), 10, WARMUP)


class Daemon:
    """One worker of a group, as far as the state of its channels is concerned."""

    def __init__(self, calibration: Calibration, text: str = TEXT, folder: Path | None = None) -> None:
        self.config: Config = parse_config(text, Path("config.yaml"))
        self.calibration = calibration
        self.workers = Workers()
        lane = self.workers.lane
        self.memory = Memory(None, WallClock(lambda: NOW_S, lambda: 100.0), 8)
        self.store = Store(folder, lambda: NOW_S)
        self.ingest = Ingest(self.config, {"default": lane.rings}, self._new, lambda: 100.0)
        self.moving = Moving(
            self.memory, self.ingest, lambda: {"default": self.workers}, lambda: self.config, self, self.store, self
        )
        self.learned: dict[str, bytes] = {}
        self.scores: dict[int, float] = {}
        self.workers.worker.obey(Keep(1, calibration))

    def _new(self, channel: Channel) -> None:
        channel.key, channel.calibration = "key", self.calibration
        limit = self.calibration.limit(1.0)
        self.workers.worker.obey(Configure(channel.row, INTERVAL, WARMUP, 1, limit, sampling_rate_hz=2000.0))
        self.memory.restore(channel, self.workers, self.config.label_names)

    async def settled(self) -> None:
        """There is no topic of scores."""

    def progress(self, channel: Channel) -> bytes:
        return self.learned.get(channel.name, b"")

    def bring(self, labels: Mapping[str, str], progress: bytes) -> None:
        self.learned["/".join(labels.values())] = progress

    def mark(self, labels: Mapping[str, str]) -> str:
        return "1" if "/".join(labels.values()) in self.learned else ""

    def packed(self, channel: Channel, labels: Mapping[str, str]) -> bytes:
        return channel.name.encode() + self.learned["/".join(labels.values())]

    def keep(self, document: bytes) -> None:
        self.learned["kept"] = document

    def settle(self) -> None:
        self.settled_at = len(self.scores)

    def send(self, samples: Float32) -> None:
        """Deliver messages, and score what is due after each."""
        for at in range(0, samples.size, MESSAGE):
            self.ingest.deliver("plant/fan/x", samples[at : at + MESSAGE].astype("<f4").tobytes())
            while self.workers.worker.round():
                board = self.workers.lane.board
                if np.isfinite(board.score[self.channel.row]):
                    taken = int(self.workers.lane.rings.blocks_taken(np.array([self.channel.row]))[0])
                    self.scores[taken] = float(board.score[self.channel.row])

    @property
    def channel(self) -> Channel:
        [channel] = self.ingest.channels.values()
        return channel

    def document(self) -> Document:
        [found] = self.moving.documents_now({"plant/fan/x"})
        return found


def samples() -> Float32:
    healthy, faulty = signal(200, 2), signal(200, 3, fault=3.0)
    return np.concatenate([healthy, faulty]).reshape(-1)


def position(sample: int, following: int = 0) -> Position:
    return Position("v", 0, 5, sample, 7, following, "plant/fan/x", NOW_S)


def begun(calibration: Calibration, blocks: int) -> Daemon:
    """A worker that has scored the channel."""
    first = Daemon(calibration)
    first.moving.attend()
    first.send(samples()[:MESSAGE])
    assert first.moving.documents_now({"plant/fan/x"}) == []
    first.send(samples()[MESSAGE : blocks * BLOCK // MESSAGE * MESSAGE])
    return first


@pytest.mark.parametrize("blocks", [150, 250])
def test_another_worker_goes_on_where_the_first_one_stopped(calibration: Calibration, blocks: int) -> None:
    alone, first = begun(calibration, 400), begun(calibration, blocks)
    document = first.document()
    assert (document.key, document.topic, document.axis) == ("fan/x", "plant/fan/x", "x")
    assert document.at % BLOCK == 0
    assert document.warmup_samples == (6 + 10) * BLOCK
    assert document.last_sample_at_s == NOW_S
    second = Daemon(calibration)
    begin = (document.at - 700) // MESSAGE * MESSAGE
    assert (document.at - begin) % BLOCK
    assert second.moving.take(document.value(), position(begin), rewinds=True) == (document.at - begin) / 2000.0
    state = first.workers.worker.pipeline.judge.alarm.state(np.array([first.channel.row]))
    assert second.workers.lane.board.alarm_state[second.channel.row] == state[0]
    assert state[0] == (State.ALARM if blocks == 250 else State.OK)
    second.send(samples()[begin : 400 * BLOCK // MESSAGE * MESSAGE])
    assert second.document().at == alone.document().at
    last = [each.workers.worker.pipeline.judge for each in (alone, second)]
    rows = [np.array([each.channel.row]) for each in (alone, second)]
    for name in ("mean", "count", "last"):
        expected, found = [judge.scorer.export(row)[name] for judge, row in zip(last, rows, strict=True)]
        assert np.allclose(found.astype(float), expected.astype(float), rtol=1e-5, equal_nan=True)
    assert last[0].alarm.export(rows[0]).tolist() == last[1].alarm.export(rows[1]).tolist()


def test_a_channel_that_was_silent_begins_a_context_behind_what_was_read(calibration: Calibration) -> None:
    first = begun(calibration, 250)
    second = Daemon(calibration)
    value = first.document().value()
    assert second.moving.take(value, position(0, 5_000), rewinds=False) == 0.0
    assert second.workers.lane.board.alarm_state[second.channel.row] == State.ALARM
    second.send(samples()[5_000:6_000])
    second.moving.documents_now({"plant/fan/x"})
    second.send(samples()[6_000 : 6_000 + 20 * MESSAGE])
    assert (second.document().at - 5_000) % (INTERVAL * BLOCK) == WARMUP * BLOCK


def test_a_document_changes_with_the_point_and_with_the_alarm(calibration: Calibration) -> None:
    first = begun(calibration, 150)
    before = first.document().version
    assert first.document().version == before
    first.channel.event = "an alarm"
    assert first.document().version != before
    first.channel.event = ""
    first.send(samples()[-20 * MESSAGE :])
    assert first.document().version != before


def packed(
    arrays: Mapping[str, Float32], *, last_sample_at_s: float = NOW_S, machine: str = "fan", count: int = 1
) -> bytes:
    known = Known((f"machine={machine}", "axis=x"), "key", f"plant/{machine}/x", "x", last_sample_at_s, "")
    head, data = pack([Table([known.line()] * count, dict(arrays))])
    return head + data


def test_a_channel_that_is_forgotten_or_has_no_place_here_is_not_created(calibration: Calibration) -> None:
    second = Daemon(calibration)
    assert second.moving.take(packed({}, last_sample_at_s=NOW_S - 3601), position(0), rewinds=True) is None
    elsewhere = TEXT.replace("'plant/", "'hall/")
    assert Daemon(calibration, elsewhere).moving.take(packed({}), position(0), rewinds=True) is None
    assert second.ingest.channels == {}
    assert second.memory.waiting() == []
    assert second.moving.take(packed({}), position(0), rewinds=True) == 0.0


@pytest.mark.parametrize("value", [b"", b"vibration-monitor state 1 x\n", packed({}, count=2), packed({})[:-10]])
def test_bytes_that_are_no_state_are_refused(calibration: Calibration, value: bytes) -> None:
    second = Daemon(calibration)
    with pytest.raises(ValueError, match=r"."):
        second.moving.take(value, position(0), rewinds=True)
    assert second.ingest.channels == {}


def test_arrays_of_other_sizes_leave_the_channel_with_its_warm_up(calibration: Calibration) -> None:
    odd = {"resume.at": np.array([500], np.int64), "resume.level": np.zeros((1, 3), np.float32)}
    second = Daemon(calibration)
    assert second.moving.take(packed(odd), position(0), rewinds=True) == 0.25  # type: ignore[arg-type]
    second.send(samples()[: 100 * BLOCK])
    assert second.workers.lane.board.blocks_scored[second.channel.row] == 100 - 25


def test_a_baseline_moves_with_its_history_and_the_newer_one_stays(calibration: Calibration, tmp_path: Path) -> None:
    text = f"{TEXT}\nstate_dir: {tmp_path}"
    folders = [tmp_path / "one", tmp_path / "two"]
    first, second = (Daemon(calibration, text, folder) for folder in folders)
    labels = {"machine": "fan", "axis": "x"}
    first.send(samples()[:MESSAGE])
    assert first.moving.baselines({"plant/fan/x"}) == []
    first.store.learned(labels, calibration, model_sha256="0" * 64, source=Source(provisional=True))
    [baseline] = first.moving.baselines({"plant/fan/x"})
    assert (baseline.key, baseline.topic) == ("fan/x", "plant/fan/x")
    assert first.moving.baselines({"plant/fan/y"}) == []
    second.moving.keep(Kind.BASELINE, baseline.value())
    for store in (second.store, Store(folders[1], lambda: NOW_S)):
        history = store.history(labels)
        assert history == first.store.history(labels)
        found = store.current(labels, "0" * 64)
        assert found is not None
        assert np.array_equal(found.centre, calibration.centre)
    # Whoever has the channel by then changes it; what comes late changes nothing.
    second.store._now_s = lambda: NOW_S + 1
    second.store.accept(labels, Asked("ann", "it is fine"))
    second.moving.keep(Kind.BASELINE, baseline.value())
    accepted = second.store.history(labels)
    assert accepted is not None
    assert accepted.changes[-1].what == "accepted"
    second.send(samples()[:MESSAGE])
    [newer] = second.moving.baselines({"plant/fan/x"})
    assert newer.mark != baseline.mark
    first.moving.keep(Kind.BASELINE, newer.value())
    assert first.store.history(labels) == accepted


@pytest.mark.parametrize("damage", ["empty", "nothing", "history", "calibration", "other"])
def test_a_damaged_baseline_is_refused_and_changes_nothing(
    calibration: Calibration, tmp_path: Path, damage: str
) -> None:
    first = Daemon(calibration, f"{TEXT}\nstate_dir: {tmp_path}", tmp_path / "one")
    first.send(samples()[:MESSAGE])
    labels = {"machine": "fan", "axis": "x"}
    first.store.learned(labels, calibration, model_sha256="0" * 64, source=Source())
    [baseline] = first.moving.baselines({"plant/fan/x"})
    line, _, file = baseline.value().partition(b"\n")
    damaged = {
        "empty": b"",
        "nothing": b'{"labels": {"machine": "fan"}}',
        "history": line[:-9] + b"\n" + file,
        "calibration": line + b"\n" + file[:-100],
        "other": re.sub(rb'("arrays_sha256": ")....', rb"\g<1>0000", line) + b"\n" + file,
    }
    second = Daemon(calibration, f"{TEXT}\nstate_dir: {tmp_path}", tmp_path / "two")
    with pytest.raises(ArtefactError):
        second.moving.keep(Kind.BASELINE, damaged[damage])
    assert second.store.history(labels) is None
    assert not list(tmp_path.glob("two/**/*.npz"))


def test_without_a_folder_for_baselines_none_are_kept(calibration: Calibration) -> None:
    Daemon(calibration).moving.keep(Kind.BASELINE, b"whatever it is")


def test_what_was_asked_of_a_channel_moves_and_older_baselines_stay(calibration: Calibration, tmp_path: Path) -> None:
    text = f"{TEXT}\nstate_dir: {tmp_path}"
    first, second = (Daemon(calibration, text, tmp_path / name) for name in ("one", "two"))
    labels = {"machine": "fan", "axis": "x"}
    for each in (first, second):
        each.send(samples()[:MESSAGE])
    first.store.ask(labels, "learn", Asked("ann", "overhauled"))  # it has no baseline yet
    [asked] = first.moving.baselines({"plant/fan/x"})
    second.moving.keep(Kind.BASELINE, asked.value())
    assert second.store.history(labels) == first.store.history(labels)
    now_s = NOW_S
    for each in (first, first, first, second):
        now_s += 1
        each.store._now_s = lambda: now_s  # noqa: B023
        each.store.learned(labels, calibration, model_sha256="0" * 64, source=Source())
        [baseline] = each.moving.baselines({"plant/fan/x"})
        (second if each is first else first).moving.keep(Kind.BASELINE, baseline.value())
    for each in (first, second):
        history = each.store.history(labels)
        assert history is not None
        assert [one.number for one in history.baselines] == [1, 2, 3, 4]
    now_s += 1
    second.store.ask(labels, "extend", Asked("ann", "runs faster now"))
    [extending] = second.moving.baselines({"plant/fan/x"})
    first.moving.keep(Kind.BASELINE, extending.value())
    history = first.store.history(labels)
    assert history is not None
    assert history.request is not None
    assert (history.request.what, history.current) == ("extend", 4)
    first.store.revert(labels, Asked("ann", "it was fine"), 2)
    assert first.store.current(labels, "0" * 64) is not None


def test_how_far_a_channel_is_that_learns_goes_along_with_its_state(calibration: Calibration, tmp_path: Path) -> None:
    first = begun(calibration, 150)
    assert [each.mark for each in first.moving.learning(["plant/fan/x"])] == [""]
    first.learned["fan/x"] = b"halfway"
    [file] = first.moving.learning(["plant/fan/y", "plant/fan/x"])
    assert (file.kind, file.key, file.topic, file.mark) == (Kind.LEARNING, "fan/x", "plant/fan/x", "1")
    assert file.value() == b"fan/xhalfway"
    second = Daemon(calibration, f"{TEXT}\nstate_dir: {tmp_path}")
    assert second.moving.take(first.document().value(), position(0), rewinds=True) is not None
    second.moving.keep(Kind.LEARNING, file.value())
    assert second.learned == {"fan/x": b"halfway", "kept": b"fan/xhalfway"}


def test_a_channel_whose_key_changed_the_partition_keeps_its_alarm(calibration: Calibration) -> None:
    first = begun(calibration, 250)
    known = {"fan/x": KeptState(3, position(0, 5_000), first.document().value())}
    second = Daemon(calibration)
    second.moving.follow(known.get)
    second.moving.attend()
    second.send(samples()[5_000 : 5_000 + 15 * MESSAGE])
    assert second.workers.lane.board.alarm_state[second.channel.row] == State.ALARM
    assert second.workers.lane.board.blocks_scored[second.channel.row] == 15 * MESSAGE // BLOCK - WARMUP
    assert second.document().at % BLOCK == 0
    assert second.document().at > 5_000  # its stream goes on behind what was read
    for odd in (
        {"fan/x": KeptState(3, position(0), b"damaged")},
        {"fan/x": KeptState(3, position(0), packed({}, last_sample_at_s=NOW_S - 3601))},
        {},
    ):
        third = Daemon(calibration)
        third.moving.follow(odd.get)
        third.send(samples()[:MESSAGE])
        assert third.workers.lane.rings.next_sample(third.channel.row) == MESSAGE
