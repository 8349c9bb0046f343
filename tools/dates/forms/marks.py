"""Markup of encyclopedias, remarks, durations, and dates inside of sentences."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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
    fill,
    forms,
    later,
    listed,
    month_text,
    year_text,
)
from forms.points import point

ANY = listed(
    """
    day, day, day in figures, month, year, year, season, years, years, elided years,
    days in a month, days in a year, months, across years, across years, circa and doubt,
    circa and doubt, decade, century, centuries, part of a month or year, alternatives,
    births and deaths, reigns, open ranges, several dates, old and new style
    """
)


def anything(r: Choices) -> Sample:
    return TRAIN.draw(r, r.pick(ANY))


def optional(r: Choices) -> str:
    return r.one("", "", "|df=y", "|df=yes", "|mf=y", "|mf=yes", "|df=1")


KIND_OF = {"<birth>": "born", "<death>": "died", "<fl>": "flourished", "<reign>": "reigned"}


NAMES = {
    "start": listed("start date, Start date, start-date, film date, startdate"),
    "age": (" and age", " and age", " and years ago"),
    "birth": listed("birth date, Birth date, birth-date, Birth-date, bda, dob, BirthDate"),
    "death": listed("death date, Death date, death-date, DeathDate"),
    "end": listed("end date, End date"),
    "circa": listed("circa, c., Circa, ca., approx"),
    "fl": listed("floruit, fl., Floruit, fl"),
    "reign": listed("reign, Reign, reigned, r."),
    "dts": listed("dts, Dts, date, Date, sort date"),
}


def names_of_templates(r: Choices) -> dict[str, Callable[[], str]]:
    return {slot: partial(r.pick, names) for slot, names in NAMES.items()}


def wiki(r: Choices, template: str) -> Sample:
    number = r.number(1500, 2024) if r.chance(0.7) else r.number(200, 1999)
    year = number, False
    month = a_month(r)
    day = a_day(r, year, month)
    last = later(r, year)
    pad = r.chance(0.25)
    full = f"{number}|{month:02d}|{day:02d}" if pad else f"{number}|{month}|{day}"
    options = optional(r)
    date_first = r.chance(0.3)
    m2, d2 = a_month(r), r.number(1, 28)
    until = f"{last[0]}|{m2}|{d2}"
    era_year = a_year(r)
    era_last = later(r, era_year)
    while era_year[1] != era_last[1]:
        era_year = a_year(r)
        era_last = later(r, era_year)
    era = era_text(r, era_last).strip() if era_last[1] else ""
    text = fill(
        template,
        **names_of_templates(r),
        D=f"{options[1:]}|{full}" if date_first and options else full + options,
        YM=f"{number}|{month:02d}" if pad else f"{number}|{month}",
        Y=str(number),
        born=f"{number - r.number(20, 90)}|{a_month(r)}|{r.number(1, 28)}",
        E=str(era_year[0]) + (" " + era if era else ""),
        F=str(era_year[0]),
        L=str(era_last[0]) + (" " + era if era else ""),
        until=until,
        m=MONTHS[month - 1],
        d=str(day),
        M=str(last[0]),
    )
    value = f"{number:04d}"
    fields: dict[str, str] = {}
    if "<D>" in template or "<m>" in template:
        value += f"-{month:02d}-{day:02d}"
    elif "<YM>" in template:
        value += f"-{month:02d}"
    if "<E>" in template or "<F>" in template:
        value = edtf_year(era_year)
    if "<L>" in template:
        mark = "~" if "<circa>" in template else ""
        value = f"{value}{mark}/{edtf_year(era_last)}{mark}"
    elif "<circa>" in template:
        value += "~"
    elif "<until>" in template:
        value += f"/{last[0]:04d}-{m2:02d}-{d2:02d}"
    elif "<M>" in template:
        value += f"/{last[0]:04d}"
    for sign, kind in KIND_OF.items():
        if sign in template:
            fields["kind"] = kind
    return Sample(
        text.replace("{{bda", "{{birth date") if "age" in template else text, (value,), fields
    )


forms("wiki templates", wiki)


def wrapped(r: Choices, template: str) -> Sample:
    """Marks around any date that leave its meaning alone."""
    inner = anything(r)
    number = str(r.number(1, 99))
    text = fill(
        template,
        X=inner.text,
        n=number,
        word=lambda: r.one("asc", "smith2004", "EB1911", "p12", "a", "Jones"),
        **{tag: f"<{tag}>" for tag in ("b", "br", "sup", "ref", "small")},
        page=lambda: str(r.number(2, 480)),
    )
    return Sample(text, inner.values, inner.fields)


forms("marks around a date", wrapped)


def links(r: Choices, template: str) -> Sample:
    """Links and entities within a date."""
    year = a_year(r)
    if "<to>" in template:
        year = r.number(1000, 2019), False
    last = later(r, year)
    month = a_month(r)
    day = a_day(r, year, month)
    name = MONTHS[month - 1]
    two = last[0] % 100
    short = f"{two:02d}" if not last[1] and last[0] // 100 == year[0] // 100 else str(last[0])
    shown = year_text(r, year)
    text = fill(
        template,
        d=str(day),
        m=name if r.chance(0.8) else month_text(r, month),
        Y=shown,
        N=str(year[0]),
        L=str(last[0]),
        S=short,
        c=lambda: r.one("c.", "ca.", "circa", "C.", "about"),
        to="",
        en=lambda: r.one(
            "&ndash;", "&#8211;", "&mdash;", "{{ndash}}", "{{snd}}", "&#x2013;", " &ndash; "
        ),
        sp=lambda: r.one("&nbsp;", "&nbsp;", "&#160;", "\u00a0", "{{nbsp}}"),
    )
    value = edtf_year(year)
    if "<d>" in template:
        value += f"-{month:02d}-{day:02d}"
    elif "<m>" in template:
        value += f"-{month:02d}"
    if "<c>" in template:
        value += "~"
    if "<L>" in template or "<S>" in template:
        value += f"/{edtf_year(last)}"
    return Sample(text, (value,))


forms("links and entities", links)


REMARKS = listed(
    """
    baptised, baptized, burial, traditional date, first edition, observed, coronation, unveiled,
    published, in Paris, christened, first performance, consecrated
    """
)


def ages(r: Choices, template: str) -> Sample:
    """A duration or a remark in parentheses after a date says nothing of its own."""
    if "<A>" in template:
        inner = TRAIN.draw(
            r,
            r.pick(("across years", "years", "elided years", "days in a year", "days in a month")),
        )
    elif "<R>" in template:
        inner = TRAIN.draw(r, r.pick(("day", "year", "month", "births and deaths")))
    else:
        inner = point(r)
    n = r.number(1, 99)

    def length() -> str:
        unit = r.one("years", "years", "months", "days", "yrs", "years old", "weeks")
        return f"{n} {unit}"

    text = fill(
        template,
        P=inner.text,
        A=inner.text,
        R=inner.text,
        n=str(n),
        m=str(r.number(1, 11)),
        k=str(r.number(1, 364)),
        long=length,
        aged=lambda: r.one("aged", "aged", "age", "at age", "at the age of", "aged about"),
        remark=lambda: r.pick(REMARKS),
    )
    return Sample(text, inner.values, inner.fields)


forms("durations and remarks", ages)

SUBJECTS = listed(
    """
    The battle, The treaty, The church, Construction, The company, Her first novel, The siege,
    The bridge, The king, The exhibition, The railway, His coronation, The castle, The festival,
    The concert, Work, The old abbey, This manuscript, The agreement, The project, Our contract,
    The meeting, My order, The conference, The tournament, The law, The tower, The city wall,
    A great fire, The expedition, The first edition, The opera, Their house, The warranty,
    The new office, The flight, The invoice
    """
)
VERBS = listed(
    """
    was founded, took place, began, was signed, was built, ended, was held, started,
    was completed, opened, was destroyed, is due, was published, happened, closed, was restored,
    came into force, was discovered, will start, will take place, expires, was demolished,
    was first performed, was delivered, must be paid, is planned, was moved, fell, was launched,
    will end, was recorded, is scheduled
    """
)
PLACES = listed(
    """
    in Dallas, near Ghent, in Rome, at sea, in northern Italy, on the Rhine, in the capital,
    at the palace, in New York, off the coast of Chile, in what is now Turkey,
    in the presence of 300 guests, for the second time, by order of the council, with 12 ships,
    at a cost of 4000 pounds, under Charles V, by Henry VIII, killing 20 people,
    after a long delay, at the age of 34, in chapter 7, on platform 9, for $250, with 40 others
    """
)
PEOPLE = listed(
    """
    I, I, We, You, The team, My parents, She, He, They, We, My brother, The manager, Anna,
    Dr. Brown, Everyone
    """
)
ACTS = listed(
    """
    arrived, left the city, married, will travel, moved to Boston, signed the papers,
    returned home, met him, will be away, started a job, went back, was elected, took the throne,
    worked there, bought a house, visited Japan, plan to go, want to leave, have been away,
    need a room, got it, must finish, drove to Spain, was in Spain, stayed in Leeds,
    will come back, has been on holiday, can travel
    """
)
THINGS = listed(
    """
    sales, profits, the figures, all orders, the records, prices, exports, results, reports,
    photos, emails, the invoices
    """
)
ASKS = listed(
    """
    Show, Show me, List, Find, Give me, Tell me about, What were, How about, I need, Please send,
    Look up, Search for
    """
)


WORDS = listed(
    """
    river, the, history, of, castle, music, a, Italian, painter, and, school, large, province,
    village, northern, species, in, album, football, club, with, queen, treaty, island, church,
    famous, bridge, on, old, house, city, is, was, war, army, mountain, station, known, for,
    road, at, poet, lake
    """
)
SYLLABLES = (
    "b", "br", "c", "ch", "d", "dr", "f", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "qu", "r",
    "s", "sh", "st", "t", "th", "tr", "v", "w", "z", "",
)  # fmt: skip
VOWELS = listed(
    """
    a, e, i, o, u, ai, ea, ou, y, io
    """
)
ENDINGS = (
    "", "", "n", "r", "s", "l", "t", "ng", "ck", "x", "m", "nd",
)  # fmt: skip


def a_word(r: Choices) -> str:
    """A word of a list, or one that does not exist: what stands around a date may be anything."""
    if r.chance(0.6):
        return r.pick(WORDS)
    made = "".join(r.pick(SYLLABLES) + r.pick(VOWELS) for _ in range(r.number(1, 3))) + r.pick(
        ENDINGS
    )
    return made.capitalize() if r.chance(0.3) else made


def words(r: Choices, most: int = 5) -> str:
    return " ".join(a_word(r) for _ in range(r.number(1, most)))


def a_file(r: Choices, template: str) -> Sample:
    """A date in the name of a file or an address."""
    year, month = (r.number(1980, 2029), False), a_month(r)
    day = a_day(r, year, month)
    text = fill(
        template,
        y=f"{year[0]}",
        m=f"{month:02d}",
        d=f"{day:02d}",
        w=lambda: a_word(r),
        n=str(r.number(1, 9999)),
        ext=lambda: r.one("pdf", "txt", "csv", "html", "xlsx", "jpg", "log"),
        _="_",
    )
    return Sample(text, (f"{year[0]}-{month:02d}-{day:02d}",))


forms("names of files", a_file)


INSIDE = {
    "on": listed("day, day in figures, day in figures, years in words"),
    "in": listed(
        """
        year, year, month, month, season, years in words, decade, century, quarter,
        part of a month or year
        """
    ),
    "span": listed(
        """
        years, across years, across years, days in a month, days in a year, months, open ranges,
        alternatives, decades, centuries, seasons
        """
    ),
}


WHO = listed(
    "I'll, I'll, We'll, You'll, She'll, They'll, He'd, I'd, We can't, I can, He won't, You must"
)
WHAT = listed(
    """
    be away, be gone, be abroad, be busy, be home, have time, come by, travel, be in the office,
    return, finish it, deliver it, arrive, depart, pay, move, not be there, take leave, come
    """
)
QUESTIONS = listed(
    """
    What about, Are you free, Are you there, Where was he, What's planned for, Who was king in,
    Can we meet, Shall we go, Why not, Is it, Was this, How was, When else than, Do you know,
    What happened, What's wrong with, Who came, Will it be, Does it end, Which of
    """
)
NOUNS = listed(
    """
    The range, The interval, The span, The window, The term, The deadline, The duration,
    The time frame, My holiday, Our trip, The contract, The lease, The season, The phase,
    The epoch, The range, The strike, The show, The war, The reform, This plan, Their budget
    """
)


AROUND = {
    "subject": SUBJECTS,
    "verb": VERBS,
    "place": PLACES,
    "person": PEOPLE,
    "act": ACTS,
    "things": THINGS,
    "ask": ASKS,
}


def around(r: Choices) -> dict[str, Callable[[], str]]:
    """Slots of what stands around a date or without one."""
    return {slot: partial(r.pick, options) for slot, options in AROUND.items()}


def sentence(r: Choices, template: str) -> Sample:
    """A sentence around a date; where `in` or `on` stands, the date takes it."""
    slot = next((slot for slot in INSIDE if f"<{slot}>" in template), "")
    inner = TRAIN.draw(r, r.pick(INSIDE[slot])) if slot else anything(r)
    shown = inner.text
    lower = shown.lower()
    if "<on>" in template and not lower.startswith(("on ", "at ", "in ")):
        shown = r.one("on ", "on ", "on ", "") + shown
    if "<in>" in template and not lower.startswith(
        ("in ", "during", "at ", "dat", "of ", "by ", "as ", "through", "back", "some", "on ")
    ):
        shown = r.one("in ", "in ", "in ", "during ") + shown
    text = fill(
        template,
        X=shown,
        on=shown,
        span=shown,
        **around(r),
        words=lambda: words(r),
        Words=lambda: words(r, 6).capitalize(),
        made=lambda: a_word(r),
        soon=lambda: f"{r.pick(WHO)} {r.pick(WHAT)}",
        asks=lambda: r.pick(QUESTIONS),
        noun=lambda: r.pick(NOUNS),
        end=lambda: r.one(".", ".", "", "!", "?"),
        **{"in": shown},
    )
    return Sample(text, inner.values, inner.fields)


forms("sentences", sentence)
