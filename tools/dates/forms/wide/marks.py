"""Templates, links, notes, remarks and words around a date, chosen one by one."""

from __future__ import annotations

from forms.core import (
    MONTHS,
    TRAIN,
    Choices,
    Sample,
    a_day,
    a_month,
    a_year,
    edtf_year,
    era_text,
    grammar,
    later,
    listed,
    month_text,
    ordinal,
    said,
    year_text,
)
from forms.marks import (
    ANY,
    NOUNS,
    PLACES,
    QUESTIONS,
    REMARKS,
    WHAT,
    WHO,
    a_word,
    anything,
    words,
)
from forms.nothing import EMPTY, RELATIVE, ROOMS, UNITS, a_number
from forms.wide.points import (
    closed,
)

SAID = said(__file__)


START = SAID["start"]


BIRTH = SAID["birth"]


DEATH = listed("death date, Death date, death-date, DeathDate, Death-date, deathdate")


ENDED = listed("end date, End date, end-date, closing date")


DATED = listed("dts, Dts, date, Date, sort date, date table sorting, sdate, dtsh")


SUFFIX = ("", "", "", " and age", " and years ago", " and given age")


def parameters(r: Choices) -> tuple[list[str], list[str]]:
    """Options by name that say nothing of the date: before it and after it."""
    said = lambda: r.pick(SAID["options"])  # noqa: E731
    before = [said()] if r.chance(0.15) else []
    return before, [said() for _ in range(r.pick((0, 0, 0, 0, 1, 1, 2)))]


def wiki(r: Choices) -> Sample:
    """A template with the figures of a date, and perhaps those of a birth behind a death."""
    names, kind = r.pick(
        ((START, ""), (START, ""), (BIRTH, "born"), (DEATH, "died"), (ENDED, ""), (DATED, ""))
    )
    year = (r.number(1500, 2024) if r.chance(0.7) else r.number(200, 1999)), False
    month = a_month(r)
    day = a_day(r, year, month)
    pad = r.chance(0.3)
    figures = [
        str(year[0]),
        f"{month:02d}" if pad else str(month),
        f"{day:02d}" if pad else str(day),
    ]
    count = r.pick((3, 3, 3, 2, 1))
    name = r.pick(names) + (r.pick(SUFFIX) if names is not DATED else "")
    if count == 1 and " date" in name and r.chance(0.4):
        name = name.replace(" date", " year")
    body = figures[:count]
    fields = {"kind": kind} if kind else {}
    if kind == "died" and r.chance(0.6):  # of the birth, after the death
        born = [str(year[0] - r.number(18, 95)), str(a_month(r)), str(r.number(1, 28))]
        body += born[: r.pick((3, 3, count, 1))]
    if names is DATED and count == 3 and r.chance(0.4):
        body = [
            r.one(
                f"{day} {MONTHS[month - 1]} {year[0]}",
                f"{MONTHS[month - 1]} {day}, {year[0]}",
                "-".join(figures),
            )
        ]
    if names in (START, DATED) and r.chance(0.1):
        body.append(r.one("Paris Film Festival", "Venice", "United States", "UK"))
    before, after = parameters(r)
    space = r.one("", "", "", "", " ")
    text = "{{" + f"{space}|{space}".join([name, *before, *body, *after]) + "}}"
    value = "-".join([f"{year[0]:04d}", f"{month:02d}", f"{day:02d}"][:count])
    if names is START and r.chance(0.2):
        last = later(r, year)
        m, d = a_month(r), r.number(1, 28)
        second = [str(last[0]), str(m), str(d)][:count]
        text += (
            r.one("–", " – ", "-", " to ", "&ndash;", " until ")
            + "{{"
            + "|".join([r.pick(ENDED), *second, *after])
            + "}}"
        )
        value += "/" + "-".join([f"{last[0]:04d}", f"{m:02d}", f"{d:02d}"][:count])
    return Sample(text, (value,), fields)


