"""Pauses in a stream: lost samples or a stalled connection, by the messages that follow."""

import pytest

from monitor.core.messages.order.continuity import Arrival, Piece, Verdict
from monitor.core.messages.order.silence import CATCH_UP_S, Silence


def pieces(count: int, period_s: float) -> list[Piece[int]]:
    """Messages of 100 samples at 1 kHz."""
    return [Piece(number, 100, None, None, 50.0 + number * period_s, 800) for number in range(count)]


def judged(messages: list[Piece[int]], open_samples: int) -> list[Verdict[int]]:
    """Take messages until there are decisions, and return them."""
    silence: Silence[int] = Silence(1000.0)
    verdicts = silence.begin(messages[0], open_samples)
    for piece in messages[1:]:
        if not verdicts:
            assert silence.keeps
            verdicts = silence.overdue(piece.arrived_s) or silence.take(piece)
    verdicts = verdicts or silence.overdue(messages[-1].arrived_s + 2 * CATCH_UP_S)
    assert (silence.keeps, silence.kept_bytes) == (False, 0)
    return verdicts


def test_messages_at_their_own_pace_follow_a_hole() -> None:
    verdicts = judged(pieces(20, 0.1), 3000)
    assert verdicts[0].arrival is Arrival.MISSING
    assert verdicts[0].missing_samples == 3000
    assert {verdict.arrival for verdict in verdicts[1:]} == {Arrival.CONTIGUOUS}
    assert [verdict.piece.item for verdict in verdicts] == list(range(len(verdicts)))


@pytest.mark.parametrize("period_s", [0.0, 0.01])
def test_what_comes_all_at_once_fills_the_silence(period_s: float) -> None:
    verdicts = judged(pieces(40, period_s), 3000)
    assert {verdict.arrival for verdict in verdicts} == {Arrival.CAUGHT_UP, Arrival.CONTIGUOUS}
    assert verdicts[0].arrival is Arrival.CAUGHT_UP


def test_one_message_after_a_silence_is_judged_when_nothing_follows() -> None:
    (verdict,) = judged(pieces(1, 0.0), 500)
    assert (verdict.arrival, verdict.missing_samples) == (Arrival.MISSING, 500)


def test_without_memory_a_silence_is_a_hole() -> None:
    silence: Silence[int] = Silence(1000.0)
    (verdict,) = silence.begin(pieces(1, 0.0)[0], 500, may_keep=False)
    assert verdict.arrival is Arrival.MISSING
