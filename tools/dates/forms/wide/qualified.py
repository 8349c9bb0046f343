"""Doubt, births and deaths, two styles, alternatives and lists, chosen word by word."""

from __future__ import annotations

from forms.core import (
    MONTHS,
    Choices,
    Sample,
    Year,
    a_month,
    a_year,
    edtf_year,
    era_text,
    grammar,
    later,
    listed,
    number_text,
    said,
)
from forms.qualified import BORN, DIED, LIVED, RULED
from forms.wide.points import (
    Point,
    any_point,
    century_name,
    closed,
    decade_name,
    month_name,
    parted,
)
from forms.wide.ranges import dash_only, joiner, marked

SAID = said(__file__)


ABOUT = SAID["about"]


ABOUT_AFTER = SAID["about after"]


DOUBTED = SAID["doubted"]


DOUBTED_AFTER = SAID["doubted after"]


def qualified(r: Choices) -> Sample:
    year = a_year(r)
    text, value = any_point(
        r, year, r.pick(listed("day, month, year, year, year, year, year, season, decade, century"))
    )
    about, doubt = r.pick(
        ((True, False), (True, False), (False, True), (False, True), (True, True))
    )
    if about and r.chance(0.75):
        lead = r.pick(ABOUT)
        if lead.endswith("year ") and value.count("-", 1):
            lead = "circa "
        text = lead + text
    elif about:
        text += f" {r.pick(ABOUT_AFTER)}"
    if doubt and r.chance(0.45):
        text = f"{r.pick(DOUBTED)} {r.one('', '', '', 'in ')}{text}"
    elif doubt:
        after = r.pick(DOUBTED_AFTER)
        text += after if after[0] == "?" and r.chance(0.7) else f" {after}"
    if r.chance(0.1):
        text = r.one("in ", "dated ", "date: ", "(", "In ") + text
    return Sample(closed(text), (value + ("%" if about and doubt else "~" if about else "?"),))


MORE_BORN = (*BORN, *SAID["born"])


MORE_DIED = (*DIED, *SAID["died"])


MORE_LIVED = (*LIVED, *SAID["flourished"])


MORE_RULED = (*RULED, *SAID["reigned"])


TOWNS = SAID["towns"]


def a_life(r: Choices) -> Sample:
    return life(r, *r.pick((("born", MORE_BORN), ("died", MORE_DIED), ("flourished", MORE_LIVED))))


def a_reign(r: Choices) -> Sample:
    return life(r, "reigned", MORE_RULED)


def years_of(r: Choices) -> Point:
    """The years of a reign or of a work, the first perhaps with circa."""
    first = a_year(r)
    last = later(r, first)
    while first[1] != last[1]:
        first = a_year(r)
        last = later(r, first)
    (at, a), (bt, b) = ((number_text(r, y), edtf_year(y)) for y in (first, last))
    era = era_text(r, last) if last[1] else ""
    at, a = marked(r, (at, a))
    text = at + joiner(r, 0.6, 0.85) + bt + era
    if era or not r.chance(0.15):
        return text, f"{a}/{b}"
    return at + joiner(r, 0.5, 0.8) + r.one("present", "today", "now", "the present"), f"{a}/.."


def point_of(r: Choices) -> Point:
    """A point of any precision, perhaps what is before or after it."""
    year = a_year(r)
    precision = r.pick(listed("day, day, day, month, year, year, year, season, decade, century"))
    text, value = marked(r, any_point(r, year, precision))
    relation = r.random()
    if relation < 0.1:
        return r.pick(SAID["life before"]) + text, f"../{value}"
    if relation < 0.2:
        return r.one("after ", "after ", "not before ", "sometime after ") + text, f"{value}/.."
    return text, value


def life(r: Choices, kind: str, said: tuple[str, ...]) -> Sample:
    lead = r.pick(said)
    fields = {"kind": kind}
    ruled = kind == "reigned" or (kind == "flourished" and r.chance(0.5))
    if ruled or lead.rstrip().endswith("from"):
        text, value = years_of(r)
    elif r.chance(0.2):
        inner = parted(r, century_name(r) if r.chance(0.6) else decade_name(r), True)
        while inner.text.startswith(("in ", "In ", "at ", "during ")):
            inner = parted(r, century_name(r), True)
        text, value = inner.text, inner.values[0]
        fields |= inner.fields
    else:
        text, value = point_of(r)
    if r.chance(0.25):
        place = r.pick(TOWNS)
        text = r.pick(SAID["placed"]).format(text=text, place=place)
    return Sample(closed(lead + text), (value,), fields)


def two_lives(r: Choices) -> Sample:
    """A birth and a death: the range of the life."""
    first = a_year(r)
    last = later(r, first, 10)
    precision = r.pick(("year", "day", "day", "month"))
    (at, a), (bt, b) = (marked(r, any_point(r, y, precision)) for y in (first, last))
    born = r.pick(SAID["born before died"])
    died = r.one("died ", "d. ", "Died ", "† ", "†", "d ", "died: ", "death: ", "d.")
    sep = r.pick(SAID["between lives"])
    if r.chance(0.1):
        return Sample(
            r.one("lived ", "(", "life: ", "lifespan ") + at + dash_only(r) + bt, (f"{a}/{b}",)
        )
    text = f"{born}{at}{sep}{died}{bt}"
    return Sample(closed(("(" if r.chance(0.2) else "") + text), (f"{a}/{b}",))


