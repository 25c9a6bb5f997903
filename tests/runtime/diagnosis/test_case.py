"""What several looks name together."""

import pytest

from monitor.core.diagnosis.diagnose import Diagnosis
from monitor.core.diagnosis.figures import Figures
from monitor.core.diagnosis.naming import Finding
from monitor.runtime.diagnosis.case import LAST_LOOKS, Case
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


def test_one_look_counts_as_it_is() -> None:
    [one] = case_of(seen(finding())).named()
    assert (one.fault, one.p_value) == ("outer race", 1e-9)


def test_looks_that_agree_count_with_twice_their_median() -> None:
    values = [1e-9, 1e-5, 1e-7, 1e-6]
    [one] = case_of(*(seen(finding(p_value=value)) for value in values)).named()
    assert one.p_value == pytest.approx(2 * 1e-7)


def test_a_name_that_fewer_than_half_of_the_looks_give_is_none() -> None:
    case = case_of(seen(), seen(), seen(finding("ball")))
    assert case.named() == []
    assert case.reason is not None
    assert case.reason.startswith("the looks at it do not agree")
    assert in_words(case) == ""


def test_a_look_that_names_nothing_counts_against_the_name() -> None:
    [one] = case_of(seen(finding(p_value=1e-9)), seen()).named()
    assert one.p_value == pytest.approx(2e-9), "Bonferroni's bound for the better of two"
    [one] = case_of(seen(finding(p_value=1e-9)), seen(), seen(finding(p_value=1e-5))).named()
    assert one.p_value == pytest.approx(1.5e-5)


def test_a_fault_that_changes_has_its_new_name_after_half_of_the_last_looks() -> None:
    looks = [seen(finding("outer race"))] * 20 + [seen(finding("ball"))] * (LAST_LOOKS - 1)
    assert [one.fault for one in case_of(*looks).named()] == ["ball"]


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
            "p_value": pytest.approx(2e-9),
            "named_looks": 2,
        }
    ]
    assert document["reason"] is None
    assert in_words(case) == "outer race, de: 89.3 Hz = 3.600 x shaft, 5 harmonics, p 2e-09"
