"""Ranges, open ends, alternatives and lists whose words, signs and ends are chosen one by one."""

from __future__ import annotations

from forms.core import (
    DAYS,
    ORDINALS,
    Choices,
    Sample,
    a_day,
    a_month,
    a_year,
    edtf_year,
    era_text,
    grammar,
    later,
    number_text,
    ordinal,
    said,
)
from forms.points import SEASONS, recent
from forms.ranges import CIRCA
from forms.wide.points import (
    Point,
    any_point,
    century_name,
    closed,
    decade_name,
    figure_day,
    figure_year,
    month_name,
    part_name,
    year_name,
)

SAID = said(__file__)

DASHES = SAID["dashes"]  # fmt: skip
WORDS = SAID["words"]
LEADS = SAID["leads"]  # fmt: skip


def joiner(r: Choices, touching: float = 0.35, signs: float = 0.6) -> str:
    """What stands between two ends: a sign with or without spaces, or a word with them."""
    if not r.chance(signs):
        return f" {r.pick(WORDS)} "
    mark = r.pick(DASHES)
    if r.chance(touching):
        return mark
    return r.pick(SAID["spaced"]).format(mark=mark)


def dash_only(r: Choices) -> str:
    mark = r.pick(DASHES[:17])
    return mark if r.chance(0.6) else r.one(f" {mark} ", f" {mark} ", f"{mark} ", f" {mark}")


def between(r: Choices, a: str, b: str) -> str:
    lead = r.pick(SAID["between"])  # fmt: skip
    return f"{lead}{a}{r.one(' and ', ' and ', ' and ', ' & ', ', and ')}{b}"


def ranged(r: Choices, a: Point, b: Point, share: float = 0.12, touching: float = 0.3) -> Sample:
    """A range of two points, sometimes the set of what is between them or of the two."""
    kind = r.random()
    if kind < share:
        return Sample(between(r, a[0], b[0]), (f"[{a[1]}..{b[1]}]",))
    if kind < share * 1.6:
        or_ = r.pick(SAID["or"])
        return Sample(
            r.one("", "", "", "either ", "Either ") + a[0] + or_ + b[0], (f"[{a[1]},{b[1]}]",)
        )
    lead = r.pick(LEADS)
    join = joiner(r, touching, 0.35 if lead.endswith("from ") else 0.65)
    if join in a[0] + b[0] and not a[1].count("-", 1) == b[1].count("-", 1) == 2:
        join = f" {join.strip()} "  # what is an end would be open
    tail = ")" if lead == "(" else r.one(*[""] * 9, ".", ",", ";")
    return Sample(lead + a[0] + join + b[0] + tail, (f"{a[1]}/{b[1]}",))


def marked(r: Choices, point: Point) -> Point:
    """The point, sometimes with circa, doubt or both."""
    text, value = point
    about, doubt = r.chance(0.14), r.chance(0.07)
    if about:
        text = r.pick(CIRCA) + text
    if doubt:
        text += r.one("?", "?", " (?)", "?", " [?]", "(?)")
    return text, value + ("%" if about and doubt else "~" if about else "?" if doubt else "")


def two_years(r: Choices) -> Sample:
    """Two years, of which the second may lack its era, or both."""
    first = a_year(r)
    last = later(r, first)
    while first[1] != last[1] or (first[0] < 100 and not first[1]):
        first = a_year(r)
        last = later(r, first)
    a, b = edtf_year(first), edtf_year(last)
    at, bt = number_text(r, first), number_text(r, last)
    if first[1] or r.chance(0.06):
        era = era_text(r, last)
        if r.chance(0.25):
            return ranged(r, marked(r, (at + era, a)), marked(r, (bt + era, b)), 0.12, 0.5)
        found = ranged(r, (at, a), (bt, b), 0.12, 0.6)
        if found.text.endswith((")", ".", ",", ";")):
            return Sample(found.text[:-1] + era + found.text[-1], found.values)
        return Sample(found.text + era, found.values)
    if r.chance(0.1):
        at, bt = f"the year {at}", r.one("the year ", "") + bt
    return ranged(r, marked(r, (at, a)), marked(r, (bt, b)), 0.1, 0.6)


