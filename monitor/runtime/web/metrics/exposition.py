"""Prometheus' text format: families, histograms and labels, written directly.

A thousand channels make about thirty thousand lines for each scrape. prometheus-client renders them in about half a
second, on the event loop that processes the messages; joining prepared strings takes a twentieth of that. So only the
metrics of the process come from prometheus-client. Does not handle: which families there are (``families``).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest

from monitor.runtime.log.printable import printable

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def label_text(names: Iterable[str], values: Iterable[str]) -> str:
    """Label pairs in the text format, without braces: ``machine="fan",axis="x"``.

    Any value gives a valid page: control characters and lone surrogates, which the format does not escape, are written
    as escapes. The intake should have rejected them.
    """
    return ",".join(f'{name}="{_label_value(value)}"' for name, value in zip(names, values, strict=True))


def _label_value(value: str) -> str:
    if not value.isprintable():
        value = "\n".join(map(printable, value.split("\n")))
    return value.translate(_ESCAPES)


def number(value: float) -> str:
    """A value in the text format."""
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return f"{value:.15g}"


@dataclass
class MetricsPage:
    """A metrics page that is being written."""

    lines: list[str] = field(default_factory=list)
    """The lines so far."""

    def family(self, name: str, kind: str, text: str, samples: Iterable[tuple[str, float]]) -> None:
        """Add a family; ``samples`` are pairs of label text and value. A family without samples is left out."""
        rows = [f"{name}{{{labels}}} {number(v)}" if labels else f"{name} {number(v)}" for labels, v in samples]
        if rows:
            self.lines += (*_head(name, kind, text), *rows)

    def single(self, name: str, kind: str, text: str, value: float) -> None:
        """Add a family of one sample without labels."""
        self.family(name, kind, text, [("", float(value))])

    def histogram(self, name: str, text: str, parts: Iterable[tuple[str, list[tuple[str, int]], float]]) -> None:
        """Add a histogram family; ``parts`` are triples of label text, cumulative buckets and sum."""
        self.lines += _head(name, "histogram", text)
        for labels, buckets, total in parts:
            comma = "," if labels else ""
            self.lines += (f'{name}_bucket{{{labels}{comma}le="{bound}"}} {count}' for bound, count in buckets)
            braces = f"{{{labels}}}" if labels else ""
            self.lines += (f"{name}_sum{braces} {number(total)}", f"{name}_count{braces} {buckets[-1][1]}")

    def text(self) -> bytes:
        """The whole page as UTF-8."""
        # A character that cannot be encoded must not cost the page.
        return ("\n".join(self.lines) + "\n").encode(errors="backslashreplace")


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    """The HELP and TYPE lines of a family."""
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {escaped}", f"# TYPE {name} {kind}"


def as_openmetrics(page: bytes) -> bytes:
    """Convert a page in the text format to OpenMetrics 1.0.

    The samples are the same in both. OpenMetrics names a counter's family without ``_total``, escapes quotes in the
    help, and marks the end of the page.
    """
    # Line breaks inside labels are escaped, so this finds only the heads of families.
    starts = [0] if page.startswith(b"# HELP ") else []
    while (at := page.find(b"\n# HELP ", starts[-1] if starts else 0)) >= 0:
        starts.append(at + 1)
    whole, done = memoryview(page), 0
    pieces: list[bytes | memoryview] = []
    for start in starts:
        end = page.index(b"\n", page.index(b"\n", start) + 1)
        pieces += (whole[done:start], _openmetrics_head(page[start:end]))
        done = end
    return b"".join((*pieces, whole[done:], b"# EOF\n"))


def _openmetrics_head(head: bytes) -> bytes:
    """The lines ``HELP`` and ``TYPE`` of one family."""
    help_line, type_line = head.split(b"\n")
    _, _, name, text = help_line.split(b" ", 3)
    kind = type_line.rpartition(b" ")[2]
    if kind == b"counter":
        name = name.removesuffix(b"_total")
    return b"# HELP %b %b\n# TYPE %b %b" % (name, text.replace(b'"', b'\\"'), name, kind)


def process_registry() -> CollectorRegistry:
    """A registry with prometheus-client's metrics of the process and of Python."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def process_metrics(registry: CollectorRegistry) -> bytes:
    """The metrics of the process in the text format."""
    return generate_latest(registry)