def wiki_words(r: Choices) -> Sample:
    """Circa, floruit and reign as templates, of one year or two."""
    names, kind = r.pick(
        (
            (listed("circa, c., Circa, ca., approx, C."), ""),
            (listed("floruit, fl., Floruit, fl"), "flourished"),
            (listed("reign, Reign, reigned, r., R."), "reigned"),
        )
    )
    year = a_year(r)
    last = later(r, year)
    while year[1] != last[1]:
        year = a_year(r)
        last = later(r, year)
    era = era_text(r, last).strip() if last[1] else ""
    shown = [str(year[0]), str(last[0])] if kind == "reigned" or r.chance(0.5) else [str(year[0])]
    mark = "~" if not kind else ""
    inner = [*shown[:-1], f"{shown[-1]}{r.one(' ', '&nbsp;')}{era}" if era else shown[-1]]
    text = "{{" + "|".join([r.pick(names), *inner, *parameters(r)[1]]) + "}}"
    value = edtf_year(year) + mark + (f"/{edtf_year(last)}{mark}" if len(shown) > 1 else "")
    return Sample(text, (value,), {"kind": kind} if kind else {})


OPENERS = SAID["openers"]


CLOSERS = {
    "{{": "}}",
    "[[": "]]",
    "'''": "'''",
    "''": "''",
    "(": ")",
    "[": "]",
    '"': '"',
    "“": "”",
    "«": "»",
    "‘": "’",
}


def wrapped(r: Choices) -> Sample:
    """Up to two marks around any date, and up to two behind it."""
    inner = anything(r)
    text = inner.text
    for _ in range(r.pick((0, 1, 1, 2))):
        mark = r.pick(OPENERS)
        end = (
            f"</{mark[1:]}"
            if mark[0] == "<"
            else CLOSERS.get(mark[:3]) or CLOSERS.get(mark[:2]) or CLOSERS[mark[0]]
        )
        text = mark + text + end
    n = str(r.number(1, 99))
    page = str(r.number(2, 480))
    name = r.one("asc", "Smith", "EB1911", "p12", "a", "Jones", "Brown2001", "note1")
    letter, word = r.one("a", "b", "c", "i", "iv"), a_word(r)
    for _ in range(r.pick((0, 1, 1, 2))):
        note = r.pick(SAID["notes"])
        text += note.format(n=n, letter=letter, name=name, page=page, word=word)
    if r.chance(0.15):
        text = r.one("| ", "• ", ": ", "# ", "; ", "date = ", "| date = ", "(", "|", "· ") + text
    return Sample(closed(text) if "(" not in inner.text else text, inner.values, inner.fields)


def linked(r: Choices) -> Sample:
    """A day, month or year of which parts are links, or joined by entities."""
    year, month = a_year(r), a_month(r)
    day = a_day(r, year, month)
    shown = year_text(r, year)
    name = MONTHS[month - 1] if r.chance(0.8) else month_text(r, month)
    link = lambda t: r.one(f"[[{t}]]", f"[[{t}|{t}]]", t, t, f"[[{t} (date)|{t}]]")  # noqa: E731
    sp = r.pick(SAID["spaces"])
    value = edtf_year(year)
    kind = r.random()
    if kind < 0.35:
        inner = r.one(f"{day}{sp}{name}", f"{name}{sp}{day}", f"{ordinal(day)} {name}")
        comma = r.one(", ", ", ", " ") if inner[0].isalpha() else r.one(" ", sp)
        return Sample(link(inner) + comma + link(shown), (f"{value}-{month:02d}-{day:02d}",))
    if kind < 0.55:
        return Sample(link(name) + r.one(" ", sp, ", ") + link(shown), (f"{value}-{month:02d}",))
    about = r.chance(0.4)
    lead = (
        r.one("c.", "ca.", "circa", "''c.''", "c", "{{circa}}", "[[circa|c.]]") + r.one(" ", sp)
        if about
        else r.one("", "in ", "year ")
    )
    if kind < 0.75 or year[1]:
        return Sample(lead + link(shown), (value + ("~" if about else ""),))
    last = later(r, year)
    dash = r.pick(SAID["entities"])
    return Sample(
        lead + link(str(year[0])) + dash + link(year_text(r, last)),
        (f"{value}{'~' if about else ''}/{edtf_year(last)}",),
    )


MORE_REMARKS = (*REMARKS, *SAID["remarks"])


