import pytest

from monitor.core.topics import TopicPattern


def test_named_levels_become_labels() -> None:
    pattern = TopicPattern.parse("plant/{machine}/+/{axis}/acceleration")
    assert pattern.subscription == "plant/+/+/+/acceleration"
    assert pattern.match("plant/fan-1/any/x/acceleration") == {"machine": "fan-1", "axis": "x"}
    assert pattern.match("plant/fan-1/x/acceleration") is None
    assert pattern.match("plant/fan-1/any/x/acceleration/more") is None
    assert TopicPattern.parse("a.c/{m}").match("abc/1") is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        ("plant/#", "'#' is not supported"),
        ("plant/a+", "use a whole level"),
        ("plant/{a}/{a}", "occurs twice"),
        ("plant/{1a}", "not a label name"),
        ("plant/{reason}", "used by the metrics"),
        ("plant/x{a}", "takes the whole level"),
    ],
)
def test_bad_patterns_are_refused(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        TopicPattern.parse(text)
