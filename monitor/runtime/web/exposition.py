"""The metrics page: every family of the interface, from the ingest's counters and the lanes' boards.

A thousand channels are some thirty thousand lines a scrape. prometheus-client renders them in about half a second, on
the loop that takes the messages; joining prepared strings takes a twentieth of it. So the families of channels are
written here in the text format, and prometheus-client does what it does best: the process's own metrics. Refuses to
know: how figures come about.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest

from monitor.runtime.printable import printable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def label_text(names: Iterable[str], values: Iterable[str]) -> str:
    """Label pairs as in the text format, without braces: ``machine="fan",axis="x"``.

    Any value gives a page that can be read: of what the format does not escape itself, control characters and half
    surrogate pairs are shown as escapes. The border should have refused them.
    """
    return ",".join(f'{name}="{_label_value(value)}"' for name, value in zip(names, values, strict=True))


def _label_value(value: str) -> str:
    if not value.isprintable():
        value = "\n".join(map(printable, value.split("\n")))
    return value.translate(_ESCAPES)


def number(value: float) -> str:
    """A value as in the text format."""
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return f"{value:.15g}"


@dataclass
class MetricsPage:
    """A page being written."""

    lines: list[str] = field(default_factory=list)
    """Finished lines."""

    def family(self, name: str, kind: str, text: str, samples: Iterable[tuple[str, float]]) -> None:
        """Add a family; ``samples`` are pairs of label text (see :func:`label_text`) and value. None: not shown."""
        rows = [f"{name}{{{labels}}} {number(v)}" if labels else f"{name} {number(v)}" for labels, v in samples]
        if rows:
            self.lines += (*_head(name, kind, text), *rows)

    def histogram(self, name: str, text: str, parts: Iterable[tuple[str, list[tuple[str, int]], float]]) -> None:
        """Add a histogram family; ``parts`` are label text, cumulative buckets, sum."""
        self.lines += _head(name, "histogram", text)
        for labels, buckets, total in parts:
            comma = "," if labels else ""
            self.lines += (f'{name}_bucket{{{labels}{comma}le="{bound}"}} {count}' for bound, count in buckets)
            braces = f"{{{labels}}}" if labels else ""
            self.lines += (f"{name}_sum{braces} {number(total)}", f"{name}_count{braces} {buckets[-1][1]}")

    def text(self) -> bytes:
        """The whole page."""
        # What cannot be encoded must not cost the page.
        return ("\n".join(self.lines) + "\n").encode(errors="backslashreplace")


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    """The two lines before a family's samples."""
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {escaped}", f"# TYPE {name} {kind}"


def process_registry() -> CollectorRegistry:
    """A registry with prometheus-client's metrics of the process and of Python."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def process_metrics(registry: CollectorRegistry) -> bytes:
    """The metrics of the process, as text."""
    return generate_latest(registry)
