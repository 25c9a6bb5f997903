"""The rules: accepted by promtool, each alert shown to fire, not to fire and to resolve, complete in its texts."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from monitor.runtime.web.runbook import runbook_html
from tests.support.programs import ROOT, program

FOLDER = ROOT / "config" / "prometheus"
TEST_FILES = sorted(FOLDER.glob("*.test.yml"))


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    return [rule for group in read("vibration.rules.yml")["groups"] for rule in group["rules"]]


ALERTS = [rule for rule in rules() if "alert" in rule]
NAMES = sorted({rule["alert"] for rule in ALERTS})


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("promtool"), *arguments], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=120
    )


def test_promtool_accepts_rules_and_configuration() -> None:
    for arguments in (("check", "rules", "vibration.rules.yml"), ("check", "config", "prometheus.yml")):
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", [file.name for file in TEST_FILES])
def test_promtool_runs_the_cases(name: str) -> None:
    done = promtool("test", "rules", name)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", NAMES)
def test_each_alert_has_cases_that_fire_that_do_not_and_that_resolve(alert: str) -> None:
    cases = [
        [bool(case["exp_alerts"]) for case in story.get("alert_rule_test", []) if case["alertname"] == alert]
        for file in TEST_FILES
        for story in read(file.name)["tests"]
    ]
    cases = [case for case in cases if case]
    assert any(fires for case in cases for fires in case), "never fires"
    assert any(not case[-1] and any(case) for case in cases), "does not resolve"
    if alert != "VibrationCertificateExpiring":  # its case of not firing is a certificate among others
        assert any(not case[0] and any(case) for case in cases), "no moment before it fires"


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_each_alert_says_what_and_where(rule: dict[str, Any]) -> None:
    assert set(rule["labels"]) == {"severity", "scope"}
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["labels"]["scope"] in {"channel", "service"}
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url", "dashboard"}
    assert annotations["runbook_url"].endswith(f"/runbook#runbook-{rule['alert'].lower()}")
    for link in (annotations["runbook_url"], annotations["dashboard"]):
        assert re.match(
            r".*\bvibration_http_info\{.*\| label \"url\" \}\}.*http://127\.0\.0\.1:9108\{\{ end \}\}/", link
        )
    assert not re.search("gap_|_", re.sub(r"\{\{.*?\}\}", "", annotations["summary"] + annotations["description"]))
    assert re.search(r"\$value|\| value", annotations["summary"]) or "up{" in rule["expr"], "no figure in the summary"
    assert re.search(r"\$labels\.(machine|instance)", annotations["summary"])
    assert "/#/" in annotations["dashboard"]


def test_the_runbook_has_an_entry_for_each_alert_and_no_other() -> None:
    html = runbook_html()
    assert sorted(re.findall(r'<h2 id="runbook-(\w+)"', html)) == [name.lower() for name in NAMES]
    for entry in html.split("<h2 ")[1:]:
        assert all(f"<strong>{part}:</strong>" in entry for part in ("Means", "Look at", "Do")), entry
    assert set(re.findall(r'href="#([^"]*)"', html)) <= set(re.findall(r'id="([^"]*)"', html))
    assert "<strong>" in html
    assert "**" not in html


def test_anomaly_alerts_wait_and_are_kept() -> None:
    for rule in ALERTS:
        if rule["alert"].startswith("VibrationAnomaly"):
            assert rule["for"]
            assert rule["keep_firing_for"]


def test_the_scrape_job_is_the_one_that_the_rules_name() -> None:
    jobs = {job["job_name"] for job in read("prometheus.yml")["scrape_configs"]}
    named = set(re.findall(r'job="([^"]*)"', (FOLDER / "vibration.rules.yml").read_text(encoding="utf-8")))
    assert named == jobs
    assert read("prometheus.yml")["rule_files"] == ["vibration.rules.yml"]
