"""Days, months, years, seasons and quarters in English, as figures and as words."""

from __future__ import annotations

from .core import (
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
        "hms": lambda: f"{r.number(0, 23):02d}:{r.number(0, 59):02d}"
        + (f":{r.number(0, 59):02d}" if r.chance(0.4) else ""),
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


forms(
    "day",
    day,
    """
*<d> <mon> <Y>
*<mon> <d>, <Y>
<mon> <d> <Y>
<dth> <mon> <Y>
<dth> <mon>, <Y>
<dth> of <mon> <Y>
<dth> of <mon>, <Y>
the <dth> of <mon>, <Y>
the <dth> of <mon> <Y>
on the <dth> of <mon> <Y>
<mon> <dth>, <Y>
<mon> <dth> <Y>
<mon> <dth> of <Y>
<mon> the <dth>, <Y>
*<mon> the <dword>, <Y>
the <dword> of <mon> <Y>
the <dword> of <mon>, <Y>
<dword> of <mon> <Y>
<dword> <mon> <Y>
<mon> <dword>, <Y>
<mon> <dword> <Y>
*<mon> <dcard>, <Y>
<dcard> <mon> <Y>
*<wday>, <d> <mon> <Y>
<wday> <d> <mon> <Y>
<wday>, <mon> <d>, <Y>
<wday> <mon> <dth>, <Y>
<wday>, <mon> <dth> <Y>
<wday>, the <dth> of <mon> <Y>
<wday> the <dth> of <mon>, <Y>
<d> <mon> <Y> (<wday>)
<Y> <mon> <d>
<Y>, <mon> <d>
<Y> <d> <mon>
<Y>, <d> <mon>
<Y> <mon> <dth>
in <Y>, on <d> <mon>
in <Y>, on <mon> <d>
<d>. <mon> <Y>
<d> <mon>, <Y>
<d> <mon> of <Y>
<d> of <mon> <Y>
<mon> <d> of <Y>
<mon> <d> in <Y>
<d> <mon> in <Y>
<d> <mon> in the year <Y>
the <dth> day of <mon>, <Y>
the <dword> day of <mon> <Y>
the <dword> day of <mon> in the year <Y>
*on <d> <mon> <Y>
on <mon> <d>, <Y>
on <wday> <d> <mon> <Y>
*<time> on <d> <mon> <Y>
at <time> on <mon> <d>, <Y>
<d> <mon> <Y>, <time>
<mon> <d>, <Y>, at <time>
<mon> <d>, <Y> at <time>
<d> <mon> <Y> <hms>
<d> <mon> <Y> - <time>
<d> <mon> <Y> @ <time>
<time> <mon> <d>, <Y>
<time> <d> <mon> <Y>
the morning of <d> <mon> <Y>
the night of <d> <mon> <Y>
the evening of <mon> <d>, <Y>
<d><mon> <Y>
<mon><d>, <Y>
<mon> <d> , <Y>
<mon>, <d> <Y>
""",
)
forms(
    "day in figures",
    figures,
    """
*<Y4>-<mm>-<dd>
<Y4>/<mm>/<dd>
<Y4>.<mm>.<dd>
<Y4>-<m>-<d>
<Y4>/<m>/<d>
<Y4>.<m>.<d>
<Y4> <mm> <dd>
*<Y4><mm><dd>
*<d>.<m>.<Y4>
<dd>.<mm>.<Y4>
<d>. <m>. <Y4>
*<m>/<d>/<Y4>
<mm>/<dd>/<Y4>
<m>-<d>-<Y4>
<mm>-<dd>-<Y4>
<wday> <m>/<d>/<Y4>
<m>/<d>/<Y4> <hms>
<m>/<d>/<Y4>, <time>
<m>/<d>/<yy> @ <hms>
<d>.<m>.<Y4> <hms>
<hms> <m>/<d>/<Y4>
<time>, <Y4>-<mm>-<dd>
<Y4>-<mm>-<dd> - <time>
<wday> <short> <d> <hms> <Y4>
<Y4>-<mm>-<dd> <hms>
<Y4>-<mm>-<dd>T<hms>Z
<hms> <d>.<m>.<Y4>
<Y4>-<mm>-<dd> (<wday>)
<wday> <Y4>-<mm>-<dd>
*<d>-<short>-<Y4>
<d>/<short>/<Y4>
<dd>-<mon>-<Y4>
<Y4>-<short>-<d>
<Y4>-<short>-<dd>
<Y4>/<short>/<dd>
<Y4>/<mon>/<d>
<short>-<d>-<Y4>
<short>/<d>/<Y4>
<d>.<short>.<Y4>
*<d> <rom> <Y4>
<d>.<rom>.<Y4>
<d>. <rom>. <Y4>
<m>/<d>,<Y4>
""",
)
forms(
    "day in figures",
    european,
    """
*<d>/<m>/<Y4>
<dd>/<mm>/<Y4>
<d>-<m>-<Y4>
<dd>-<mm>-<Y4>
<wday> <dd>/<mm>/<Y4>
""",
)
forms(
    "day in figures",
    short_year,
    """
*<m>/<d>/<yy>
<mm>/<dd>/<yy>
<m>-<d>-<yy>
<d>/<m>/<yy>
<dd>/<mm>/<yy>
<d>.<m>.<yy>
""",
)
forms(
    "day",
    ides,
    """
*the Ides of <full>, <Y>
the Ides of <full> <Y>
*the Nones of <full>, <Y>
the Nones of <full> <Y>
Ides of <full>, <Y> (<d> <mon>)
Nones of <full> <Y> (<d> <full>)
""",
    weight=0.25,
)


def month(r: Choices, template: str) -> Sample:
    year, number = a_year(r), a_month(r)
    text = fill(template, **day_slots(r, year, number, 1))
    return Sample(text, (f"{edtf_year(year)}-{number:02d}",))


def month_figures(r: Choices, template: str) -> Sample:
    year, number = recent(r), a_month(r)
    text = fill(template, **day_slots(r, year, number, 1))
    return Sample(text, (f"{edtf_year(year)}-{number:02d}",))


forms(
    "month",
    month,
    """
*<mon> <Y>
*<mon>, <Y>
<mon> of <Y>
<mon> in <Y>
<mon> , <Y>
in <mon> <Y>
in <mon>, <Y>
in <mon> of <Y>
in <mon> of the year <Y>
the month of <mon> <Y>
in the month of <mon>, <Y>
during <mon> <Y>
<Y> <mon>
<Y>, <mon>
in <Y>, in <mon>
<mon> of the year <Y>
""",
)
forms(
    "month",
    month_figures,
    """
*<Y4>-<mm>
<Y4>/<mm>
<Y4>-<m>
<Y4>.<m>
<Y4>/<m>
<Y4> - <mm>
<Y4> / <m>
*<m>/<Y4>
<mm>/<Y4>
<mm>-<Y4>
<m> - <Y4>
<mm>.<Y4>
<m> / <Y4>
<short>-<Y4>
<short>/<Y4>
<Y4>-<short>
<rom> <Y4>
""",
    weight=0.6,
)


def year_(r: Choices, template: str) -> Sample:
    year = a_year(r)
    return Sample(fill(template, Y=year_text(r, year), n=str(year[0])), (edtf_year(year),))


forms(
    "year",
    year_,
    """
*<Y>
*in <Y>
the year <Y>
in the year <Y>
year <Y>
year of <Y>
the year of <Y>
during <Y>
in the course of <Y>
dated <Y>
dated to <Y>
dates from <Y>
the calendar year <Y>
of <Y>
as of <Y>
<Y>.
""",
)


def season(r: Choices, template: str) -> Sample:
    year = a_year(r)
    name = r.pick(tuple(SEASONS))
    if "<next>" in template:
        if year[1]:
            year = r.number(1000, 2028), False
        name = "winter"
    number = year[0]
    after = str(number + 1) if r.chance(0.4) or (number + 1) % 100 == 0 else f"{(number + 1) % 100:02d}"
    shown = str(number) if "<next>" in template else year_text(r, year)
    sign = r.one("–", "–", "-", "/", "—", "−", "&ndash;")
    text = fill(template, S=name.capitalize() if r.chance(0.5) else name, Y=shown, next=sign + after)
    return Sample(text, (f"{edtf_year(year)}-{SEASONS[name]}",))


forms(
    "season",
    season,
    """
*<S> <Y>
*<S> of <Y>
the <S> of <Y>
in the <S> of <Y>
in <S> <Y>
in <S> of <Y>
<S>, <Y>
<S> in <Y>
during the <S> of <Y>
<Y> <S>
<Y>, <S>
the <Y> <S>
the <S> months of <Y>
the <S> of the year <Y>
*<S> <Y><next>
<S> of <Y><next>
the <S> of <Y><next>
in the <S> of <Y><next>
during the <S> <Y><next>
""",
)


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


forms(
    "quarter",
    quarter,
    """
*Q<q> <Y>
Q<q> of <Y>
Q<q>, <Y>
Q<q>/<Y>
in Q<q> <Y>
<Y> Q<q>
<Y>-Q<q>
<Y>Q<q>
*the <qword> quarter of <Y>
<qword> quarter of <Y>
<qword> quarter <Y>
in the <qword> quarter of <Y>
<qth> quarter of <Y>
<qth> quarter <Y>
<Y>, <qword> quarter
<Y> the <qword> quarter
the <qth> quarter of <Y>
*H<q> <Y>
H<q> of <Y>
<Y> H<q>
<Y>-H<q>
""",
)


def part_of(r: Choices) -> tuple[str, str]:
    """A part of a period as people write it, with the space that follows."""
    part = r.one("early", "early", "mid", "late", "late")
    said = {
        "early": ("early ",) * 8
        + ("the beginning of ", "beginning of ", "the start of ", "start of ", "the early part of "),
        "mid": ("mid-",) * 6 + ("mid ",) * 3 + ("the middle of ", "middle of ", "around the middle of "),
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
        template, part=said, mon=month_text(r, number), S=name, Y=year_text(r, year), P=said.capitalize()
    )
    return Sample(text, (value,), {"part": part})


forms(
    "part of a month or year",
    part_of_point,
    """
*<part><mon> <Y>
*<P><mon> <Y>
in <part><mon> <Y>
<part><mon>, <Y>
*<part><Y>
*<P><Y>
in <part><Y>
at <part><Y>
during <part><Y>
<part>the year <Y>
*<part><S> <Y>
<P><S> of <Y>
in the <part><S> of <Y>
in <part><S> <Y>
<part><S> of <Y>
""",
)


def half_of_year(r: Choices, template: str) -> Sample:
    year, half = a_year(r), r.one("first", "second")
    value = edtf_year(year)
    number = a_month(r)
    if "<mon>" in template:
        value += f"-{number:02d}"
    said = "latter" if half == "second" and r.chance(0.15) else half
    text = fill(template, half=said, Y=year_text(r, year), mon=month_text(r, number))
    return Sample(text, (value,), {"part": f"{half} half"})


forms(
    "part of a month or year",
    half_of_year,
    """
*<half> half of <Y>
the <half> half of <Y>
in the <half> half of <Y>
the <half> half of <mon> <Y>
""",
    weight=0.4,
)



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


forms(
    "years in words",
    in_words,
    """
*<W>
*in <W>
the year <W>
in the year <W>
*<mon> <W>
in <mon> of <W>
in <mon> <W>
<mon>, <W>
*<mon> <d>, <W>
<d> <mon> <W>
<dth> of <mon> <W>
*<mon> <dword>, <W>
the <dword> of <mon>, <W>
the <dword> of <mon> <W>
<dword> of <mon> <W>
<mon> the <dword>, <W>
<mon> <dword> <W>
<mon> <dcard> <W>
<dcard> <mon> <W>
*<wday> <mon> <dcard>, <W>
<wday>, the <dword> of <mon>, <W>
on <mon> <dth>, <W>
*the <S> of <W>
<S> <W>
in the <S> of <W>
*the <qword> quarter of <W>
""",
)

POINTS = ("day", "day", "day", "day in figures", "month", "month", "year", "year", "year", "season")


def point(r: Choices, families: tuple[str, ...] = POINTS) -> Sample:
    """Any one point in time, in a form of the training."""
    return TRAIN.draw(r, r.pick(families))