def elided_years(r: Choices) -> Sample:
    """The second year without its first figures; a hyphen before 01 to 12 would make a month."""
    number = r.number(1000, 2020)
    last = min(number // 100 * 100 + 99, number + r.pick((1, 1, 2, 3, 4, 5, 7, 9, 14, 20, 35, 60)))
    if last == number:
        number, last = number - 1, number
    digits = f"{last % 100:02d}"
    mark = r.pick(DASHES[:19])
    if last % 100 < 13 and mark in "-‑/":
        mark = "–"
    if r.chance(0.15):
        mark = f" {r.one('to', 'until', 'till', 'through')} "
    elif r.chance(0.25):
        mark = r.one(f" {mark} ", f"{mark} ", f" {mark}")
    if number // 10 == last // 10 and mark not in "-‑/" and r.chance(0.15):
        digits = digits[1]
    lead, about = (r.pick(CIRCA), True) if r.chance(0.15) else (r.pick(LEADS), False)
    tail = ")" if lead == "(" else "?" if r.chance(0.06) else ""
    value = f"{number:04d}{'~' if about else ''}/{last:04d}{'?' if tail == '?' else ''}"
    return Sample(f"{lead}{number}{mark}{digits}{tail}", (value,))


def two_days_of_month(r: Choices) -> Sample:
    year, month = a_year(r), a_month(r)
    d = r.number(1, DAYS[month - 1] - 3)
    e = r.number(d + 1, DAYS[month - 1] - (month == 2))
    th = r.chance(0.2)
    at, bt = (ordinal(k) if th else str(k) for k in (d, e))
    if r.chance(0.06):
        at, bt = f"{d:02d}", f"{e:02d}"
    if th and r.chance(0.4):
        at, bt = f"the {at}", f"{r.one('the ', '')}{bt}"
    name, shown = month_name(r, month), year_name(r, year)
    value = edtf_year(year)
    a, b = f"{value}-{month:02d}-{d:02d}", f"{value}-{month:02d}-{e:02d}"
    then = r.one(" ", " ", " ", ", ", ", ", " of ", " in ")
    kind = r.random()
    if kind < 0.45:
        of = r.one(" ", " ", " ", " of ", ". ", "-")
        found = ranged(r, (at, a), (bt + of + name + then + shown, b), 0.14, 0.6)
    elif kind < 0.9:
        on = r.one(" ", " ", " ", ", ", ". ", "")
        second = bt + then + shown
        if r.chance(0.15):
            second = f"{name} {second}"
        found = ranged(r, (name + on + at, a), (second, b), 0.14, 0.6)
    else:
        head = r.one(f"{shown}, ", f"{shown} ", f"in {shown}, ", f"{shown}: ")
        found = ranged(r, (f"{name} {at}", a), (bt, b), 0.0, 0.7)
        return Sample(closed(head + found.text), found.values)
    return Sample(closed(found.text), found.values)


def two_days_of_year(r: Choices) -> Sample:
    """The year stands once; the first end may lack its day."""
    year, m = a_year(r), r.number(1, 11)
    n = r.number(m + 1, 12)
    d, e = a_day(r, (1999, False), m), a_day(r, (1999, False), n)
    shown, value = year_name(r, year), edtf_year(year)
    a, b = f"{value}-{m:02d}-{d:02d}", f"{value}-{n:02d}-{e:02d}"
    th = ordinal if r.chance(0.2) else str
    first, second = month_name(r, m), month_name(r, n)
    then = r.one(" ", " ", ", ", ", ", " of ", " in ")
    kind = r.random()
    if kind < 0.1 and not year[1]:  # the end is a day, the beginning a month
        a = a[:-3]
        at, bt = first, r.one(f"{second} {th(e)}", f"{th(e)} {second}")
    elif kind < 0.15:
        b = b[:-3]
        at, bt = r.one(f"{first} {th(d)}", f"{th(d)} {first}"), second
    elif kind < 0.25 and figure_year(year):
        s = r.one("/", "/", "-", ".")
        pair = lambda x, y: f"{y}.{x}." if s == "." else f"{x}{s}{y}"  # noqa: E731
        if s == "-":
            found = ranged(r, (f"{m}/{d}", a), (f"{n}/{e}/{year[0]}", b), 0.1, 0.5)
        else:
            last = pair(n, e) + (str(year[0]) if s == "." else f"{s}{year[0]}")
            found = ranged(r, (pair(m, d), a), (last, b), 0.1, 0.5)
        return found
    elif r.chance(0.5):
        of = r.one(" ", " ", " ", " of ", ". ")
        at, bt = f"{th(d)}{of}{first}", f"{th(e)}{of}{second}"
    else:
        at, bt = f"{first} {th(d)}", f"{second} {th(e)}"
    if r.chance(0.1):
        found = ranged(r, (at, a), (bt, b), 0.12)
        head = r.one(f"{shown}, ", f"in {shown}, ", f"{shown}: ")
        return Sample(closed(head + found.text), found.values)
    found = ranged(r, (at, a), (bt + then + shown, b), 0.14)
    return Sample(closed(found.text), found.values)


def two_months(r: Choices) -> Sample:
    """Two months of a year; where the second comes earlier, the first is of the year before."""
    year, m = a_year(r), r.number(1, 12)
    n = r.number(1, 12)
    n = n if n != m else m % 12 + 1
    if r.chance(0.8):
        m, n = min(m, n), max(m, n)
    before = ((year[0] + 1, True) if year[1] else (year[0] - 1, False)) if m > n else year
    if before[0] < 1:
        before, (m, n) = year, (n, m)
    first, second = month_name(r, m), month_name(r, n)
    a, b = f"{edtf_year(before)}-{m:02d}", f"{edtf_year(year)}-{n:02d}"
    if r.chance(0.12):  # the end with its day
        e = a_day(r, (1999, False), n)
        th = ordinal if r.chance(0.4) else str
        second, b = (
            r.one(f"{second} {th(e)}", f"{second} {th(e)}", f"{th(e)} {second}"),
            f"{b}-{e:02d}",
        )
    shown = year_name(r, year)
    if r.chance(0.1):
        found = ranged(r, (first, a), (second, b), 0.0, 0.5)
        return Sample(
            closed(r.one(f"{shown}, ", f"in {shown}, ", f"{shown}: ", f"{shown} ") + found.text),
            found.values,
        )
    then = r.one(" ", " ", " ", ", ", " of ", " in ", " of the year ")
    found = ranged(r, (first, a), (second + then + shown, b), 0.12 if m < n else 0.0, 0.5)
    return Sample(closed(found.text), found.values)


def two_seasons(r: Choices) -> Sample:
    year = a_year(r)
    names = ("spring", "summer", r.one("autumn", "fall"))
    i = r.number(0, 1)
    j = r.number(i + 1, 2)
    case = r.pick((str, str.capitalize, str.capitalize))
    a, b = (f"{edtf_year(year)}-{SEASONS[names[k]]}" for k in (i, j))
    the = r.one("the ", "") if r.chance(0.3) else ""
    then = r.one(" ", " ", " of ", ", ", " in ")
    found = ranged(
        r,
        (the + case(names[i]), a),
        (the + case(names[j]) + then + year_name(r, year), b),
        0.14,
        0.4,
    )
    return Sample(closed(found.text), found.values)


def two_decades(r: Choices) -> Sample:
    (at, a), (bt, b) = decade_name(r), decade_name(r)
    while "-" in a + b or a >= b:
        (at, a), (bt, b) = decade_name(r), decade_name(r)
    if a[:2] == b[:2] and at[0].isdigit() and r.chance(0.5):  # 1970s and 80s
        bt = r.one("", "", "", "", "'", "’") + f"{b[2]}0" + bt[4:] if bt[:4].isdigit() else bt
        if r.chance(0.35):
            the = r.one("", "the ", "in the ")
            return Sample(the + at + r.one(" and ", " and ", ", ", " & ") + bt, (a, b))
    return spans(r, (at, a), (bt, b))


def two_centuries(r: Choices) -> Sample:
    (at, a), (bt, b) = century_name(r), century_name(r)
    while "-" in a + b or a >= b:
        (at, a), (bt, b) = century_name(r), century_name(r)
    if at[0] != "C" and at[0] != "c" and r.chance(0.4):  # the noun once
        at = ordinal(int(a[:2]) + 1) if at[0].isdigit() else ORDINALS[int(a[:2])]
    return spans(r, (at, a), (bt, b))


def spans(r: Choices, a: Point, b: Point) -> Sample:
    """Two decades or centuries, each perhaps a part of it."""
    the = "the " if r.chance(0.5) else ""
    if r.chance(0.3):
        p, q = r.one("early", "mid", "late"), r.one("early", "mid", "late")
        said = (
            part_name(r, p, False).removeprefix("the "),
            part_name(r, q, False).removeprefix("the "),
        )
        while any(" of " in s or s[:2] == "at" or s[:2] == "in" or "middle" in s for s in said):
            said = (
                part_name(r, p, False).removeprefix("the "),
                part_name(r, q, False).removeprefix("the "),
            )
        found = ranged(
            r, (the + said[0].lower() + a[0], a[1]), (the + said[1].lower() + b[0], b[1]), 0.0, 0.3
        )
        return Sample(found.text, found.values, {"part": f"{p}/{q}"})
    return ranged(r, (the + a[0], a[1]), (the + b[0], b[1]), 0.12, 0.4)


PRECISIONS = SAID["precisions"]
SPANS = SAID["spans"]  # fmt: skip


def two_points(r: Choices) -> Sample:
    """Two points that have each a year, alike or not."""
    p, q = r.pick(SPANS).split("/")
    first = a_year(r)
    if p == q == "day" and r.chance(0.35):
        first = recent(r)
        last = first if r.chance(0.3) else later(r, first)
        m, n = a_month(r), a_month(r)
        m, n = (min(m, n), max(m, n)) if last == first else (m, n)
        d, e = a_day(r, (1999, False), m), a_day(r, (1999, False), n)
        if (last, m) == (first, n) and d >= e:
            d, e = r.number(1, 14), r.number(15, 28)
        if last != first and last[0] > 2200:
            last = first[0] + 1, False
        state = r.getstate()
        at = figure_day(r, first, m, d)
        after = r.getstate()
        r.setstate(state)  # the same choices: both ends look alike
        bt = figure_day(r, last, n, e)
        r.setstate(after)
        return ranged(
            r,
            (at, f"{edtf_year(first)}-{m:02d}-{d:02d}"),
            (bt, f"{edtf_year(last)}-{n:02d}-{e:02d}"),
            0.12,
            0.5,
        )
    last = later(r, first)
    a, b = marked(r, any_point(r, first, p)), marked(r, any_point(r, last, q))
    return ranged(r, a, b, 0.12, 0.2)


BEFORE = SAID["before"]
AFTER = SAID["after"]
LATER = SAID["later"]
SOONER = SAID["sooner"]
NOW = SAID["now"]
UNKNOWN = SAID["unknown"]


def a_period(r: Choices) -> Point:
    """A point of any precision as something to compare with."""
    if r.chance(0.35):
        year = recent(r)
        return str(year[0]), edtf_year(year)
    text, value = any_point(r, a_year(r), r.pick(PRECISIONS))
    if r.chance(0.1) and "X" not in value:
        return r.pick(CIRCA) + text, value + "~"
    return text, value


def compared(r: Choices) -> Sample:
    """Before or after a point, by a word, a sign or a word behind it."""
    text, value = a_period(r)
    said = r.chance(0.5)
    after, before = (f"{value}/..",), (f"../{value}",)
    kind = r.random()
    if kind < 0.09:
        if said:
            return Sample(r.one(">", ">=", "> =", "≥", "=>") + r.one("", " ", " ") + text, after)
        return Sample(r.one("<", "<=", "< =", "≤", "=<") + r.one("", " ", " ") + text, before)
    if kind < 0.12 and text.isdigit():
        if said:
            return Sample(r.one(f"{text}+", f"post-{text}", f"post {text}"), after)
        return Sample(r.one("pre-", "pre ") + text, before)
    if kind < 0.72:
        words = r.pick(AFTER if said else BEFORE)
        if text.isdigit() and r.chance(0.2):
            text = r.one("the year ", "the year of ", "year ") + text
        lead = r.pick(SAID["comparison led"])
        if words.startswith(("ending", "start", "begin", "some", "any", "at ", "on ", "in ")):
            lead = ""
        words = words.capitalize() if not lead and r.chance(0.15) else words
        return Sample(f"{lead}{words} {text}", after if said else before)
    words = r.pick(LATER if said else SOONER)
    lead = (
        r.one("", "", "in ", "from ", "since ", "starting ", "") if said else r.one("", "", "in ")
    )
    return Sample(f"{lead}{text}{r.one(' ', ' ', ' ', ', ')}{words}", after if said else before)


def open_ended(r: Choices) -> Sample:
    """To the present, or with an end that is open or not known."""
    text, value = a_period(r)
    if value[-1] != "~" and r.chance(0.5):
        text, value = marked(r, (text, value))
    join = joiner(r, 0.4)
    kind = r.random()
    if kind < 0.5:
        lead = r.pick(LEADS)
        return Sample(
            lead + text + join + r.pick(NOW) + (")" if lead == "(" else ""), (f"{value}/..",)
        )
    if kind < 0.8:
        unknown = r.pick(UNKNOWN)
        join = join if unknown[0] not in "nu" or join.strip().isalpha() else f" {join.strip()} "
        if r.chance(0.5):
            return Sample(text + join + unknown, (f"{value}/",))
        return Sample(unknown + join + text, (f"/{value}",))
    dash = r.one("–", "-", "—", "–", " –", " -", "– ", "...", " –…")
    wrap = r.one("", "", "(", "[")
    return Sample(wrap + text + dash + {"": "", "(": ")", "[": "]"}[wrap], (f"{value}/..",))


grammar("years", 0.4, two_years)
grammar("elided years", 0.45, elided_years)
grammar("days in a month", 0.5, two_days_of_month)
grammar("days in a year", 0.5, two_days_of_year)
grammar("months", 0.5, two_months)
grammar("seasons", 0.5, two_seasons)
grammar("decades", 0.4, two_decades)
grammar("centuries", 0.35, two_centuries)
grammar("across years", 0.5, two_points)
grammar("open ranges", 0.4, compared)
grammar("open ranges", 0.15, open_ended)
