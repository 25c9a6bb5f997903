"""What several looks name together."""

import numpy as np

from monitor.core.diagnosis.diagnose import Diagnosis
from monitor.core.diagnosis.figures import Figures
from monitor.core.diagnosis.naming import Finding
from monitor.core.diagnosis.together import Together
from monitor.runtime.diagnosis.case import Case
from monitor.runtime.diagnosis.documents import in_words, summary
from monitor.runtime.diagnosis.messages import Seen


def finding(fault: str = "outer race", p_value: float = 1e-9, depth: float = 0.6) -> Finding:
    return Finding(fault, "de", 89.3, 3.6, 5, p_value, depth)


def seen(*findings: Finding, reason: str = "no order of a bearing stands out") -> Seen:
    diagnosis = Diagnosis("fan", Figures(1.0, 4.0, 3.0, 8.0), "m/s²", list(findings))
    diagnosis.reasons = [] if findings else [reason]
    diagnosis.depths = {("outer race", "de"): 0.6}
    return Seen(diagnosis, None, None, None)


def case_of(*looks: Seen) -> Case:
    case = Case("fan", 0.0, alarmed=True)
    for number, look in enumerate(looks):
        case.add(look, float(number), with_healthy=False)
    return case


def test_what_the_last_look_names_is_named_since_all_looks_are_in_it() -> None:
    case = case_of(seen(), seen(finding("ball", 1e-7), finding("outer race", 1e-9)))
    assert [(one.fault, one.p_value) for one in case.named()] == [("ball", 1e-7), ("outer race", 1e-9)]
    case.add(seen(reason="too short"), 9.0, with_healthy=False)
    assert case.named() == []
    assert case.reason == "too short"
    assert in_words(case) == ""


def test_what_the_looks_show_together_is_kept_for_the_next_one_only_once() -> None:
    together = Together(3, 30, 75.0, ((0.0, 1000.0),), 1, np.zeros((1, 9), "f2"), np.zeros((1, 9), "f2"), None)
    look = seen(finding())
    look.diagnosis.together = together
    case = case_of(seen(), look)
    assert case.together is together
    assert look.diagnosis.together is None


def test_the_summary_is_what_users_rely_on() -> None:
    case = case_of(seen(finding()), seen(finding()))
    document = summary(case)
    assert document["looks"] == 2
    assert document["faults"] == [
        {
            "fault": "outer race",
            "part": "de",
            "frequency_hz": 89.3,
            "order": 3.6,
            "harmonics": 5,
            "p_value": 1e-9,
            "named_looks": 2,
        }
    ]
    assert document["reason"] is None
    assert in_words(case) == "outer race, de: 89.3 Hz = 3.600 x shaft, 5 harmonics, p 1e-09"
