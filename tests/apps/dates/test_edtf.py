"""EDTF: the cases of edtf.js, a library of others; and the days that values mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from llmpy.apps.dates import Date, DateRange, DateSet, Day, Value, from_edtf
from tests.dates import test_handmade as handmade

# Read here, refused there: seasons in intervals, which the standard does not mention.
WIDER = {"2018/2018-23", "2018-21/2017-01-01", "2018-01?/2018-23", "2012-21/2012-22"}
RULED_OUT = {"[1760..]", "1800/1X01"}  # refused there for the options of the call


@pytest.fixture(scope="module")
def cases(shared_data: Callable[[str], Path]) -> str:
    return shared_data("dates/edtf.js/parser.js").read_text(encoding="utf-8")


def days(value: Value) -> tuple[str, str]:
    return str(value.earliest), str(value.latest)


def test_what_edtf_js_reads_is_read_with_the_same_numbers(cases: str) -> None:
    pattern = r"expect\(p\('([^']*)'[^)]*\)\)\s*((?:\.[^\n]*\s*)*?)(?=expect|\}\)|it\()"
    n = 0
    for text, checks in re.findall(pattern, cases):
        value = from_edtf(text)
        said = re.search(r"\.produce\(\[(-?\d+)(?:, (\d+))?(?:, (\d+))?", checks)
        if said and not re.search("decade|century|season|significant|interval", checks):
            year, month, day = (int(part) if part else None for part in said.groups())
            assert value.earliest == (year, 1 if month is None else month + 1, day or 1), text
            n += 1
        for flag in ("approximate", "uncertain"):
            if re.search(rf"(?:^|[^t])\.be\.(?:an\.)?{flag}\(\)", checks):
                assert getattr(value, flag), text
    assert n > 60


def test_what_edtf_js_refuses_is_refused(cases: str) -> None:
    refused = set(re.findall(r"expect\(\(\) => p\('([^']*)'", cases)) - WIDER - RULED_OUT
    assert len(refused) > 35
    for text in refused:
        with pytest.raises(ValueError, match="EDTF"):
            from_edtf(text)


def test_values_keep_their_text(cases: str) -> None:
    texts = re.findall(r"expect\(p\('([^']*)'", cases)
    assert [str(from_edtf(text)) for text in texts] == texts


@pytest.mark.parametrize(
    ("text", "earliest", "latest"),
    [
        ("1985-04-12", "1985-04-12", "1985-04-12"),
        ("-0043-03-15", "-0043-03-15", "-0043-03-15"),
        ("0800-02", "0800-02-01", "0800-02-29"),
        ("1900-02", "1900-02-01", "1900-02-28"),
        ("-0004-02", "-0004-02-01", "-0004-02-29"),
        ("196X", "1960-01-01", "1969-12-31"),
        ("-04XX~", "-0499-01-01", "-0400-12-31"),
        ("-00XX", "-0099-01-01", "-0001-12-31"),
        ("-1XXX", "-1999-01-01", "-1000-12-31"),
        ("156X-02-29", "1560-02-29", "1568-02-29"),
        ("1066-21", "1066-03-01", "1066-05-31"),
        ("1941-24", "1941-12-01", "1942-02-28"),
        ("2020-33", "2020-01-01", "2020-03-31"),
        ("198X-22", "1980-06-01", "1989-08-31"),
        ("1066-21/1071-12-25", "1066-03-01", "1071-12-25"),
        ("-0449~/-0437~", "-0449-01-01", "-0437-12-31"),
        ("1990/..", "1990-01-01", "None"),
        ("/1918", "None", "1918-12-31"),
        ("[1180..1190]", "1180-01-01", "1190-12-31"),
        ("[1850,1848-05]", "1848-05-01", "1850-12-31"),
        ("[..1760-12-03]", "None", "1760-12-03"),
        ("Y170002", "Y170002-01-01", "Y170002-12-31"),
        ("Y-17101E3S3", "Y-17199999-01-01", "Y-17100000-12-31"),
        ("1950S2", "1900-01-01", "1999-12-31"),
    ],
)
def test_bounds(text: str, earliest: str, latest: str) -> None:
    assert days(from_edtf(text)) == (earliest, latest)


@pytest.mark.parametrize(
    "text",
    ["", "-", "1985-02-30", "1900-02-29", "156X-09-31", "-0000", "1985-00", "1985-13", "1985-1",
     "1985/1986/1987", "[1985", "[]", "[1985,,1986]", "[1985..,1986]", "x", "1985 ", "\u0661985",
     "Y9999", "Y" + "9" * 40, "1985-04-12T25:00:00", "198X-04-12T10:00:00"],
)  # fmt: skip
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="EDTF"):
        from_edtf(text)


def test_open_and_unknown_ends_differ() -> None:
    open_end, unknown = from_edtf("1914/.."), from_edtf("1914/")
    assert isinstance(open_end, DateRange)
    assert isinstance(unknown, DateRange)
    assert (open_end.end, open_end.open_end) == (None, True)
    assert (unknown.end, unknown.open_end) == (None, False)


def test_members_of_a_set() -> None:
    value = from_edtf("[1667,1670..1672]")
    assert isinstance(value, DateSet)
    first, second = value.members
    assert isinstance(first, Date)
    assert isinstance(second, DateRange)
    assert not value.every
    assert value.latest == Day(1672, 12, 31)
    assert from_edtf("{1960,1961-12}").as_dict()["every"]


def test_qualifiers_of_ends_and_members_count() -> None:
    assert from_edtf("1340~/1400").approximate
    assert from_edtf("[1480,1490?]").uncertain
    both = from_edtf("1450%")
    assert both.approximate
    assert both.uncertain


def test_values_sort_by_their_days() -> None:
    texts = ["../0100", "-04XX", "-0043-03-15", "1066", "1066-21", "1066/..", "1990/.."]
    values = [from_edtf(text) for text in reversed(texts)]
    assert [v.edtf for v in sorted(values, key=lambda v: v.sort_key)] == [
        "../0100", "-04XX", "-0043-03-15", "1066", "1066/..", "1066-21", "1990/.."
    ]  # fmt: skip


def test_handmade_labels_are_values() -> None:
    labels = [value for _, edtf, _ in handmade.rows() if edtf for value in edtf.split(" ; ")]
    assert [from_edtf(value).edtf for value in labels] == labels
