"""Stop texts in a stream."""

import random

import pytest

from plugtron.engine.stopping import StopMatcher


def feed(stops, pieces, active=True):
    matcher, shown = StopMatcher(stops), ""
    for piece in pieces:
        text, stop = matcher.feed(piece, active=active)
        shown += text
        if stop is not None:
            return shown, stop
    return shown + matcher.flush(), None


@pytest.mark.parametrize(
    ("stops", "text", "expected"),
    [
        (["END"], "one END two", ("one ", "END")),
        (["END"], "one EN", ("one EN", None)),
        (["aab"], "aaab", ("a", "aab")),
        (["ab", "abc"], "xabc", None),
        (["b", "ab"], "xab", ("x", "ab")),
        (["é!"], "café!", ("caf", "é!")),
        ([], "text", ("text", None)),
    ],
)
def test_whatever_the_pieces(stops, text, expected):
    generator = random.Random(0)
    results = set()
    for _ in range(50):
        cuts = sorted(generator.sample(range(len(text) + 1), generator.randint(0, len(text))))
        pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        shown, stop = feed(stops, pieces)
        results.add((shown, stop))
        assert not any(met in shown for met in stops)
    # Of two stops that begin together, the one that is complete first ends the text; what is shown is the same.
    assert {shown for shown, _ in results} == {text[:1] if expected is None else expected[0]}
    if expected is not None:
        assert results == {expected}


def test_nothing_is_shown_before_it_is_certain():
    matcher = StopMatcher(["STOP"])
    assert [matcher.feed(piece, active=True)[0] for piece in ["a S", "T", "O", "x"]] == ["a ", "", "", "STOx"]


def test_inactive_lets_everything_through():
    assert feed(["END"], ["one E", "ND two"], active=False) == ("one END two", None)
