"""Days, months, years, seasons and quarters in English, as figures and as words."""

from __future__ import annotations

from forms.core import (
    CARDINALS,
    MONTHS,
    ORDINALS,
    ROMAN,
    TRAIN,
    WEEKDAYS,
    Choices,
    Sample,
    Year,
    a_day,
    a_month,
    a_year,
    edtf_year,
    fill,
    forms,
    listed,
    month_text,
    ordinal,
    year_text,
    year_words,
)

SEASONS = {"spring": 21, "summer": 22, "autumn": 23, "fall": 23, "winter": 24}


def word(r: Choices, text: str) -> str:
    return text.replace("-", " ") if r.chance(0.35) else text


def day_slots(r: Choices, year: Year, month: int, day: int) -> dict:
    number = year[0]
    return {
        "d": str(day),
        "dd": f"{day:02d}",
        "dth": lambda: ordinal(day) if r.chance(0.95) else f"{day:02d}" + ordinal(day)[-2:],
        "dword": lambda: word(r, ORDINALS[day - 1]),
        "dcard": lambda: word(r, CARDINALS[day - 1]),
        "mon": lambda: month_text(r, month),
        "full": MONTHS[month - 1],
        "short": MONTHS[month - 1][:3],
        "m": str(month),
        "mm": f"{month:02d}",
        "rom": lambda: ROMAN[month - 1] if r.chance(0.6) else ROMAN[month - 1].lower(),
        "Y": lambda: year_text(r, year),
        "Y4": f"{number:04d}",
        "yy": f"{number % 100:02d}",
        "wday": lambda: r.pick(WEEKDAYS)[: None if r.chance(0.8) else 3],
        "time": lambda: clock(r),
        "hms": lambda: (
            f"{r.number(0, 23):02d}:{r.number(0, 59):02d}"
            + (f":{r.number(0, 59):02d}" if r.chance(0.4) else "")
        ),
    }


def clock(r: Choices) -> str:
    hour, minute = r.number(1, 12), r.number(0, 59)
    return r.one(
        f"{hour} {r.one('a.m.', 'p.m.', 'am', 'pm', 'AM', 'PM', 'o’clock')}",
        f"{hour}:{minute:02d}{r.one('', f':{minute:02d}')}{r.one('am', 'pm', ' a.m.')}",
        f"{hour}{r.one('am', 'pm')}",
        f"{hour}:{minute:02d} {r.one('a.m.', 'p.m.', 'am', 'pm', 'AM')}",
        f"{hour + 11}:{minute:02d} {r.one('UTC', 'GMT', 'CET', 'local time', 'hours', 'EST')}",
        f"{hour + 11:02d}:{minute:02d}",
        f"{hour}.{minute:02d} {r.one('a.m.', 'p.m.')}",
        r.one("noon", "midnight", "dawn", "about noon"),
    )


def day(r: Choices, template: str) -> Sample:
    year = a_year(r)
    month = a_month(r)
    return one_day(r, template, year, month, a_day(r, year, month))


def one_day(r: Choices, template: str, year: Year, month: int, day_: int) -> Sample:
    text = fill(template, **day_slots(r, year, month, day_))
    return Sample(text, (f"{edtf_year(year)}-{month:02d}-{day_:02d}",))


def recent(r: Choices) -> Year:
    """A year of four figures after Christ."""
    return (r.number(1900, 2030) if r.chance(0.6) else r.number(1000, 2100)), False


def figures(r: Choices, template: str) -> Sample:
    """Days in figures; the month comes before the day between slashes and hyphens."""
    year, month = recent(r), a_month(r)
    if "<yy>" in template:
        year = r.number(1940, 2029), False
    return one_day(r, template, year, month, a_day(r, year, month))


def european(r: Choices, template: str) -> Sample:
    """The day first between slashes and hyphens: only where it cannot be a month."""
    year, month = recent(r), a_month(r)
    return one_day(r, template, year, month, r.number(13, 28 if month == 2 else 30))


def short_year(r: Choices, template: str) -> Sample:
    """Two figures of the year: 00 to 29 are of this century, 40 to 99 of the last."""
    year = r.number(1940, 2029), False
    month = a_month(r)
    first = template.startswith("<d")
    days = r.number(13, 28) if first else a_day(r, year, month)
    return one_day(r, template, year, month, days)


def ides(r: Choices, template: str) -> Sample:
    year, month = a_year(r), a_month(r)
    is_ides = template.startswith("Ides") or "the Ides" in template
    late = month in (3, 5, 7, 10)
    number = (15 if late else 13) if is_ides else 7 if late else 5
    slots = day_slots(r, year, month, number)
    text = fill(template, **slots)
    return Sample(text, (f"{edtf_year(year)}-{month:02d}-{number:02d}",))


forms("day", day)
forms("day in figures", figures)
forms("day in figures", european)
forms("day in figures", short_year)
forms("day", ides, weight=0.25)


