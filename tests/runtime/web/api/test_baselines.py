"""Who may change baselines over HTTP, with and without authentication."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, make_mocked_request

from monitor.bench.alone import bench_calibration
from monitor.config.configuration import Http
from monitor.runtime.baselines.history import Source
from monitor.runtime.web.border.permission import Permission
from monitor.runtime.web.server import make_app
from tests.support.channels.healthy import at_load, blind, calibrated
from tests.support.commands import invoke
from tests.support.page.baselines import baseline_desk
from tests.support.page.page_plant import Plant

FAN = {"machine": "fan", "sensor": "de", "axis": "x"}
ACCEPT = ("baseline", "accept", "fan/*", "--reason", "inspected", "--by", "anna")


def asked(address: str | None, **headers: str) -> web.Request:
    """A request from a client with this address."""
    transport = SimpleNamespace(get_extra_info=lambda name, _=None: (address, 1) if name == "peername" else None)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request("POST", "/", {"Content-Type": "application/json", **names}, transport=transport)


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("10.0.0.1", False),
        (None, False),
    ],
)
def test_without_authentication_only_loopback_may(address: str | None, local: bool) -> None:
    permission = Permission(Http())
    request = asked(address)
    token = permission.token_for(request)
    assert (token is not None) == permission.may_change(request) == local
    refusal = permission.refused(asked(address, X_Vibration_Token=token or "x"))
    assert (refusal is None) == local
    for header in ("X_Forwarded_For", "Forwarded", "Via", "X_Real_IP"):
        behind = asked(address, X_Vibration_Token=token or "x", **{header: "192.0.2.1"})
        assert permission.token_for(behind) is None
        refused = permission.refused(behind)
        assert refused is not None
        assert refused.status == 403
    other = Permission(Http()).token_for(asked("127.0.0.1"))
    late = permission.refused(asked("127.0.0.1", X_Vibration_Token=other or ""))
    assert late is not None
    assert late.status == 403


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_with_authentication_whoever_has_it_may(tmp_path: Path, kind: str) -> None:
    secret, wrong = tmp_path / "secret", tmp_path / "wrong"
    secret.write_text("s\u00e4cret\n")
    wrong.write_text("guess\n")
    plant = Plant(state_dir=tmp_path / "state")
    plant.baselines = baseline_desk(tmp_path / "state", plant.ingest.channels, plant.config.label_names)
    plant.baselines.store.learned(
        FAN, bench_calibration(100), model_sha256="ab" * 32, source=Source(provisional=True)
    )  # fmt: skip
    options: list[tuple[str, ...]]
    if kind == "basic":
        http = Http.model_validate({"basic_auth": {"user": "anna", "password_file": secret}})
        options = [("--user", "anna", "--password-file", str(file)) for file in (secret, wrong)]
    else:
        http = Http.model_validate({"bearer_token_file": secret})
        options = [("--token-file", str(file)) for file in (secret, wrong)]

    given, bad = options

    async def story() -> None:
        async with TestServer(make_app(plant, http)) as server:
            url = ("--url", str(server.make_url("/")))
            for wrongly in ((), bad):
                refused = await asyncio.to_thread(invoke, *ACCEPT, *url, *wrongly)
                assert "the daemon asks for authentication; give --user and" in str(refused.exception)
            listed = await asyncio.to_thread(invoke, "baseline", "list", *url, *given)
            assert listed.stdout.startswith("fan/de/x  provisional  1: ")
            done = await asyncio.to_thread(invoke, *ACCEPT, *url, *given)
            assert done.stdout == "fan/de/x: done, baseline 1 is current\n"

    asyncio.run(story())
    history = plant.baselines.store.history(FAN)
    assert history is not None
    assert [one.what for one in history.changes] == ["learned", "accepted"]


def test_the_machine_is_shown_among_its_conditions(tmp_path: Path) -> None:
    """By the daemon's own command, as long as the channel is scored by the baseline and sends."""
    plant = Plant(state_dir=tmp_path)
    plant.send("fan", plant.noise(1600))
    loads = (0.0, 0.5, 1.0)
    several = calibrated(
        [blind(at_load(load, 600, 3 + number)) for number, load in enumerate(loads)],
        quantities=[{"load": np.full(600, load)} for load in loads],
    )
    plant.baselines.store.learned(FAN, several, model_sha256="ab" * 32, source=Source())
    channel, count = plant.ingest.channels["fan", "de", "x"], len(several.prototypes)
    weights = plant.lane.board.weights[channel.row]

    async def main() -> None:
        async with TestServer(make_app(plant, Http())) as server:
            url = str(server.make_url("/")).rstrip("/")

            async def shown(*more: str) -> str:
                result = await asyncio.to_thread(invoke, "baseline", "show", "fan/*", "--url", url, *more)
                assert result.exit_code == 0, result.output
                return result.stdout

            async def told() -> list[float] | None:
                (found,) = json.loads(await shown("--json"))["channels"]
                present: list[float] | None = found["profiles"]["weights"]
                return present

            assert await told() is None  # nothing is scored yet
            weights[:count] = [0.25, 0.75] + [0.0] * (count - 2)
            assert await told() is None  # by no calibration
            channel.calibration = several
            assert await told() == [0.25, 0.75] + [0.0] * (count - 2)
            lines = [line.split(", ")[1] for line in (await shown()).splitlines() if line.startswith("   [")]
            assert lines == ["25% of the present", "75% of the present"] + ["0% of the present"] * (count - 2)
            channel.calibration = bench_calibration(100, 800.0)
            assert await told() is None  # by another calibration than the baseline
            channel.calibration = several
            plant.ahead_s = 100.0
            assert await told() is None  # silent

    asyncio.run(main())
