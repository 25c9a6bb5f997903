"""Every query of every dashboard, as Grafana would send it, for whoever has a Prometheus to ask."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.programs import ROOT

FOLDER = ROOT / "config" / "grafana" / "dashboards"
EVERYTHING = {
    "instance": ".*", "machine": ".*", "sensor": ".*", "axis": ".*", "__rate_interval": "1m", "__range": "1h",
}  # fmt: skip
"""What the variables stand for when everything is chosen; ``__rate_interval`` suits scrapes up to 15 s apart."""


@dataclass(frozen=True)
class Query:
    """One query of a dashboard."""

    where: str
    """Dashboard, panel and legend."""
    expression: str
    """PromQL without variables."""
    may_be_empty: bool
    """Whether the panel says that it may have no data."""


def dashboards(folder: Path = FOLDER) -> dict[str, Any]:
    """The dashboards by name."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}


def substitute(text: str, variables: Mapping[str, str]) -> str:
    """``text`` with ``$name`` and ``${name}`` replaced; an unknown variable is a KeyError."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: variables[found[1] or found[2]], text)


def queries(variables: Mapping[str, str] = EVERYTHING, folder: Path = FOLDER) -> Iterator[Query]:
    """The queries of panels, annotations and variables (as a count of the values they offer)."""
    for name, dashboard in dashboards(folder).items():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                where = f"{name} / {panel['title']} / {target['legendFormat']}"
                yield Query(where, substitute(target["expr"], variables), "Empty " in panel["description"])
        for annotation in dashboard["annotations"]["list"]:
            yield Query(f"{name} / annotation", substitute(annotation["expr"], variables), may_be_empty=False)
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
                assert found, variable["definition"]
                expression = f"count by ({found[2]}) ({substitute(found[1], variables)})"
                yield Query(f"{name} / variable {variable['name']}", expression, may_be_empty=False)
