import pytest

from monitor.core.messages.topics import TopicPattern, covers


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


@pytest.mark.parametrize(
    ("one", "other", "topic"),
    [
        ("plant/{machine}/x", "plant/fan/{axis}", "plant/fan/x"),
        ("{a}/+", "+/{b}", "a/b"),
        ("plant/{machine}/x", "plant/{machine}/y", None),
        ("plant/{machine}", "plant/{machine}/x", None),
        ("plant//x", "plant/{machine}/x", None),
        ("plant//x", "plant//{axis}", "plant//x"),
    ],
)
def test_a_topic_of_two_patterns(one: str, other: str, topic: str | None) -> None:
    first, second = TopicPattern.parse(one), TopicPattern.parse(other)
    assert first.shared_topic(second) == topic
    assert (second.shared_topic(first) is None) == (topic is None)
    if topic is not None:
        assert first.match(topic) is not None
        assert second.match(topic) is not None


@pytest.mark.parametrize(
    ("wide", "narrow", "answer"),
    [("a/+", "a/b", True), ("a/+", "+/b", False), ("+/+", "+/b", True), ("a/+", "a/b/c", False), ("a/b", "a/b", True)],
)
def test_filters_that_cover_others(wide: str, narrow: str, answer: bool) -> None:
    assert covers(wide, narrow) is answer
