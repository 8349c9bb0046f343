"""Dates in German, French, Spanish, Italian, Portuguese and Dutch."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from forms.core import (
    ROMAN,
    Choices,
    Sample,
    a_day,
    a_month,
    a_year,
    a_year_before,
    dash,
    edtf_year,
    fill,
    later,
    number_text,
    register,
)


@dataclass(frozen=True)
class Language:
    """The words of a language; `templates` by the kind of date."""

    months: str
    short: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    circa: tuple[str, ...]
    to: tuple[str, ...]
    seasons: dict[str, int]
    weekdays: str
    maybe: tuple[str, ...]
    ordinals: str
    templates: dict[str, str]


def languages() -> dict[str, Language]:
    """The languages of languages.toml by name."""
    found = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    lists = ("before", "after", "circa", "to", "maybe")
    return {
        name: Language(**said | {key: tuple(said[key]) for key in lists})
        for name, said in found.items()
    }


LANGUAGES = languages()


def era_of(r: Choices, language: Language, year: tuple[int, bool]) -> str:
    if year[1]:
        return r.pick(language.before)
    share = 1.0 if year[0] < 100 else 0.2 if year[0] < 1000 else 0.02
    return r.pick(language.after) if r.chance(share) else ""


def make(language: Language, kind: str, r: Choices, template: str) -> Sample:
    head, _, rest = template.partition(": ")
    said = head if rest and kind in ("part", "open", "life") else ""
    body = rest if said else template
    if kind in ("century", "part"):
        return _century(language, r, body, said)
    if kind == "decade":
        tens = r.number(150, 202) if r.chance(0.85) else r.number(80, 150)
        return Sample(fill(body, D=f"{tens}0"), (f"{tens:03d}X",))
    year = a_year_before(r) if r.chance(0.2) else a_year(r)
    month = a_month(r)
    day = 1 if body.startswith("1º") else a_day(r, year, month)
    last = later(r, year)
    names = language.months.split() if r.chance(0.8) else language.short.split()
    case = str.capitalize if r.chance(0.1) else str
    season = r.pick(tuple(language.seasons))
    shown = number_text(r, year) + era_of(r, language, year)
    slots = {
        "d": str(day),
        "d1": "1er" if day == 1 and r.chance(0.85) else str(day),
        "mon": case(names[month - 1]),
        "Y": shown,
        "S": case(season),
        "c": lambda: r.pick(language.circa),
        "maybe": lambda: r.pick(language.maybe),
        "wday": lambda: case(r.pick(language.weekdays.split())),
    }
    value = edtf_year(year)
    if kind == "range":
        return _range(language, r, body, slots, year, last, names)
    if "<S>" in body:
        value += f"-{language.seasons[season]}"
    elif "<mon>" in body:
        value += f"-{month:02d}" + (f"-{day:02d}" if "<d" in body or body.startswith("1º") else "")
    if kind == "circa":
        value += "~" if "<c>" in body or "circa" in body else "?"
    if kind == "open":
        value = f"../{value}" if said == "before" else f"{value}/.."
    return Sample(fill(body, **slots), (value,), {"kind": said} if kind == "life" else {})


def _century(language: Language, r: Choices, body: str, part: str) -> Sample:
    before = r.chance(0.25)
    number = r.number(1, 10) if before else r.number(1, 21) if r.chance(0.4) else r.number(9, 20)
    words = language.ordinals.split()
    if "<nth>" in body:
        number = min(number, len(words))
    era = r.pick(language.before) if before else ""
    word = words[number - 1] if number <= len(words) else ""
    if body.startswith("das"):
        word = word[:-1]
    roman = ROMAN[number - 1]
    if "<R>e " in body and number == 1:
        roman = "Ier"[:1]
        body = body.replace("<R>e ", r.one("<R>er ", "<R>er ", "<R>e "))
    text = fill(body, n=str(number), R=roman, nth=word, era=era)
    return Sample(
        text, (f"{'-' if before else ''}{number - 1:02d}XX",), {"part": part} if part else {}
    )


def _range(language: Language, r: Choices, body: str, slots: dict, year, last, names) -> Sample:  # type: ignore[no-untyped-def]
    while year[1] != last[1]:
        year = a_year(r)
        last = later(r, year)
    month = r.number(1, 11)
    after = r.number(month + 1, 12)
    d, e = r.number(1, 28), r.number(1, 28)
    second = r.number(min(d + 1, 28), 28)
    same = "<A>" not in body
    era = era_of(r, language, last)
    first_era = era if r.chance(0.3) else ""
    dated = "<mon> <A>" in body or "<mon> de <A>" in body
    slots |= {
        "d": str(d),
        "d1": "1er" if d == 1 else str(d),
        "e": str(e),
        "e2": str(second),
        "mon": names[month - 1],
        "mos": names[after - 1],
        "A": number_text(r, year) + (era if dated else first_era),
        "B": number_text(r, last) + era,
        "Y": number_text(r, year) + era_of(r, language, year),
    }
    to = r.pick(language.to)
    if " " not in to and ("<mon><to>" in body and "<d" in body):
        to = f" {to} "
    slots["to"] = to if to.strip().isalpha() or "/" in to else dash(r) if r.chance(0.4) else to
    if "<e2>" in body and d >= second:
        slots["d"], d = str(second - 1), second - 1
    text = fill(body, **slots)
    a, b = edtf_year(year), edtf_year(year if same else last)
    if "<e2>" in body:
        a, b = f"{a}-{month:02d}-{d:02d}", f"{a}-{month:02d}-{second:02d}"
    elif "<mos>" in body:
        a += f"-{month:02d}" + (f"-{d:02d}" if "<d" in body else "")
        b += f"-{after:02d}" + (f"-{e:02d}" if "<d" in body else "")
    if body.startswith(("zwischen", "entre", "tra ", "fra ", "tussen")):
        return Sample(text, (f"[{a}..{b}]",))
    if any(f" {word} <B>" in body for word in ("oder", "ou", "o", "of")):
        return Sample(text, (f"[{a},{b}]",))
    return Sample(text, (f"{a}/{b}",))


for _name, _language in LANGUAGES.items():
    for _kind, _templates in _language.templates.items():
        _weight = 1.6 if _kind in ("day", "century") else 1.0
        register(_name, partial(make, _language, _kind), _templates.strip().split("\n"), _weight)
