"""What the model may write: all labels, and nothing that cannot be read."""

from __future__ import annotations

import random

import numpy as np
import pytest

import llmpy
from llmpy.apps.dates.automaton import NOTHING, after, is_complete
from llmpy.apps.dates.language import TokenTable, output
from llmpy.apps.dates.parsing import _values
from llmpy.apps.dates.parsing import written as rewritten
from tests.dates import test_handmade as handmade

ALPHABET = "0123456789-X/[],.~?%;# abcdefghijklmnopqrstuvwxyz"


def is_output(text: str) -> bool:
    state = output()
    for character in text:
        state = after(state, character)
    return is_complete(state)


def written(edtf: str, fields: str) -> str:
    """A label as the model writes it."""
    said = dict(field.split("=") for field in fields.split("; ")) if fields else {}
    words = ",".join(said[name] for name in ("kind", "part", "calendar") if name in said)
    return edtf.replace(" ; ", ";") + ("#" + words if words else "")


def test_every_label_can_be_written() -> None:
    assert [row for row in handmade.rows() if not is_output(written(*row[1:]))] == []


@pytest.mark.parametrize(
    "text",
    ["1900-02-29", "-0000", "-0000-02-29", "-0100-02-29", "1939-04-31", "1939-13", "1939-25", "..",
     "/", "../..", "[1850]", "[1850", "1939;", "#born", "1939#", "1939#born,died", "1939#late,born",
     "1939#first", "19390", "193", "Y19390", "1939/1940/1941", "1939 ", "XXXX", "1X39"],
)  # fmt: skip
def test_nothing_else_can_be_written(text: str) -> None:
    assert not is_output(text)


@pytest.mark.parametrize(
    "text",
    ["", "0000", "2000-02-29", "0000-02-29", "-0004-02-29", "-0400-02-29~", "1914/", "/1918",
     "1066-21%", "[1850,1851]", "[1180..1190]", "1946#late/early,old style", "1848;1871#died"],
)  # fmt: skip
def test_this_can_be_written(text: str) -> None:
    assert is_output(text)


def test_every_state_leads_to_a_whole_output_and_there_are_few() -> None:
    following = {output(): set[object]()}
    new = [output()]
    while new:
        state = new.pop()
        for character in ALPHABET:
            if (found := after(state, character)) != NOTHING:
                following[state].add(found)
                if found not in following:
                    following[found] = set()
                    new.append(found)
    live = {state for state in following if is_complete(state)}
    while more := {s for s, found in following.items() if found & live} - live:
        live |= more
    assert live == following.keys()
    assert len(following) < 400


def test_whatever_is_written_at_random_can_be_read() -> None:
    chance = random.Random(0)
    for _ in range(2000):
        state, text = output(), ""
        while not (is_complete(state) and chance.random() < 0.3):
            character = chance.choice([c for c in ALPHABET if after(state, c) != NOTHING] or [""])
            if not character:
                break
            state, text = after(state, character), text + character
        values = text.partition("#")[0]
        assert [str(value) for value in _values(text)] == (values.split(";") if values else [])
        assert rewritten(_values(text)) == text


def test_fields_of_a_range_go_to_its_ends() -> None:
    (value,) = _values("192X/193X#late/early")
    assert (value.part, value.start.part, value.end.part) == ("late/early", "late", "early")
    (value,) = _values("11XX#flourished,late")
    assert (value.kind, value.part) == ("flourished", "late")
    assert [value.kind for value in _values("1848;1871#died")] == ["died", "died"]


def test_the_table_of_tokens_says_what_the_language_says(random_model: llmpy.Model) -> None:
    table = TokenTable(random_model.tokenizer, 2)
    assert {"0", "X", "#", " ", "or", "bor", "late", "q"} - set(table.texts) == {"q"}
    assert len(set(table.texts)) == len(table.texts)
    state = np.zeros(1, np.intp)
    for piece in ("1", "9", "4", "6", "#", "b", "or", "n"):
        column = table.texts.index(piece)
        (row,) = table.rows(state)
        state = row[column : column + 1].astype(np.intp)
    assert table.is_complete(int(state[0]))
    (row,) = table.rows(state)
    allowed = {table.texts[i] for i in np.flatnonzero(row >= 0)}
    assert allowed == {",", ""}
