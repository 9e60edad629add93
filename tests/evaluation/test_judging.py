"""Scores are counted as the card says; asking itself is tested with the embedded model in `tests/test_tiny.py`."""

from vipcli.evaluation.scenes import Item, judge, table


def test_an_answer_is_right_when_it_is_the_things_name_and_nothing_else():
    assert Item("one", "box", "a cat", "a cat").right
    for answer in ("a dog", "cat", "a cat and a dog", "A cat.", ""):
        assert not Item("one", "box", "a cat", answer).right


def test_scores_are_counted_by_group_and_by_kind():
    asked = [
        Item("one", "box", "a cat", "a cat"),
        Item("one", "arrow", "a cat", "a dog"),
        Item("moved", "box", "a cat", "a cat"),
        Item("two", "box", "a cat", "a dog"),
        Item("three", "mask", "a cat", "a cat"),
    ]
    scores = judge(asked)
    assert (scores["one marker"].right, scores["one marker"].asked) == (1, 2)
    assert scores["one marker: box"].share == 1
    assert scores["one marker: arrow"].share == 0
    assert scores["one marker: mask"].asked == 0
    assert scores["two or three markers"].share == 0.5
    assert "| marker moved | 100.0 % | 1 |" in table(scores)
