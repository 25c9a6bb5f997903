"""Pages of ``/metrics`` that a real daemon gave, stretched in time, as input of ``promtool test rules``.

An alert waits for minutes; a test must not. So the pages of a state are taken within a second or two, and the state is
taken to last: gauges stay, counters go on at the rate that they had between the two pages, an instant that moved with
the clock goes on moving, every other one stays where it was. What is evaluated is the shipped rules file, unchanged.
"""

import json
import re
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pprint import pformat

from prometheus_client.parser import text_string_to_metric_families

from tests.support.programs import ROOT, program
from tests.support.servers import wait_for

RULES = ROOT / "config" / "prometheus" / "vibration.rules.yml"
STEP_S = 10
"""Seconds between two scrapes, as in the shipped prometheus.yml."""
SCRAPED = 'job="vibration-monitor",instance="127.0.0.1:9108"'
USED = frozenset(re.findall(r"\b\w+\b", RULES.read_text(encoding="utf-8")))
"""Names of the metrics that the rules read, among other words; the others are left out to save time."""
STAMPS = re.compile(r"\w+_timestamp_seconds|process_start_time_seconds")

Alert = tuple[str, str, str]
"""Name without ``Vibration``, severity, machine ("" where it is about none)."""


@dataclass(frozen=True)
class Page:
    """One scrape."""

    at_s: float
    """UNIX seconds at which it was taken."""
    series: dict[str, float]
    """Values by series; empty where nothing answered."""
    counters: frozenset[str]
    """The series among them that only grow."""

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the first series of that name with these labels; None: there is none."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        for series, value in self.series.items():
            if series.startswith(f"{name}{{") and all(pair in series for pair in wanted):
                return value
        return None


@dataclass(frozen=True)
class Phase:
    """A state: two pages of it (or the same one twice), and for how long it is taken to last."""

    first: Page
    last: Page
    minutes: int

    @property
    def scrapes(self) -> int:
        return self.minutes * 60 // STEP_S


def scrape(address: str, context: ssl.SSLContext | None = None) -> Page:
    """The page of a daemon now; one without series where it does not answer, as Prometheus sees it."""
    try:
        with urllib.request.urlopen(f"{address}/metrics", timeout=10, context=context) as answer:
            text = answer.read().decode()
    except OSError:
        return Page(time.time(), {}, frozenset())
    at_s = time.time()
    series, counters = {}, set()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join([SCRAPED, *(f"{name}={json.dumps(value)}" for name, value in sample.labels.items())])
            key = f"{sample.name}{{{labels}}}"
            series[key] = sample.value
            if family.type in {"counter", "histogram"}:
                counters.add(key)
    return Page(at_s, series, frozenset(counters))


def pages(
    take: Callable[[], Page], holds: Callable[[Page], bool], what: str, minutes: int = 20, apart_s: float = 1.0
) -> Phase:
    """Wait until a page shows a state, and again at least ``apart_s`` later."""

    def found(after_s: float) -> Page:
        def one() -> Page | None:
            page = take()
            return page if page.at_s >= after_s and holds(page) else None

        return wait_for(one, what, 60)

    first = found(0.0)
    return Phase(first, found(first.at_s + apart_s) if apart_s else first, minutes)


def stretched(phases: list[Phase]) -> dict[str, str]:
    """promtool's ``values`` of every series through all phases, one behind the other."""
    shown = (series for phase in phases for series in (*phase.first.series, *phase.last.series))
    # In promtool's notation "_x5" is five scrapes, and "1x5" six.
    names = dict.fromkeys(series for series in shown if series.partition("{")[0] in USED)
    values: dict[str, list[str]] = {name: [] for name in names}
    reached: dict[str, tuple[float, float]] = {}
    at_s = 0.0
    for phase in phases:
        times = phase.scrapes - 1
        for name in names:
            if name not in phase.last.series:
                reached.pop(name, None)
                values[name].append(f"stale _x{times}" if values[name] else f"_x{phase.scrapes}")
                continue
            value, step = _course(name, phase, at_s, reached)
            values[name].append(f"{value:.9g}{step:+.9g}x{times}")
        at_s += phase.scrapes * STEP_S
    up = " ".join(f"{int(bool(phase.last.series))}x{phase.scrapes - 1}" for phase in phases)
    return {name: " ".join(parts) for name, parts in values.items()} | {f"up{{{SCRAPED}}}": up}


def _course(name: str, phase: Phase, at_s: float, reached: dict[str, tuple[float, float]]) -> tuple[float, float]:
    """Value at the start of a phase, and what it grows by with each scrape."""
    first, last = phase.first, phase.last
    value = last.series[name]
    before = first.series.get(name, value)
    if STAMPS.match(name):
        moves = value != before
        return (at_s + value - last.at_s, STEP_S) if moves else (at_s + value - first.at_s, 0.0)
    if name not in last.counters:
        return value, 0.0
    elapsed_s = last.at_s - first.at_s
    step = max(0.0, (value - before) / elapsed_s * STEP_S) if elapsed_s else 0.0
    start = before
    if name in reached:
        seen, stretched_to = reached[name]
        start = stretched_to + before - seen if before >= seen else before  # smaller: another process
    reached[name] = value, start + step * phase.scrapes
    return start, step


def firing(folder: Path, phases: list[Phase], expected: list[set[Alert]], *, by_machine: bool = True) -> str:
    """Evaluate the shipped rules over phases; at the end of each, exactly the expected alerts must be firing.

    Args:
        folder: for promtool's file.
        phases: one behind the other.
        expected: the alerts at the end of each.
        by_machine: whether it matters what they are about.

    Returns:
        What is different, by the time at which it was evaluated; empty if nothing is.
    """
    series = [{"series": name, "values": values} for name, values in stretched(phases).items()]
    about = ", machine" if by_machine else ""
    expression = f'group by (alertname, severity{about}) (ALERTS{{alertstate="firing"}})'
    cases, at_s = [], 0
    for phase, alerts in zip(phases, expected, strict=True):
        at_s += phase.scrapes * STEP_S
        samples = [{"labels": _labels(alert), "value": 1} for alert in sorted(alerts)]
        cases.append({"expr": expression, "eval_time": f"{at_s - STEP_S}s", "exp_samples": samples})
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{STEP_S}s",
        "tests": [{"interval": f"{STEP_S}s", "input_series": series, "promql_expr_test": cases}],
    }
    file = folder / "recorded.test.yml"
    file.write_text(json.dumps(document))
    done = subprocess.run(
        [program("promtool"), "test", "rules", str(file)], capture_output=True, text=True, check=False, timeout=120
    )
    said = done.stdout + done.stderr
    differences = {
        time: sorted(
            f"{'missing' if alert in wanted else 'firing'}: {alert}" for alert in _alerts(wanted) ^ _alerts(got)
        )
        for time, wanted, got in re.findall(r"time: (\S+),\s+exp: ?(.*)\s+got: ?(.*)", said)
    }
    assert bool(differences) == bool(done.returncode), said
    return pformat(differences, width=120) if differences else ""


def _alerts(text: str) -> set[str]:
    return set(re.findall(r"\{[^}]*\}", text))


def _labels(alert: Alert) -> str:
    name, severity, machine = alert
    subject = f', machine="{machine}"' if machine else ""
    return f'{{alertname="Vibration{name}", severity="{severity}"{subject}}}'
