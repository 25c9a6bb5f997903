"""What a calibration says of its forecast."""

from dataclasses import replace

import pytest

from tests.support.channels.healthy import healthy_calibration

FORESEEN = "of the healthy signal foreseen"


@pytest.mark.parametrize(
    ("trust", "linear_trust", "network", "text"),
    [
        (0.02, 0.01, True, f"2 % {FORESEEN}: noise to network and linear model alike, limits rest on its spectrum"),
        (0.96, 0.4, True, f"96 % {FORESEEN}, 40 % without the network"),
        (0.61, 0.61, False, f"61 % {FORESEEN}, the network adds nothing"),
    ],
)
def test_what_is_foreseen_is_said(trust: float, linear_trust: float, network: bool, text: str) -> None:
    made = healthy_calibration(400)
    assert made.head.uses_network
    summary = made.head.summary.copy()
    summary[made.head.past.size :] = 0.0
    head = made.head if network else replace(made.head, summary=summary)
    assert replace(made, head=head, trust=trust, linear_trust=linear_trust).foresight == text