def month(r: Choices, template: str) -> Sample:
    year, number = a_year(r), a_month(r)
    text = fill(template, **day_slots(r, year, number, 1))
    return Sample(text, (f"{edtf_year(year)}-{number:02d}",))


def month_figures(r: Choices, template: str) -> Sample:
    year, number = recent(r), a_month(r)
    text = fill(template, **day_slots(r, year, number, 1))
    return Sample(text, (f"{edtf_year(year)}-{number:02d}",))


forms("month", month)
forms("month", month_figures, weight=0.6)


def year_(r: Choices, template: str) -> Sample:
    year = a_year(r)
    return Sample(fill(template, Y=year_text(r, year), n=str(year[0])), (edtf_year(year),))


forms("year", year_)


def season(r: Choices, template: str) -> Sample:
    year = a_year(r)
    name = r.pick(tuple(SEASONS))
    if "<next>" in template:
        if year[1]:
            year = r.number(1000, 2028), False
        name = "winter"
    number = year[0]
    after = (
        str(number + 1) if r.chance(0.4) or (number + 1) % 100 == 0 else f"{(number + 1) % 100:02d}"
    )
    shown = str(number) if "<next>" in template else year_text(r, year)
    sign = r.one("–", "–", "-", "/", "—", "−", "&ndash;")
    text = fill(
        template, S=name.capitalize() if r.chance(0.5) else name, Y=shown, next=sign + after
    )
    return Sample(text, (f"{edtf_year(year)}-{SEASONS[name]}",))


forms("season", season)


def quarter(r: Choices, template: str) -> Sample:
    year = recent(r)
    half = "H<q>" in template or "half" in template
    number = r.number(1, 2 if half else 4)
    text = fill(
        template,
        q=str(number),
        qth=ordinal(number),
        qword=r.one("last", "final") if number == 4 and r.chance(0.15) else ORDINALS[number - 1],
        Y=str(year[0]),
    )
    return Sample(text, (f"{edtf_year(year)}-{number + (39 if half else 32)}",))


forms("quarter", quarter)


def part_of(r: Choices) -> tuple[str, str]:
    """A part of a period as people write it, with the space that follows."""
    part = r.one("early", "early", "mid", "late", "late")
    said = {
        "early": ("early ",) * 8
        + (
            "the beginning of ",
            "beginning of ",
            "the start of ",
            "start of ",
            "the early part of ",
        ),
        "mid": ("mid-",) * 6
        + ("mid ",) * 3
        + ("the middle of ", "middle of ", "around the middle of "),
        "late": ("late ",) * 8 + ("the end of ", "end of ", "the close of ", "the late part of "),
    }[part]
    return part, r.pick(said)


def part_of_point(r: Choices, template: str) -> Sample:
    part, said = part_of(r)
    year, number = a_year(r), a_month(r)
    value = edtf_year(year)
    if "<mon>" in template:
        value += f"-{number:02d}"
    name = r.pick(tuple(SEASONS))
    if "<S>" in template:
        value += f"-{SEASONS[name]}"
    text = fill(
        template,
        part=said,
        mon=month_text(r, number),
        S=name,
        Y=year_text(r, year),
        P=said.capitalize(),
    )
    return Sample(text, (value,), {"part": part})


forms("part of a month or year", part_of_point)


def half_of_year(r: Choices, template: str) -> Sample:
    year, half = a_year(r), r.one("first", "second")
    value = edtf_year(year)
    number = a_month(r)
    if "<mon>" in template:
        value += f"-{number:02d}"
    said = "latter" if half == "second" and r.chance(0.15) else half
    text = fill(template, half=said, Y=year_text(r, year), mon=month_text(r, number))
    return Sample(text, (value,), {"part": f"{half} half"})


forms("part of a month or year", half_of_year, weight=0.4)


def in_words(r: Choices, template: str) -> Sample:
    said, year = year_words(r)
    month = a_month(r)
    day_ = a_day(r, year, month)
    number = r.number(1, 4)
    name = r.pick(tuple(SEASONS))
    slots = day_slots(r, year, month, day_)
    slots |= {"W": said, "S": name, "qword": ORDINALS[number - 1]}
    value = edtf_year(year)
    if "<qword>" in template:
        value += f"-{number + 32}"
    elif "<S>" in template:
        value += f"-{SEASONS[name]}"
    elif "<d" in template:
        value += f"-{month:02d}-{day_:02d}"
    elif "<mon>" in template:
        value += f"-{month:02d}"
    text = fill(template, **slots)
    return Sample(text.capitalize() if r.chance(0.2) else text, (value,))


forms("years in words", in_words)

POINTS = listed(
    """
    day, day, day, day in figures, month, month, year, year, year, season
    """
)


def point(r: Choices, families: tuple[str, ...] = POINTS) -> Sample:
    """Any one point in time, in a form of the training."""
    return TRAIN.draw(r, r.pick(families))
