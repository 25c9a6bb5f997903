"""What a calibration says of its forecast."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.healthy import healthy_calibration


@pytest.mark.parametrize(
    ("trust", "linear_trust", "network", "text"),
    [
        (0.02, 0.01, True, "2% of the signal foreseen: noise to any forecast, limits rest on its spectrum"),
        (0.96, 0.4, True, "96% of the signal foreseen, 40% without the network"),
        (0.61, 0.61, False, "61% of the signal foreseen, the network adds nothing"),
    ],
)
def test_what_is_foreseen_is_said(trust: float, linear_trust: float, network: bool, text: str) -> None:
    made = healthy_calibration(400)
    assert made.head.uses_network
    head = made.head if network else replace(made.head, present=np.zeros_like(made.head.present))
    assert replace(made, head=head, trust=trust, linear_trust=linear_trust).foresight == text
