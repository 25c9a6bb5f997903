"""Documents that sensors could send, and those that they never should, in every encoding.

Hypothesis builds values (:func:`documents`, :func:`packs`), the encoders beside this file write them, and
:func:`damaged` cuts and flips what they wrote.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.faults.messages.hostile_encoders import Pairs, Tag, Written

AXES = {1: ("",), 3: ("x", "y", "z")}
"""Configured axes of the sensors that the documents are sent to, by their number."""

HOSTILE_NAMES = (
    *("", "x\n2026-01-01 ERROR forged: line", "\x1b[2J", "half \ud800 a pair", "\x00", "\u2028", "turned \u202e"),
    *("x" * 65, "x" * 10_000, "{", '"', "},{", "samples", "x"),
)

HUGE = (10**400, -(10**400), 2**63, 2**64, -(2**63) - 1, 2**31, 10**19, 1.7e18, 1e308, -1e308, 5e-324, 1.7e12, 4.2e9)


SANE = st.one_of(st.integers(-100, 100), st.integers(-(2**31), 2**31), st.floats(-1000, 1000))
NUMBERS = st.one_of(SANE, st.floats(), st.sampled_from(HUGE))
NAMES = st.one_of(st.sampled_from(["x", "y", "z"]), st.sampled_from(HOSTILE_NAMES), st.text(max_size=8))
SCALARS = st.one_of(
    NUMBERS,
    st.booleans(),
    st.none(),
    NAMES,
    st.binary(max_size=8),
    st.sampled_from(
        [
            Written("1e999", b"\xf9\x7c\x00"),
            Written("01", b"\x1c"),
            Written("NaN", b"\xf7"),
            Written("-", b"\xff"),
            Written("[" * 2000, b"\x81" * 2000),
            Written("]", b"\x9b" + b"\xff" * 8),
            Written("1," * 300 + "1", b"\xd8\x1d\x00"),
            Written('"\\ud800"', b"\xdd\xff\xff\xff\xff"),
        ]
    ),
)
TAGS = st.sampled_from([0, 1, 2, 3, 4, 5, 24, 25, 28, 29, 30, 35, 37, 64, 85, 100, 256, 258, 260, 55799, 2**63])
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(st.tuples(st.one_of(NAMES, SCALARS), inner), max_size=4).map(lambda pairs: Pairs(tuple(pairs))),
        st.builds(Tag, TAGS, inner),
    ),
    max_leaves=6,
)


def mostly(good: st.SearchStrategy[Any], other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What is good four times out of five."""
    return st.integers(0, 4).flatmap(lambda draw: good if draw else other)


@st.composite
def columns(draw: st.DrawFn) -> object:
    """A list of numbers, often all alike; sometimes one is something else."""
    values: list[object] = draw(
        st.one_of(st.lists(st.floats(-10, 10), min_size=1, max_size=30), st.lists(SANE, min_size=1, max_size=30))
    )
    if draw(st.integers(0, 3)) == 0:
        values.insert(draw(st.integers(0, len(values))), draw(ANYTHING))
    return values


@st.composite
def tables(draw: st.DrawFn) -> object:
    """Rows of three, mostly; sometimes one is something else."""
    rows: list[object] = draw(st.lists(st.lists(SANE, min_size=3, max_size=3), min_size=1, max_size=10))
    if draw(st.integers(0, 2)) == 0:
        rows.insert(draw(st.integers(0, len(rows))), draw(st.one_of(ANYTHING, st.lists(NUMBERS, max_size=5))))
    return rows


@st.composite
def named(draw: st.DrawFn) -> object:
    """An object of axes."""
    length = draw(mostly(st.integers(1, 5), st.just(0)))
    good = st.lists(SANE, min_size=length, max_size=length)
    names: Sequence[object] = draw(mostly(st.just(["x", "y", "z"]), st.lists(mostly(NAMES, SCALARS), max_size=5)))
    return Pairs(tuple((name, draw(mostly(good, columns()))) for name in names))


SAMPLES = mostly(st.one_of(columns(), tables(), named()), ANYTHING)
TIMES = mostly(st.one_of(st.just(0), st.floats(0, 4e9)), st.sampled_from([1.7e9, 1.7e12, 1.7e18, -1, 2**28]))


@st.composite
def documents(draw: st.DrawFn) -> object:
    """A document: right, nearly right, or anything."""
    if draw(st.integers(0, 5)) == 0:
        return draw(SAMPLES)
    pairs: list[tuple[object, object]] = [("samples", draw(SAMPLES))]
    for key, good in (("t", TIMES), ("seq", st.integers(0, 2**63 - 1)), ("fs", st.just(1000))):
        if draw(st.booleans()):
            pairs.append((key, draw(mostly(good, ANYTHING))))
    if draw(st.integers(0, 2)) == 0:
        pairs.insert(draw(st.integers(0, len(pairs))), (draw(mostly(NAMES, ANYTHING)), draw(ANYTHING)))
    return Pairs(tuple(pairs))


@st.composite
def packs(draw: st.DrawFn) -> object:
    """A SenML pack: right, nearly right, or anything."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        "n": NAMES,
        "v": SANE,
        "t": TIMES,
        "bn": NAMES,
        "bt": TIMES,
        "bv": SANE,
        "vs": NAMES,
    }
    records: list[object] = []
    for _ in range(draw(st.integers(1, 6))):
        keys = draw(mostly(st.just(["n", "v"]), st.lists(st.sampled_from(sorted(fields)), max_size=5)))
        records.append(Pairs(tuple((key, draw(mostly(fields[key], ANYTHING))) for key in keys)))
    if draw(st.integers(0, 5)) == 0:
        records.insert(0, draw(ANYTHING))
    return records


@dataclass(frozen=True)
class Damage:
    """One thing that happens to a message on its way."""

    kind: str
    place: float
    value: int


DAMAGES = st.builds(Damage, st.sampled_from(["cut", "flip", "insert", "twice"]), st.floats(0, 1), st.integers(0, 255))


def damaged(payload: bytes, damage: Damage) -> bytes:
    """The message cut off, with a bit flipped, a byte more, or a part repeated."""
    at = min(int(damage.place * len(payload)), len(payload) - 1)
    if at < 0:
        return payload
    if damage.kind == "cut":
        return payload[:at]
    if damage.kind == "flip":
        return payload[:at] + bytes([payload[at] ^ 1 << damage.value % 8]) + payload[at + 1 :]
    if damage.kind == "insert":
        return payload[:at] + bytes([damage.value]) + payload[at:]
    return payload[:at] + payload[at // 2 :]
