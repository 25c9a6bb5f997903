import pytest

from monitor.errors import ConfigurationError
from monitor.runtime.baselines.changes import Wish, chosen

PLANT = {name: {"machine": name.partition("/")[0]} for name in ("fan-1/de/x", "fan-1/nde/x", "fan-2/de/y", "pump/de/x")}


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["fan-*/de/*"], ["fan-1/de/x", "fan-2/de/y"]),
        (["fan-1*"], ["fan-1/de/x", "fan-1/nde/x"]),
        (["*"], list(PLANT)),
        (["pump/de/x", "*/nde/*", "pump*"], ["pump/de/x", "fan-1/nde/x"]),
        (["fan-[12]/de/?"], ["fan-1/de/x", "fan-2/de/y"]),
    ],
)
def test_patterns_choose_channels(patterns: list[str], names: list[str]) -> None:
    assert sorted(chosen(PLANT, patterns)) == sorted(names)


def test_a_pattern_that_fits_nothing_is_a_mistake_even_beside_one_that_does() -> None:
    with pytest.raises(ConfigurationError) as error:
        chosen(PLANT, ["pump/*", "FAN-1/*"])
    assert str(error.value) == (
        "no channel fits 'FAN-1/*': there are fan-1/de/x, fan-1/nde/x, fan-2/de/y, pump/de/x; write for example "
        "'fan-*/de/*'"
    )
    many: dict[str, dict[str, str]] = {f"m{number:03}/x": {} for number in range(300)}
    with pytest.raises(ConfigurationError, match="there are m000/x, m001/x, m002/x, m003/x, m004/x and 295 more;"):
        chosen(many, ["fan"])
    with pytest.raises(ConfigurationError, match="there is no channel yet"):
        chosen({}, ["*"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channels": []}, "channels: Tuple should have at least 1 item after validation, not 0"),
        ({"by": " "}, "by: it must be one line of printable text, and not empty"),
        ({"reason": "a\nforged log line"}, "reason: it must be one line of printable text, and not empty"),
        ({"reason": "x" * 501}, "reason: String should have at most 500 characters"),
        ({"channels": ["x" * 301]}, "channels.0: String should have at most 300 characters"),
        ({"to": 0}, "to: Input should be greater than or equal to 1"),
        ({"until": 3}, "until: Extra inputs are not permitted"),
    ],
)
def test_a_wish_is_checked(values: dict[str, object], message: str) -> None:
    good: dict[str, object] = {"channels": ["*"], "by": "anna", "reason": "new bearing"}
    with pytest.raises(ConfigurationError) as error:
        Wish.checked(**{**good, **values})
    assert str(error.value).startswith(message)
    assert Wish.checked(**{**good, "by": " anna "}).by == "anna"
