"""Dates in languages besides English, whose words are chosen one by one."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from forms.core import (
    ROMAN,
    Choices,
    Sample,
    Year,
    a_day,
    a_month,
    a_year,
    a_year_before,
    edtf_year,
    fill,
    grammar,
    later,
    number_text,
)
from forms.languages import LANGUAGES, Language, era_of
from forms.wide.points import figure_day
from forms.wide.ranges import dash_only

PART = ("early", "mid", "late", "first half", "second half")
Said = tuple[tuple[str, str], ...]  # words, and what they say of a date: early, after, or, ...


def listed(text: str) -> Said:
    """The items of a list and what stands behind their `#`."""
    return tuple(
        (a.strip().replace("~", " "), b)
        for a, _, b in (item.partition("#") for item in text.split(", "))
    )


@dataclass(frozen=True)
class Words:
    """The lists of a language by name."""

    of: Said
    on: Said
    in_month: Said
    in_season: Said
    in_year: Said
    later: Said
    decade: Said
    in_decade: Said
    century: Said
    in_century: Said
    born: Said
    died: Said
    from_to: Said
    circa: Said
    maybe: Said
    now: Said
    none: Said
    dot: str


def read() -> dict[str, Words]:
    found = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {
        name: Words(dot=lists.pop("dot"), **{key: listed(text) for key, text in lists.items()})
        for name, lists in found.items()
    }


def year_of(r: Choices) -> Year:
    return a_year_before(r) if r.chance(0.18) else a_year(r)


def shown_year(r: Choices, language: Language, year: Year) -> str:
    return number_text(r, year) + era_of(r, language, year)


def point(
    r: Choices, language: Language, words: Words, year: Year, precision: str
) -> tuple[str, str]:
    """A day, month, season or year without a word before it, and its value."""
    month = a_month(r)
    day = a_day(r, year, month)
    names = language.months.split() if r.chance(0.8) else language.short.split()
    name = names[month - 1]
    name = r.one(name, name, name, name, name, name.capitalize(), name.upper(), name.rstrip("."))
    shown, value = shown_year(r, language, year), edtf_year(year)
    of = r.pick(words.of)[0]
    if precision == "year":
        return shown, value
    if precision == "season":
        season = r.pick(tuple(language.seasons))
        text = r.one(season, season.capitalize()) + of + shown
        return text, f"{value}-{language.seasons[season]}"
    if precision == "month":
        between = r.one(of, of, of, " ", ", ", "-" if shown.isdigit() else " ")
        return name + between + shown, f"{value}-{month:02d}"
    full = f"{value}-{month:02d}-{day:02d}"
    if not year[1] and year[0] > 999 and r.chance(0.12):
        s = r.one(".", ".", ". ")
        if r.chance(0.7):
            return f"{day}{s}{month}{s}{year[0]}", full
        return figure_day(r, year, month, day), full
    text = named_day(r, words, (day, name, shown), of)
    if r.chance(0.12):
        weekday = r.pick(language.weekdays.split())
        weekday = r.one(weekday, weekday.capitalize())
        text = r.one(
            f"{weekday} {text}", f"{weekday}, {text}", f"{text} ({weekday})", f"{weekday}, {text}"
        )
    return text, full


def named_day(r: Choices, words: Words, parts: tuple[int, str, str], of: str) -> str:
    """A day, the name of its month and its year with what stands between."""
    day, name, shown = parts
    number = f"{day}{words.dot}"
    if day == 1 and not words.dot:
        number = r.one("1er", "1º", "1°", "1", "1", "1.")
    elif r.chance(0.08):
        number = r.one(f"{day:02d}{words.dot}", str(day), f"{day}.")
    between = (
        r.one(of, of, of, " ", "-" if shown.isdigit() else " ", ", ")
        .replace(" del año ", " de ")
        .replace(" do ano de ", " de ")
        .replace(" do ano ", " de ")
        .replace(" dell'anno ", " ")
    )
    first = between if between != ", " else " "
    return number + first + name + r.one(of, of, of, between, ", ") + shown


def said(text: str, value: str, what: str) -> Sample:
    """The date as what a word before or behind it makes of it."""
    if what == "after":
        return Sample(text, (f"{value}/..",))
    if what == "before":
        return Sample(text, (f"../{value}",))
    if what in PART:
        return Sample(text, (value,), {"part": what})
    return Sample(text, (value + {"circa": "~", "doubt": "?"}.get(what, ""),))


def led(word: str, text: str) -> str:
    return f"{word}{'' if word.endswith(('-', chr(39), '’', '*', '†')) else ' '}{text}"


def single(language: Language, words: Words, r: Choices) -> Sample:
    """A point with a word before it, behind it, or neither; circa and doubt; births and deaths."""
    precision = r.pick(("day", "day", "day", "month", "month", "year", "year", "season", "season"))
    text, value = point(r, language, words, year_of(r), precision)
    kind = r.random()
    if kind < 0.12:
        return Sample(text, (value,))
    if kind < 0.5:
        leads = {
            "day": words.on,
            "month": words.in_month,
            "season": words.in_season,
            "year": words.in_year,
        }
        word, what = r.pick(leads[precision])
        text = led(word.capitalize() if r.chance(0.12) else word, text)
        return said(text, value, what)
    if kind < 0.56:
        word, what = r.pick(words.later)
        return said(f"{text} {word}", value, what)
    if kind < 0.78:
        name, lists = r.pick((("born", words.born), ("died", words.died)))
        word = r.pick(lists)[0]
        return Sample(led(word, text), (value,), {"kind": name})
    about, doubt = r.pick(((True, False), (True, False), (False, True), (True, True)))
    if about:
        text = (
            f"{r.pick(words.circa)[0]} {text}"
            if r.chance(0.85)
            else f"{text} {r.one('circa', 'ca.', '(circa)', '(ca.)')}"
        )
    if doubt:
        text = (
            f"{r.pick(words.maybe)[0]} {text}"
            if r.chance(0.6)
            else text + r.one("?", " (?)", "(?)", " ?")
        )
    return Sample(text, (value + ("%" if about and doubt else "~" if about else "?"),))


def period(language: Language, words: Words, r: Choices) -> Sample:
    """A decade or a century, its parts, and what is before or after it."""
    if r.chance(0.3):
        tens = r.number(150, 202) if r.chance(0.85) else r.number(80, 150)
        text, value = fill(r.pick(words.decade)[0], D=f"{tens}0"), f"{tens:03d}X"
        word, what = r.pick(words.in_decade)
        return said(text, value, "") if r.chance(0.2) else said(led(word, text), value, what)
    before = r.chance(0.25)
    ordinals = language.ordinals.split()
    number = r.number(1, 10) if before else r.number(1, 21) if r.chance(0.4) else r.number(9, 20)
    template = r.pick(words.century)[0]
    word, what = r.pick(words.in_century)
    bare = r.chance(0.2)
    if "<nth>" in template:
        number = min(number, len(ordinals))
    nth = ordinals[number - 1] if number <= len(ordinals) else ""
    if number == 1:
        template = template.replace("<R>e ", "Ier ").replace("<n>e siècle", "1er siècle")
    if language is LANGUAGES["German"] and word.endswith("des") and not bare:
        template = template.replace("Jahrhundert", "Jahrhunderts")
    roman = ROMAN[number - 1]
    text = fill(template, n=str(number), R=roman if r.chance(0.95) else roman.lower(), nth=nth)
    text += r.pick(language.before) if before else r.one(*[""] * 9, language.after[0])
    value = f"{'-' if before else ''}{number - 1:02d}XX"
    return said(text, value, "") if bare else said(led(word, text), value, what)


def span(language: Language, words: Words, r: Choices) -> Sample:
    """Two points with the words of a range, of what is between, or of one of two."""
    year = year_of(r)
    last = later(r, year)
    p, q = r.pick(
        (
            ("year", "year"),
            ("year", "year"),
            ("day", "day"),
            ("day", "day"),
            ("month", "month"),
            ("year", "day"),
            ("month", "year"),
            ("season", "season"),
        )
    )
    while year[1] != last[1]:
        year = year_of(r)
        last = later(r, year)
    (at, a), (bt, b) = point(r, language, words, year, p), point(r, language, words, last, q)
    if p == q == "year" and r.chance(0.4):  # the era once
        at = number_text(r, year)
    if p == q and p in ("day", "month") and r.chance(0.4):  # the year once
        (at, a), (bt, b) = in_a_year(r, language, words, year, p)
    if r.chance(0.1):
        at, a = f"{r.pick(words.circa)[0]} {at}", a + "~"
    pair, what = r.pick(words.from_to)
    first, _, second = pair.partition("/")
    if second in ("–", "-") or r.chance(0.15):
        return Sample(
            at + dash_only(r) + bt if r.chance(0.9) else f"({at}{dash_only(r)}{bt})", (f"{a}/{b}",)
        )
    if r.chance(0.08):
        head = led(first, at) if first and not what else at
        text = f"{head} {'–' if what else second.split()[0]} {r.pick(words.now)[0]}"
        return Sample(text.replace("bis bis", "bis"), (f"{a}/..",))
    text = f"{led(first, at) if first else at} {led(second, bt)}"
    value = {"between": f"[{a}..{b}]", "or": f"[{a},{b}]"}.get(what, f"{a}/{b}")
    return Sample(text, (value,))


def in_a_year(r: Choices, language: Language, words: Words, year: Year, precision: str):  # type: ignore[no-untyped-def]
    """Two days or months of a year, which stands behind the second."""
    m, n = sorted((a_month(r), a_month(r)))
    n = n + 1 if n == m and n < 12 else n
    m = m - 1 if n == m else m
    names = language.months.split() if r.chance(0.85) else language.short.split()
    d, e = r.number(1, 28), r.number(1, 28)
    of = r.one(*(o for o, _ in words.of if "a" not in o)).replace(",", "")
    day = precision == "day"
    first = (f"{d}{words.dot}{of}" if day else "") + names[m - 1]
    second = (f"{e}{words.dot}{of}" if day else "") + names[n - 1]
    second += r.pick(words.of)[0] + shown_year(r, language, year)
    a, b = (
        f"{edtf_year(year)}-{k:02d}" + (f"-{x:02d}" if day else "") for k, x in ((m, d), (n, e))
    )
    return (first, a), (second, b)


def nothing(words: Words, r: Choices) -> Sample:
    return Sample(
        r.one(" ", ", ", " – ").join(r.pick(words.none)[0] for _ in range(r.pick((1, 1, 2))))
    )


for _name, _words in read().items():
    _language = LANGUAGES[_name]
    _makes = (
        (partial(single, _language, _words), 0.28),
        (partial(period, _language, _words), 0.14),
        (partial(span, _language, _words), 0.14),
        (partial(nothing, _words), 0.02),
    )
    for _make, _share in _makes:
        grammar(_name, _share, _make)
