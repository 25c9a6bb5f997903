# ruff: noqa: INP001 - scripts beside their output, not a package
"""Writes the Grafana dashboards: Fleet (which machine?), Machine (how is it?), Service (is the monitor healthy?).

``fleet.py``, ``machine.py`` and ``service.py`` define their content; this script adds the JSON around it that Grafana
needs. The committed JSON is exactly its output: ``python config/grafana/generate.py [FOLDER]``.
"""

import json
import sys
from pathlib import Path
from typing import Any

import fleet
import machine
import service
from panel import Dashboard, Panel, Variable
from queries import ALARMS, BASELINE_AT_MS, CHANNELS

DASHBOARDS = {"fleet": fleet.DASHBOARD, "machine": machine.DASHBOARD, "service": service.DASHBOARD}

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    },
    "bargauge": {
        "displayMode": "basic",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    },
    "state-timeline": {
        "mergeValues": True,
        "showValue": "never",
        "rowHeight": 0.9,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single"},
    },
}


def variable_json(variable: Variable) -> dict[str, Any]:
    """A selector for the values of a label."""
    query = f"label_values({variable.series}, {variable.label})"
    return {
        "name": variable.label,
        "label": variable.label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": variable.label},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": variable.every,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def panel_json(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """The panel at column ``x``, row ``y``."""
    instant = panel.kind in {"stat", "bargauge"}
    low, high = panel.limits
    steps = [{"color": "green", "value": None}, *({"color": c, "value": v} for v, c in panel.steps.items())]
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": low,
        "max": high,
        "mappings": panel.mappings,
        "links": panel.links,
        "thresholds": {"mode": "absolute", "steps": steps},
        "color": {"mode": "thresholds" if instant or panel.mappings else "palette-classic"},
    }
    if panel.kind == "timeseries":
        style = {"mode": "line+area" if panel.steps else "off"}
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 5, "showPoints": "never", "thresholdsStyle": style}
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": DATASOURCE,
            "expr": query,
            "legendFormat": legend,
            "instant": instant,
            "range": not instant,
        }
        for index, (legend, query) in enumerate(panel.queries.items())
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": OPTIONS[panel.kind],
        "targets": targets,
    }


def annotations_json() -> list[dict[str, Any]]:
    """Marks on the time axis: while a channel is in alarm, and every change of its baseline."""
    shared = {"datasource": DATASOURCE, "enable": True, "step": "10s", "tagKeys": "machine,sensor,axis"}
    channel = "{{machine}}/{{sensor}}/{{axis}}"
    alarms = {"name": "Alarms", "iconColor": "red", "expr": ALARMS, "titleFormat": "Alarm", "textFormat": channel}
    baselines = {
        "name": "Baselines",
        "iconColor": "blue",
        "expr": BASELINE_AT_MS,
        "useValueForTime": True,  # the mark is at the instant that the value says
        "titleFormat": "Baseline changed",
        "textFormat": f"{channel} {{{{change}}}}",
    }
    return [shared | alarms, shared | baselines]


def dashboard_json(name: str, dashboard: Dashboard) -> dict[str, Any]:
    """A whole dashboard; panels flow from left to right and top to bottom."""
    placed: list[dict[str, Any]] = []
    x = y = row = 0
    for number, panel in enumerate(dashboard.panels, 1):
        if x + panel.width > 24:
            x, y, row = 0, y + row, 0
        placed.append(panel_json(panel, number, x, y))
        x, row = x + panel.width, max(row, panel.height)
    datasource = {
        "name": "datasource",
        "label": "data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
    }
    link = {"type": "dashboards", "tags": ["vibration"], "title": "Vibration", "keepTime": True, "includeVars": True}
    return {
        "uid": f"vibration-{name}",
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["vibration"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [link],
        "annotations": {"list": annotations_json() if dashboard.variables is CHANNELS else []},
        "templating": {"list": [datasource, *map(variable_json, dashboard.variables)]},
        "panels": placed,
    }


def main() -> None:
    """Write the dashboards into the folder given as argument, or into ``dashboards`` beside this file."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "dashboards"
    folder.mkdir(parents=True, exist_ok=True)
    for name, dashboard in DASHBOARDS.items():
        text = json.dumps(dashboard_json(name, dashboard), indent=1, ensure_ascii=False) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
