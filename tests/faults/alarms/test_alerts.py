"""Every alert of the shipped rules, raised by pages that a real daemon gave in the state that the alert is about.

Daemon, broker and promtool are the real ones. An alert in the rules file that no story raises fails the suite: an
alert that nothing can raise is worse than none.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from monitor.bench.load import Load
from monitor.runtime.processes import procfs
from tests.faults.alarms.alert_plant import CONFIGURATION, INTERVAL_S, Feed, calibrate_fan, machines
from tests.faults.alarms.alert_stories import CHANNELS, KAFKA, LOAD, NOT_SENDING, PLANT, SERVICE
from tests.faults.alarms.recorded_pages import RULES, Page, Phase, firing, pages, scrape
from tests.support.authority import Authority
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.kafka.broker import kafka
from tests.support.programs import ROOT
from tests.support.servers import free_port, mosquitto, wait_for

pytestmark = pytest.mark.system

OVERLOADED = "inference: {mode: windowed, workers: 1, max_batch: 1}\nlimits: {channels: 50}\nscoring: {interval: 10s}\n"
"""A worker without what makes it fast, one window at a time. No interval is ever complete, so there is no coverage."""

DEFECT = """\
import sys
if "run" in sys.orig_argv:
    from monitor.runtime.alarms.publisher import EventPublisher
    run, failed = EventPublisher.run, []
    async def run_or_fail(self):
        if not failed:
            failed.append(True)
            raise ZeroDivisionError("planted by a test")
        await run(self)
    EventPublisher.run = run_or_fail
