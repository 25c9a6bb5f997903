"""The dashboards: what the script writes, complete, and made of metrics that exist."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.dashboard_queries import FOLDER, dashboards, queries
from tests.support.programs import ROOT

GRAFANA = ROOT / "config" / "grafana"
PAGE = ROOT / "tests" / "golden" / "metrics.txt"
PANELS = [(name, panel) for name, content in dashboards().items() for panel in content["panels"]]
NAMES = re.compile(r"\b(?:vibration|process)_[a-z_]+\b")


def test_the_committed_files_are_what_the_script_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-B", str(GRAFANA / "generate.py"), str(tmp_path)], check=True, timeout=60)
    written = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    assert written == {file.name: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.json")}
    assert set(written) == {"fleet.json", "machine.json", "service.json"}


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=[f"{name}-{panel['title']}" for name, panel in PANELS])
def test_every_panel_has_unit_description_queries_and_the_chosen_data_source(name: str, panel: dict[str, Any]) -> None:
    assert name
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert len(panel["description"]) > 20
    assert panel["description"].endswith(".")
    assert panel["targets"]
    for part in (panel, *panel["targets"]):
        assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for target in panel["targets"]:
        assert target["legendFormat"]
        assert "$instance" in target["expr"]


@pytest.mark.parametrize("name", dashboards())
def test_panels_do_not_overlap_and_have_numbers_of_their_own(name: str) -> None:
    panels = dashboards()[name]["panels"]
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        own = {(at["x"] + i, at["y"] + k) for i in range(at["w"]) for k in range(at["h"])}
        assert not own & cells, panel["title"]
        assert max(x for x, _ in own) < 24
        cells |= own
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_variables_and_annotations() -> None:
    names = {
        name: [variable["name"] for variable in content["templating"]["list"]] for name, content in dashboards().items()
    }
    channel = ["datasource", "instance", "machine", "sensor", "axis"]
    assert names == {"fleet": channel, "machine": channel, "service": ["datasource", "instance"]}
    for name in ("fleet", "machine"):
        alarms, baselines = dashboards()[name]["annotations"]["list"]
        assert "vibration_alarm_state" in alarms["expr"]
        assert baselines["expr"].startswith("(vibration_baseline_changed_timestamp_seconds{")
        assert "} or ignoring (change) vibration_calibration_timestamp_seconds{" in baselines["expr"]
        assert baselines["expr"].endswith("}) * 1000")
        assert "{{change}}" in baselines["textFormat"]
        assert baselines["useValueForTime"]


def test_links_lead_to_a_dashboard_that_exists() -> None:
    known = {content["uid"] for content in dashboards().values()}
    links = [link for _, panel in PANELS for link in panel["fieldConfig"]["defaults"]["links"]]
    assert links
    assert {link["url"].split("/d/")[1].split("?")[0] for link in links} <= known


def test_queries_and_rules_use_metrics_of_the_page_only() -> None:
    exported = {line.split("{")[0].split(" ")[0] for line in PAGE.read_text().splitlines() if not line.startswith("#")}
    rules = yaml.safe_load((ROOT / "config" / "prometheus" / "vibration.rules.yml").read_text(encoding="utf-8"))
    texts = [query.expression for query in queries()]
    for group in rules["groups"]:
        for rule in group["rules"]:
            texts += [rule["expr"], *rule.get("annotations", {}).values()]
    recorded = re.compile(r"\b(?:channel|instance):\w+:\w+")
    used = {name for text in texts for name in NAMES.findall(recorded.sub("", text))}
    assert used - exported == set()


def test_provisioning_files_name_folder_and_data_source() -> None:
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "vibration.yaml").read_text())
    assert provider["providers"][0]["options"]["path"] == "/var/lib/grafana/dashboards/vibration"
    source = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "vibration.yaml").read_text())
    assert source["datasources"][0]["type"] == "prometheus"