OLD = SAID["old style"]


NEW = SAID["new style"]


def two_styles(r: Choices) -> Sample:
    """A day in the Old Style, the New Style or both: the New Style is the value where it stands."""
    year = r.number(1582, 1925), False
    m, d = a_month(r), r.number(1, 28)
    days = r.number(10, 13)
    n, e, next_year = m, d + days, year
    if e > 28:
        n, e = m % 12 + 1, r.number(1, 12)
        next_year = (year[0] + 1, False) if n == 1 else year
    order = r.chance(0.5)

    def show(month: int, day: int, y: tuple[int, bool] | None) -> str:
        name = MONTHS[month - 1] if full else month_name(r, month)
        body = f"{name} {day}" if order else f"{day} {name}"
        return body + (r.one(", ", ", ", " ") if order else " ") + str(y[0]) if y else body

    full = r.chance(0.75)
    os, ns = r.pick(OLD), r.pick(NEW)
    new_value = f"{next_year[0]:04d}-{n:02d}-{e:02d}"
    kind = r.random()
    if kind < 0.3:
        text = show(m, d, year)
        text = r.pick(SAID["old style alone"]).format(text=text, os=os)
        return Sample(text, (f"{year[0]:04d}-{m:02d}-{d:02d}",), {"calendar": "old style"})
    if kind < 0.45:
        text = show(n, e, next_year)
        return Sample(r.pick(SAID["new style alone"]).format(text=text, ns=ns), (new_value,))
    old, new = show(m, d, year), show(n, e, next_year)
    if kind < 0.8 or next_year != year:
        text = r.pick(SAID["both styles"]).format(old=old, new=new, os=os, ns=ns)
        return Sample(text, (new_value,))
    short_old, short_new = show(m, d, None), show(n, e, None)
    y = f"{',' if order and r.chance(0.7) else ''} {year[0]}"
    form = r.pick(SAID["both styles short"])
    text = form.format(short_new=short_new, short_old=short_old, os=os, ns=ns, y=y)
    return Sample(text, (new_value,))


def a_span(r: Choices, year: Year) -> tuple[Point, Year]:
    """Two years, the second perhaps without its first figures, and the later one."""
    last = later(r, year)
    same = last[0] // 100 == year[0] // 100 and last[0] % 100 > 12
    short = same and r.chance(0.35) and year[0] > 999
    dash = r.one("–", "–", "-", "—", " – ", " to ")
    text = f"{year[0]}{dash}{last[0] % 100 if short else last[0]}"
    return (text, f"{edtf_year(year)}/{edtf_year(last)}"), last


def several(r: Choices) -> Sample:
    """Two to six values with one sign between and perhaps a word before the last."""
    count = r.pick((2, 2, 3, 3, 3, 4, 4, 5, 6))
    year = a_year(r)
    while year[1] and count > 3:
        year = a_year(r)
    kind = r.pick(("year", "year", "year", "point", "range", "mixed"))
    points: list[Point] = []
    precision = r.pick(("day", "month", "year", "season"))
    plain = not year[1] and year[0] > 99
    for _ in range(min(count, 4) if kind != "year" else count):
        ranged = kind == "range" or (kind == "mixed" and r.chance(0.5))
        if ranged and plain:
            span, year = a_span(r, year)
            points.append(span)
        elif kind != "point" and plain:
            points.append((str(year[0]), edtf_year(year)))
        else:
            points.append(any_point(r, year, precision))
        year = later(r, year)
        if year[0] > 2900 and not year[1]:
            break
    texts = [text for text, _ in points]
    sep = r.pick(SAID["separators"])
    sep = ", " if sep == " / " and len(texts) < 3 else sep
    final = r.pick(SAID["final"]).format(sep=sep)
    text = sep.join(texts[:-1]) + (final if len(texts) > 1 else "") + texts[-1]
    lead = r.pick(SAID["several led"])
    if lead == "both " and len(texts) != 2:
        lead = ""
    tail = r.one(*[""] * 8, ".", " (twice)", " (again)", " respectively")
    return Sample(closed(lead + text) + tail, tuple(value for _, value in points))


def some_of(r: Choices) -> Sample:
    """One of two or three years."""
    year = a_year(r)
    second = later(r, year)
    third = later(r, second)
    while year[1] != third[1]:
        year = a_year(r)
        second = later(r, year)
        third = later(r, second)
    era = era_text(r, year) if year[1] else ""
    years = [year, second, third][: r.pick((2, 2, 3))]
    marks = ["~" if r.chance(0.12) else ""] * len(years)
    texts = [
        ("c. " if mark else "") + number_text(r, y) for y, mark in zip(years, marks, strict=True)
    ]
    or_ = r.pick(SAID["or"])
    text = r.one(", ", ", ", " or ").join(texts[:-1]) + or_ + texts[-1] + era
    lead = r.pick(SAID["or led"])
    values = ",".join(edtf_year(y) + m for y, m in zip(years, marks, strict=True))
    return Sample(closed(lead + text), (f"[{values}]",))


grammar("circa and doubt", 0.45, qualified)
grammar("births and deaths", 0.3, a_life)
grammar("reigns", 0.3, a_reign)
grammar("lives", 0.45, two_lives)
grammar("old and new style", 0.5, two_styles)
grammar("alternatives", 0.35, some_of)
grammar("several dates", 0.45, several)