def remarked(r: Choices) -> Sample:
    """A date with its length, an age or a remark, before or behind it in any brackets."""
    inner = TRAIN.draw(r, r.pick(ANY))
    n = r.number(1, 99)
    unit = r.pick(SAID["units"])
    more = r.one(
        "",
        "",
        f" and {r.number(1, 11)} months",
        f", {r.number(1, 364)} days",
        f" {r.number(1, 29)} days",
    )
    length = r.one(
        f"{n} {unit}{more}",
        f"about {n} {unit}",
        f"{n} {unit}",
        f"nearly {n} {unit}",
        f"a total of {n} {unit}",
        f"for {n} {unit}",
        f"over {n} {unit}",
        f"duration {n} {unit}",
        f"{n}-year term",
        f"{r.number(2, 9)} seasons",
    )
    age = r.pick(SAID["age"]).format(n=n, next=n + 1)
    said = r.one(length, length, age, age, r.pick(MORE_REMARKS), r.pick(MORE_REMARKS), a_word(r))
    if said[0].isalpha() and r.chance(0.25) and said not in (length, age):
        return Sample(
            r.pick(SAID["remark before"]).format(said=said, date=inner.text),
            inner.values,
            inner.fields,
        )
    return Sample(
        inner.text + r.pick(SAID["remark after"]).format(said=said), inner.values, inner.fields
    )


MORE_WHO = SAID["who"]


MORE_WHAT = SAID["what"]


LIKE_MONTHS = SAID["like a month"]


JOINTS = (" ", " ", " ", ", ", ", ", ": ", " – ", " (", "; ", ". ", " - ", " … ")


def amid(r: Choices) -> Sample:
    """Any date with words, names or numbers that are no dates before and behind it."""
    inner = (
        anything(r)
        if r.chance(0.75)
        else TRAIN.draw(r, r.pick(("month", "day", "day in figures", "years", "open ranges")))
    )
    text = inner.text

    def some() -> str:
        return r.pick(
            (
                words(r, 6),
                words(r, 4),
                words(r, 3),
                r.pick(PLACES),
                f"{r.pick(ROOMS)} {r.number(2, 40)}",
                f"{r.number(2, 90)} {r.pick(UNITS)}",
            )
        )

    kind = r.random()
    join = r.pick(JOINTS)
    before, after = some(), some()
    if r.chance(0.4):
        before = r.one(
            f"{r.pick(WHO)} {r.pick(WHAT)}",
            f"{r.pick(MORE_WHO)} {r.pick(MORE_WHAT)}",
            f"{r.one(*WHO, *MORE_WHO)} {r.pick(LIKE_MONTHS)}",
            r.pick(QUESTIONS),
            f"{r.pick(NOUNS)} {r.one('is', 'was', 'will be', 'ran', 'ends', 'starts')}",
        )
        join = (
            r.one(" ", " ", " ", " ", " on ", " in ", ": ") if kind < 0.35 or kind >= 0.65 else join
        )
        if join in (" on ", " in ") and not text[0].isdigit():
            join = " "
    if before[-1].isdigit() or after[0].isdigit():  # a number would be of the date
        join = r.one(": ", "; ", " – ", ". ")
    if kind < 0.35:
        text = before + join + text + (")" if join == " (" else "")
    elif kind < 0.65:
        text += (join if join != " (" else ", ") + after
    else:
        text = (
            before + join + text + (")" if join == " (" else r.one("", "", ",", ";")) + " " + after
        )
    text = text[:1].upper() + text[1:] if r.chance(0.5) else text
    return Sample(text + r.one("", "", ".", ".", "!", "?", "…"), inner.values, inner.fields)


def nothing(r: Choices) -> Sample:
    """Words, numbers and units in any order, none of which is a date."""
    some = (
        lambda: words(r, 5),
        lambda: words(r, 3),
        lambda: f"{a_number(r)} {r.pick(UNITS)}",
        lambda: f"{r.pick(ROOMS)} {r.number(1, 99)}",
        lambda: r.pick(RELATIVE),
        lambda: r.pick(PLACES),
        lambda: f"{r.number(1, 999)}.{r.number(0, 99):02d}",
        lambda: f"${r.number(1, 99)},{r.number(0, 999):03d}",
        lambda: f"{r.number(2, 99)} {words(r, 2)}",
    )
    text = r.one(" ", ", ", " – ", "; ", " and ", " or ").join(
        r.pick(some)() for _ in range(r.pick((1, 2, 2, 3)))
    )
    if r.chance(0.15):
        text = r.pick(EMPTY)
    return Sample(text + r.one("", "", ".", "?", "!"))


grammar("wiki templates", 0.45, wiki)
grammar("wiki templates", 0.12, wiki_words)
grammar("marks around a date", 0.5, wrapped)
grammar("links and entities", 0.4, linked)
grammar("durations and remarks", 0.5, remarked)
grammar("sentences", 0.3, amid)
grammar("no date", 0.3, nothing)