"""
"""A defect for a daemon that has none that we know of: read by every Python that finds it as sitecustomize.py."""


def reload(daemon: RunningDaemon) -> None:
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(urllib.request.Request(f"{daemon.address}/-/reload", method="POST"), timeout=30)


def state_of(page: Page, machine: str) -> float | None:
    return page.value("vibration_alarm_state", machine=machine)


def silent(page: Page, *names: str) -> bool:
    return all(page.value("vibration_channel_calibrated", machine=name) is None for name in names)


def settled(page: Page) -> bool:
    """Whether every machine shows what it is there for."""
    refused = {"clipped": "clipped", "counts": "implausible_level", "slow": "wrong_rate"}
    return (
        all(page.value("vibration_blocks_skipped_total", machine=m, reason=r) for m, r in refused.items())
        and page.value("vibration_anomaly_score", machine="healthy") is not None
        and (page.value("vibration_coverage_ratio", machine="lossy") or 1.0) < 0.9
        and (page.value("vibration_condition_distance", machine="fast") or 0.0) > 1.0
        and page.value("vibration_anomaly_score", machine="fast") is None
        and page.value("vibration_condition_distance", machine="driven") == 0.0
        and page.value("vibration_channel_calibrated", machine="bare") == 0
        and page.value("vibration_velocity_zone", machine="shaking") == 3
        and state_of(page, "torn") == 2
    )


def covered(page: Page) -> bool:
    """Whether every block of the other machines is scored; on a busy machine not always."""
    shares = {name: value for name, value in page.series.items() if name.startswith("vibration_coverage_ratio{")}
    return all(share > 0.95 for name, share in shares.items() if 'machine="lossy"' not in name)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Phase]:
    """What one daemon showed in each state of :data:`~tests.faults.alarms.alert_stories.PLANT`."""
    folder = tmp_path_factory.mktemp("plant")
    calibrate_fan(folder)
    seen: dict[str, Phase] = {}
    channels = machines()
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(contextlib.ExitStack())
        port = broker.enter_context(mosquitto(folder))
        daemon_life = stack.enter_context(contextlib.ExitStack())
        daemon = daemon_life.enter_context(running_daemon(folder, port, CONFIGURATION.format(folder=folder)))

        def take() -> Page:
            return scrape(daemon.address)

        def record(what: str, holds: Callable[[Page], bool], apart_s: float = 1.5, minutes: int = 20) -> None:
            seen[what] = pages(take, lambda page: holds(page) and covered(page), what, minutes, apart_s)

        record("no channels yet", lambda page: page.value("vibration_mqtt_connected") == 1)
        stack.enter_context(Feed(port, channels))
        wait_for(lambda: settled(take()), "every machine to show what it is there for", 60)

        changed_s = 0.0

        def worse() -> Page | None:
            """A page with a warning; until there is one, the damage grows a little each time, or shrinks in alarm."""
            nonlocal changed_s
            page = take()
            state = state_of(page, "failing")
            if state == 1:
                return page if covered(page) else None
            # A score takes some intervals to follow.
            if (page.value("vibration_last_score_timestamp_seconds", machine="failing") or 0) > changed_s:
                near = (page.value("vibration_anomaly_score", machine="failing") or 0.0) > 0.4
                factor = 0.9 if state == 2 else 1.015 if near else 1.07  # a warning takes eight intervals
                channels["failing"].damage = factor * channels["failing"].damage or 0.004
                changed_s = page.at_s + 2 * INTERVAL_S
            return None

        warned = wait_for(worse, "a warning", 60)
        seen["a fault begins"] = Phase(warned, warned, 20)
        channels["failing"].damage = 1.0
        channels["torn"].sends = channels["silent"].sends = False
        record("alarms and silences", lambda page: silent(page, "torn", "silent") and state_of(page, "failing") == 2)
        before = take()
        shutil.move(folder / "state", folder / "away")
        (folder / "state").write_text("not a folder")
        text = daemon.config.read_text()
        daemon.config.write_text("sensors: [{")
        reload(daemon)
        channels["late"].sends = channels["garbled"].sends = True
        failures = ("vibration_state_write_failures_total", "vibration_evidence_write_failures_total")
        record(
            "nothing can be written, nothing can be read",
            lambda page: (
                all((page.value(name) or 0) > (before.value(name) or 0) for name in failures)
                and state_of(page, "late") == 2
            ),
            minutes=10,  # what is written only when something changes fails once
        )
        (folder / "state").unlink()
        shutil.move(folder / "away", folder / "state")
        daemon.config.write_text(text)
        reload(daemon)
        channels["garbled"].sends = False
        record("all of that repaired", lambda page: page.value("vibration_config_last_reload_successful") == 1)
        broker.close()
        record(
            "the broker is gone",
            lambda page: page.value("vibration_mqtt_connected") == 0 and silent(page, *NOT_SENDING),
        )
        daemon_life.close()
        record("the daemon is gone", lambda page: not page.series, 0.0)
    return seen


def test_what_befalls_a_plant(plant: dict[str, Phase], tmp_path: Path) -> None:
    assert list(plant) == list(PLANT)
    different = firing(tmp_path, list(plant.values()), list(PLANT.values()))
    assert not different, different


def test_silence_is_told_whatever_the_clock_says(plant: dict[str, Phase], tmp_path: Path) -> None:
    """The daemon was started a day ahead of the time, and its clock was corrected, or the other way round."""
    for off_s in (-86400.0, 86400.0):
        shifted = [
            replace(phase, first=_shifted(phase.first, off_s), last=_shifted(phase.last, off_s))
            for phase in (plant["no channels yet"], plant["alarms and silences"])
        ]
        different = firing(tmp_path, shifted, [set(), CHANNELS])
    assert not different, different


def _shifted(page: Page, off_s: float) -> Page:
    return replace(page, at_s=page.at_s + off_s)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Phase]:
    """What a daemon showed in each state of :data:`~tests.faults.alarms.alert_stories.SERVICE`."""
    folder = tmp_path_factory.mktemp("service")
    authority = Authority(folder / "authority")
    server, server_key = authority.sign("server")
    client, client_key = authority.sign("client", days=1)
    port = free_port()
    tls = (
        f"listener {port} 127.0.0.1",
        f"cafile {authority.certificate}",
        f"certfile {server}",
        f"keyfile {server_key}",
    )
    lines = (*tls, "require_certificate true", "allow_anonymous true")
    text = (
        f"mqtt: {{url: 'mqtts://127.0.0.1:{port}', reconnect_min: 50ms, reconnect_max: 200ms, tls: "
        f"{{ca_file: '{authority.certificate}', cert_file: '{client}', key_file: '{client_key}'}}}}\n"
    )
    (folder / "sitecustomize.py").write_text(DEFECT)
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
    seen: dict[str, Phase] = {}

    def connected(page: Page) -> bool:
        return page.value("vibration_mqtt_connected") == 1

    reconnects = 0

    def again(page: Page) -> bool:
        return connected(page) and page.value("vibration_mqtt_reconnects_total") == reconnects

    with running_daemon(folder, port, text, environment) as daemon:
        for number in range(3):
            with mosquitto(folder, port, *lines):
                page = pages(lambda: scrape(daemon.address), again, "the broker", 10, 0.0).last
                reconnects += 1
                if number == 0:
                    assert page.value("vibration_internal_errors_total", where="task") == 1
                    seen["an internal error"] = Phase(page, page, 10)
        seen["connections do not last"] = Phase(seen["an internal error"].first, page, 16)
    for start in ("second start", "third start", "fourth start"):
        with mosquitto(folder, port, *lines), running_daemon(folder, port, text, environment) as daemon:
            seen[start] = pages(lambda: scrape(daemon.address), connected, "the broker", 1, 0.0)
    seen["an hour later"] = replace(seen["fourth start"], minutes=90)
    return seen


def test_what_befalls_the_service(service: dict[str, Phase], tmp_path: Path) -> None:
    assert list(service) == list(SERVICE)
    different = firing(tmp_path, list(service.values()), list(SERVICE.values()))
    assert not different, different


@contextlib.contextmanager
def loaded(port: int) -> Iterator[None]:
    """A load of which one slow worker does a part."""
    load = Load(channels=40, sampling_rate_hz=48000, message_samples=4800, seconds=30)
    broker = f"Mqtt(url='mqtt://127.0.0.1:{port}')"
    code = f"from monitor.bench.load import *; from monitor.config.mqtt import Mqtt; send_load({broker}, {load!r})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def overload(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Phase]:
    """What a daemon showed before and during a load that is too much for it."""
    folder = tmp_path_factory.mktemp("overload")
    sensor = "{topic: 'load/{machine}/{axis}', payload: {format: float32}, sampling_rate_hz: 48000}"
    seen: dict[str, Phase] = {}
    with mosquitto(folder) as port, running_daemon(folder, port, f"sensors: [{sensor}]\n{OVERLOADED}") as daemon:

        def take() -> Page:
            return scrape(daemon.address)

        def given_up(page: Page) -> bool:
            return sum(value for name, value in page.series.items() if 'reason="overload"' in name) > 0

        def full(page: Page) -> float:
            return page.value("vibration_messages_rejected_total", reason="ring_full") or 0.0

        seen["no load"] = pages(take, lambda page: page.value("vibration_mqtt_connected") == 1, "the broker")
        with loaded(port):
            seen["more than a worker can do"] = pages(take, given_up, "blocks given up", 20, 3.0)
            (worker,) = procfs.children(daemon.process.pid)
            os.kill(worker, signal.SIGSTOP)
            try:
                before = take()
                seen["the worker hangs"] = pages(take, lambda page: full(page) > full(before), "full buffers", 20, 2.0)
            finally:
                os.kill(worker, signal.SIGCONT)
    return seen


def test_overload(overload: dict[str, Phase], tmp_path: Path) -> None:
    different = firing(tmp_path, list(overload.values()), list(LOAD.values()), by_machine=False)
    assert not different, different


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Phase]:
    """What a daemon at a Kafka cluster showed."""
    folder = tmp_path_factory.mktemp("kafka")
    seen: dict[str, Phase] = {}
    with contextlib.ExitStack() as running:
        broker = running.enter_context(kafka(folder))
        broker.create("samples")
        text = f"kafka: {{bootstrap: '{broker.bootstrap}', topic: samples}}\nlimits: {{buffer: 4s}}\n"
        text += "inference: {workers: 1}\n"
        daemon = running.enter_context(running_daemon(folder, 0, text))

        def take() -> Page:
            if broker.log.exists() and sending:
                broker.send("samples", [("plant/fan/x", bytes(4 * 2400))])
            return scrape(daemon.address)

        def behind_s(page: Page) -> float:
            return page.value("vibration_kafka_behind_seconds") or 0.0

        sending = False
        pages(take, lambda page: page.value("vibration_kafka_connected") == 1, "the group", 1, 0.0)
        sending = True
        names = iter(KAFKA)
        seen[next(names)] = pages(
            take, lambda page: behind_s(page) < 1 and page.value("vibration_channels") == 1, "samples"
        )
        (worker,) = procfs.children(daemon.process.pid)
        os.kill(worker, signal.SIGSTOP)
        try:
            seen[next(names)] = pages(take, lambda page: behind_s(page) > 12, "records that wait", 10, 2.0)
        finally:
            os.kill(worker, signal.SIGCONT)
        sending = False
        pages(take, lambda page: behind_s(page) == 0, "the daemon to have caught up", 1, 0.0)
        broker.kill()
        seen[next(names)] = pages(take, lambda page: page.value("vibration_kafka_connected") == 0, "the loss", 5)
    return seen


@pytest.mark.long
def test_what_befalls_a_daemon_at_kafka(cluster: dict[str, Phase], tmp_path: Path) -> None:
    different = firing(tmp_path, list(cluster.values()), list(KAFKA.values()), by_machine=False)
    assert not different, different


def test_every_alert_is_raised_by_a_real_daemon() -> None:
    stories = (PLANT, SERVICE, LOAD, KAFKA)
    raised = {(name, severity) for story in stories for alerts in story.values() for name, severity, _ in alerts}
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert raised == {(rule["alert"].removeprefix("Vibration"), rule["labels"]["severity"]) for rule in rules}


@pytest.mark.long
def test_every_metric_of_the_rules_is_on_a_real_page(
    plant: dict[str, Phase], service: dict[str, Phase], cluster: dict[str, Phase]
) -> None:
    recorded = [phase.last for phase in (*plant.values(), *service.values(), *cluster.values())]
    exported = {series.split("{")[0] for page in recorded for series in page.series}
    text = re.sub(r"\b(?:channel|instance):\w+:\w+", "", RULES.read_text(encoding="utf-8"))
    named = {"vibration_fault_evidence", "vibration_fault_frequency_hertz"}  # by the daemon of test_diagnosis
    assert set(re.findall(r"\b(?:vibration|process)_[a-z_]+\b", text)) - exported == named
