"""Many channels: saving grows with their number and not with its square, and holds up neither messages nor blocks."""

import asyncio
import threading
import time
from pathlib import Path

import pytest

from monitor.config.configuration import Config
from monitor.core.arrays import Int64, Rows
from monitor.core.samples.rings import Rings
from monitor.runtime.daemon import Daemon
from monitor.runtime.intake.ingest import Ingest
from monitor.runtime.intake.mqtt.connection import MqttState
from monitor.runtime.lanes.lane import Lane, LaneShape
from monitor.runtime.lanes.orders import Collect, Order
from monitor.runtime.lanes.workers import _Process
from monitor.runtime.web.table import read_table
from monitor.runtime.web.view import View
from tests.support.daemons import SENSOR
from tests.support.servers import free_port

CHANNELS = 3000


def test_saving_is_linear_and_asks_a_worker_for_a_few_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    asked: list[int] = []
    blocks_received, send = Rings.blocks_received, _Process.send

    def counting(rings: Rings, rows: Rows | None = None) -> Int64:
        found = blocks_received(rings, rows)
        read.append(found.size)
        return found

    def watching(worker: _Process, order: Order) -> None:
        if isinstance(order, Collect):
            asked.append(len(order.rows))
        send(worker, order)

    config = Config.model_validate(
        {
            "mqtt": {"url": f"mqtt://127.0.0.1:{free_port()}"},
            "sensors": [SENSOR],
            "limits": {"channels": CHANNELS, "buffer": 0.1},
            "http": {"listen": "127.0.0.1:0", "page": False},
            "state_dir": tmp_path / "state",
        }
    )

    async def story() -> None:
        daemon = Daemon(config)
        await daemon.start()
        try:
            for number in range(CHANNELS):
                daemon.ingest.deliver(f"plant/m{number}/x", bytes(400))
            with monkeypatch.context() as patch:
                patch.setattr(Rings, "blocks_received", counting)
                patch.setattr(_Process, "send", watching)
                await daemon._saving.save()
        finally:
            await daemon.close()

    asyncio.run(story())
    assert (tmp_path / "state" / "state").stat().st_size > 300 * CHANNELS
    assert CHANNELS <= sum(read) <= 4 * CHANNELS
    assert sum(asked) == CHANNELS
    assert max(asked) <= 1000


def test_a_worker_that_hangs_in_the_middle_of_a_batch_spoils_no_figures_of_another() -> None:
    lane = Lane(LaneShape("default", 4, 100, 25, 64, parts=2))
    config = Config.model_validate({"sensors": [SENSOR], "limits": {"channels": 4}})
    ingest = Ingest(config, {"default": lane.rings}, lambda _: None, time.monotonic)
    for machine in "abcd":
        ingest.deliver(f"plant/{machine}/x", bytes(400))
    view = View(
        label_names=("machine", "axis"), ingest=ingest, lanes={"default": lane}, source=MqttState(), models=(),
        now_s=time.monotonic(), wall_offset_s=0.0, silent_after_s=1e9, channel_limit=4, reload_successful=True,
        reloaded_at_s=0.0,
    )  # fmt: skip
    hung, busy = lane.board.part(0, 0, 2), lane.board.part(1, 2, 4)
    going = True

    def write() -> None:
        number = 0
        while going:
            number += 1
            with busy.writing():
                busy.rms[:] = number
                time.sleep(0.0005)  # the batch takes its time
                busy.peak[:] = number
            time.sleep(0.0005)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with hung.writing():
            tables = [read_table(view) for _ in range(30)]
    finally:
        going = False
        writer.join()
    rows = [channel.row for channel in ingest.channels.values()]
    seen = [
        (rms, peak)
        for table in tables
        for row, rms, peak in zip(rows, table.figures["rms"], table.figures["peak"], strict=True)
        if row >= 2
    ]
    assert len(seen) == 60
    assert all(rms == peak for rms, peak in seen if rms == rms)  # noqa: PLR0124 - not NaN
