"""Dates as people write them, labelled by hand in handmade.tsv: never used for training.

`edtf` are the values in the Extended Date/Time Format (ISO 8601-2), joined by " ; ", empty for a
text without a date. `fields` say what the format cannot: the part of a period, the calendar,
whether somebody was born, died, reigned or flourished then.
"""

from __future__ import annotations

import re
from pathlib import Path

TABLE = Path(__file__).with_name("handmade.tsv")
YEAR = r"-?[0-9]{1,4}X{0,3}"
DATE = rf"{YEAR}(?:-[0-9]{{2}}(?:-[0-9]{{2}})?)?[~?%]?"
VALUE = re.compile(
    rf"{DATE}|(?:{DATE}|\.\.|)/(?:{DATE}|\.\.|)|\[{DATE}(?:(?:,|\.\.){DATE})+\]",
)
FIELDS = {
    "calendar": {"old style"},
    "kind": {"born", "died", "flourished", "reigned"},
    "part": {"early", "mid", "late", "first half", "second half", "late/early"},
}


def rows() -> list[list[str]]:
    head, *lines = TABLE.read_text(encoding="utf-8").splitlines()
    assert head.split("\t") == ["text", "edtf", "fields"]
    return [line.split("\t") for line in lines]


def test_there_are_at_least_300_texts_and_none_twice() -> None:
    texts = [text for text, _, _ in rows()]
    assert len(texts) >= 300
    assert len(set(texts)) == len(texts)


def test_each_value_is_a_date_an_interval_or_a_set() -> None:
    values = [value for _, edtf, _ in rows() if edtf for value in edtf.split(" ; ")]
    assert [value for value in values if not VALUE.fullmatch(value)] == []


def test_each_field_is_a_known_one() -> None:
    fields = [f.partition("=") for *_, all_of in rows() if all_of for f in all_of.split("; ")]
    assert {(name, value) for name, _, value in fields if value not in FIELDS[name]} == set()
