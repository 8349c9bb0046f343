"""Stop strings, wherever the borders between pieces fall."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmpy.session.stop import StopStrings


def run(text: str, stops: list[str], cuts: list[int]) -> tuple[str, bool]:
    """Feed `text` in parts; what is shown until the stop, and whether one was found."""
    stop = StopStrings(stops)
    shown, last = "", 0
    for cut in [*sorted({min(c, len(text)) for c in cuts}), len(text)]:
        shown += stop.add(text[last:cut])
        last = cut
        if stop.found:
            return shown, True
    return shown + stop.rest(), False


def test_without_stop_strings_text_passes_at_once() -> None:
    assert StopStrings(()).add("hello") == "hello"


def test_a_possible_beginning_is_held_back() -> None:
    stop = StopStrings(["END"])
    assert stop.add("the E") == "the "
    assert stop.add("x") == "Ex"


def test_a_single_string_is_one_stop_string() -> None:
    assert run("abc", ["bc"], []) == ("a", True)
    stop = StopStrings("bc")
    assert stop.add("abc") == "a"


@pytest.mark.parametrize("bad", [[""], [3], ["ok", ""]])
def test_unusable_stop_strings_are_refused(bad: list[str]) -> None:
    with pytest.raises(ValueError, match="stop: expected non-empty strings"):
        StopStrings(bad)


@given(
    st.text("ab\n", max_size=30),
    st.lists(st.text("ab\n", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(0, 30), max_size=8),
)
def test_the_borders_between_pieces_do_not_matter(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    whole = min((i for i in map(text.find, stops) if i >= 0), default=-1)
    shown, found = run(text, stops, cuts)
    assert found == (whole >= 0)
    if not found:
        assert shown == text
    else:
        # in pieces, a stop string that is complete earlier wins over a longer one begun before it
        assert text.startswith(shown)
        assert any(text[len(shown) :].startswith(s) for s in stops)
        assert not any(s in shown for s in stops)
