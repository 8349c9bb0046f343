"""Reads the Extended Date/Time Format (ISO 8601-2, levels 0 to 2) and says which days it means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from llmpy.apps.dates.values import Date, DateRange, DateSet, Day

__all__ = ["from_edtf"]

QUALIFIER = "[?~%]?"
DATE = re.compile(
    rf"({QUALIFIER})(-?[0-9X]{{4}})({QUALIFIER})"
    rf"(?:-({QUALIFIER})([0-9X]{{2}})({QUALIFIER})(?:-({QUALIFIER})([0-9X]{{2}})({QUALIFIER}))?)?"
)
TIME = re.compile(
    r"T(?:([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?|24:00:00)"
    r"(?:Z|\+(?:0[0-9]|1[0-3])(?::?[0-5][0-9])?|\+14(?::?00)?"
    r"|-(?!00(?::?00)?$)(?:0[0-9]|1[01])(?::?[0-5][0-9])?|-12(?::?00)?)?"
)
SHORT = re.compile(rf"(-?[0-9]{{2,3}})({QUALIFIER})")  # a century or a decade
LONG = re.compile(r"(?:Y(-?[1-9][0-9]*)(?:E([0-9]{1,3}))?|(-?[0-9]{4}))(?:S([0-9]{1,3}))?")
LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# First month and number of months of what is written in the place of a month. Seasons are those of
# meteorology; winter, and the southern summer, begin in December of their year.
SEASONS = {
    **dict(zip(range(21, 25), ((3, 3), (6, 3), (9, 3), (12, 3)), strict=True)),
    **dict(zip(range(25, 29), ((3, 3), (6, 3), (9, 3), (12, 3)), strict=True)),
    **dict(zip(range(29, 33), ((9, 3), (12, 3), (3, 3), (6, 3)), strict=True)),
    **{33 + i: (1 + 3 * i, 3) for i in range(4)},
    **{37 + i: (1 + 4 * i, 4) for i in range(3)},
    **{40 + i: (1 + 6 * i, 6) for i in range(2)},
}
MOST_DIGITS = 18  # of a year


def from_edtf(text: str) -> Date | DateRange | DateSet:
    """Return the value of a text in EDTF, with its earliest and latest day.

    Levels 0 to 2 of the standard are read, and seasons in intervals. Raises ValueError for other
    texts, and for days that no calendar has.
    """
    if text[:1] in ("[", "{"):
        return _set(text)
    return _interval(text) if "/" in text else _date(text)


def n_days(year: int, month: int) -> int:
    """Return the number of days of a month in the proleptic Gregorian calendar."""
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return LENGTHS[month - 1] + leap


@lru_cache(1 << 14)
def _date(text: str) -> Date:
    found = DATE.match(text)
    if found and found.end() < len(text):  # a time comes after the day, and is not kept
        is_day = "X" not in text and found[8] is not None and not found[9]
        found = found if is_day and TIME.fullmatch(text, found.end()) else None
    if found is None:
        return _unusual(text)
    before, year, *rest = found.groups()
    qualifiers = {q for q in (before, *(rest[i] for i in (0, 1, 3, 4, 6))) if q}
    month, day = rest[2], rest[5]
    earliest, latest = _bounds(text, year, month, day)
    approximate, uncertain = bool(qualifiers & {"~", "%"}), bool(qualifiers & {"?", "%"})
    return Date(text, earliest, latest, approximate, uncertain)


def _bounds(text: str, year: str, month: str | None, day: str | None) -> tuple[Day, Day]:
    """The first and the last day that fit what is written, with any digits in the place of X."""
    if month is not None and month.isdigit() and int(month) in SEASONS and day is None:
        first, n = SEASONS[int(month)]
        years = _matching(year, 0, 9999)
        low, high = next(years, None), next(_matching(year, 9999, 0), None)
        if low is None or high is None:
            raise _wrong(text)
        end_year, end_month = high + (first + n - 2) // 12, (first + n - 2) % 12 + 1
        return Day(low, first, 1), Day(end_year, end_month, n_days(end_year, end_month))
    low_day = next(_days(year, month, day, 1), None)
    high_day = next(_days(year, month, day, -1), None)
    if low_day is None or high_day is None:
        raise _wrong(text)
    return low_day, high_day


def _days(year: str, month: str | None, day: str | None, step: int) -> Iterator[Day]:
    """The days that fit, from the first on, or with `step` -1 from the last back."""
    ends = (0, 9999)[::step]
    for y in _matching(year, *ends):
        for m in _matching(month or "XX", *(1, 12)[::step]):
            for d in _matching(day or "XX", *(1, n_days(y, m))[::step]):
                yield Day(y, m, d)


def _matching(pattern: str, first: int, last: int) -> Iterator[int]:
    """The numbers from `first` to `last` that fit digits and X; negative ones where it begins so.

    They ascend where `first` is the smaller one, and else descend.
    """
    digits = pattern.lstrip("-")
    sign = -1 if len(digits) < len(pattern) else 1
    step = 1 if first <= last else -1
    low, high = int(digits.replace("X", "0")), int(digits.replace("X", "9"))
    numbers = range(max(min(first, last), low), min(max(first, last), high) + 1)
    fixed = [(i, c) for i, c in enumerate(digits) if c != "X"]
    for number in numbers if step * sign > 0 else reversed(numbers):
        written = f"{number:0{len(digits)}}"
        if all(written[i] == c for i, c in fixed) and (number or sign > 0):
            yield sign * number


def _unusual(text: str) -> Date:
    """Centuries and decades written as digits, years beyond four digits, and rounded years."""
    if found := SHORT.fullmatch(text):
        year, qualifier = found.groups()
        sign, digits = "-" * year.startswith("-"), year.lstrip("-")
        earliest, latest = _bounds(text, f"{sign}{digits:X<4}", None, None)
        if sign and not int(digits):
            raise _wrong(text)
        return Date(text, earliest, latest, qualifier in ("~", "%"), qualifier in ("?", "%"))
    found = LONG.fullmatch(text)
    if found is None or (found[3] and not found[4]) or len(text) > MOST_DIGITS:
        raise _wrong(text)
    number = int(found[1] or found[3]) * 10 ** int(found[2] or 0)
    n_digits = len(str(abs(number)))
    if n_digits > MOST_DIGITS or (found[1] and n_digits < 5) or found[3] == "-0000":
        raise _wrong(text)
    unit = 10 ** max(0, n_digits - int(found[4])) if found[4] else 1
    low = abs(number) // unit * unit
    ends = (low, low + unit - 1) if number >= 0 else (-low - unit + 1, -low)
    return Date(text, Day(ends[0], 1, 1), Day(ends[1], 12, 31), approximate=unit > 1)


def _interval(text: str) -> DateRange:
    if text.count("/") != 1:
        raise _wrong(text)
    first, last = text.split("/")
    start, end = (None if part in ("", "..") else _date(part) for part in (first, last))
    return _range(text, start, end, first == "..", last == "..")


def _range(
    text: str, start: Date | None, end: Date | None, open_start: bool, open_end: bool
) -> DateRange:
    ends = [date for date in (start, end) if date]
    return DateRange(
        text,
        start.earliest if start else None,
        end.latest if end else None,
        approximate=any(date.approximate for date in ends),
        uncertain=any(date.uncertain for date in ends),
        start=start,
        end=end,
        open_start=open_start,
        open_end=open_end,
    )


def _set(text: str) -> DateSet:
    if len(text) < 2 or text[0] + text[-1] not in ("[]", "{}"):
        raise _wrong(text)
    parts = [part.strip() for part in text[1:-1].split(",")]
    members: list[Date | DateRange] = []
    for i, part in enumerate(parts):
        first, dots, last = part.partition("..")
        if not dots:
            members.append(_date(part))
            continue
        start, end = (_date(one) if one else None for one in (first, last))
        if (start is None and (i or end is None)) or (end is None and i + 1 < len(parts)):
            raise _wrong(text)
        members.append(_range(part, start, end, start is None, end is None))
    earliest = [member.earliest for member in members]
    latest = [member.latest for member in members]
    return DateSet(
        text,
        None if None in earliest else min(day for day in earliest if day),
        None if None in latest else max(day for day in latest if day),
        approximate=any(member.approximate for member in members),
        uncertain=any(member.uncertain for member in members),
        members=tuple(members),
        every=text[0] == "{",
    )


def _wrong(text: str) -> ValueError:
    return ValueError(f"EDTF: expected a date, an interval or a set that exists, found {text!r}")
