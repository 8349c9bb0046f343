"""Points in time whose parts are chosen one by one: order, signs between, spelling of each part.

A form of `points.txt` is one choice; these functions make thousands, of which each differs from
its neighbours in one thing.
"""

from __future__ import annotations

from forms.core import (
    CARDINALS,
    MONTHS,
    ORDINALS,
    ROMAN,
    WEEKDAYS,
    Choices,
    Sample,
    Year,
    a_day,
    a_month,
    a_year,
    edtf_year,
    grammar,
    ordinal,
    said,
    tens_text,
    year_text,
    year_words,
)
from forms.periods import a_century, century_value
from forms.points import SEASONS, clock, recent, word

SAID = said(__file__)

Point = tuple[str, str]  # text and value

SIGNS = SAID["signs"]
ON = SAID["on"]  # fmt: skip
IN = SAID["in"]  # fmt: skip


def sign(r: Choices) -> str:
    return r.pick(SIGNS)


def month_name(r: Choices, month: int) -> str:
    name = MONTHS[month - 1]
    kind = r.random()
    if kind < 0.52:
        return name
    short = r.one("Sept", "Sep") if month == 9 else name[: 4 if r.chance(0.04) else 3]
    if kind < 0.72:
        return short
    if kind < 0.88:
        return short + ("." if short != name else "")
    return {0: short.upper(), 1: short.lower(), 2: name.upper(), 3: name.lower()}[r.number(0, 3)]


def day_number(r: Choices, day: int, words: bool = True) -> str:
    kind = r.random()
    if kind < 0.55:
        return str(day)
    if kind < 0.63:
        return f"{day:02d}"
    if kind < 0.83 or not words:
        th = ordinal(day)
        mark = r.one("", "", "", "", " ", "", "<sup>", "\u00a0", "{{sup|")
        end = {"<sup>": "</sup>", "{{sup|": "}}"}.get(mark, "")
        return th[:-2] + mark + th[-2:] + end
    if kind < 0.91:
        return ("the " if r.chance(0.2) else "") + word(r, ORDINALS[day - 1])
    if kind < 0.94:
        return word(r, CARDINALS[day - 1])
    return r.pick(SAID["day marked"]).format(nth=ordinal(day), day=day)


def year_name(r: Choices, year: Year) -> str:
    shown = year_text(r, year)
    if r.chance(0.86):
        return shown
    return r.pick(SAID["year"]).format(shown=shown)  # fmt: skip


def figure_year(year: Year) -> bool:
    """Whether the year can stand between signs: four figures after Christ."""
    return not year[1] and year[0] > 999


def named_day(r: Choices, year: Year, month: int, day: int) -> str:
    """A day with the name of its month, in any order."""
    name, shown = month_name(r, month), year_name(r, year)
    if figure_year(year) and r.chance(0.2):
        return signed_day(r, year, name, day)
    kind = r.random()
    if kind < 0.36:
        first = r.one(" ", " ", " ", " ", " of ", " of ", " ", "", ". ", ", ", " in ")
        then = r.pick(SAID["before the year"])
        return f"{day_number(r, day)}{first}{name}{then}{shown}"
    if kind < 0.72:
        first = r.one(" ", " ", " ", " ", " the ", ", ", " on the ", "", ". ", " , ", ": ")
        then = r.pick(SAID["after the day"])
        number = day_number(r, day)
        number = number if first in ("", ", ") or not number.startswith("the ") else number[4:]
        return f"{name}{first}{number.removesuffix(' of')}{then}{shown}"
    first = r.pick(SAID["after the year"])
    inner = (
        f"{day_number(r, day)}{r.one(' ', ' ', ' of ', '. ', '-')}{name}"
        if r.chance(0.5)
        else f"{name} {day_number(r, day, False)}"
    )
    if first == " (" and r.chance(0.5):
        return f"{inner} ({shown})"
    lead = "in " if first.endswith("on ") or r.chance(0.1) else ""
    return f"{lead}{shown}{first}{inner}{')' if first == ' (' else ''}"


def signed_day(r: Choices, year: Year, name: str, day: int) -> str:
    """Day, name of the month and year between signs: what is what shows in any order."""
    parts = [r.one(str(day), str(day), f"{day:02d}", ordinal(day)), name.rstrip("."), str(year[0])]
    r.shuffle(parts)
    first = sign(r)
    return (
        first.join(parts) if r.chance(0.85) else f"{parts[0]}{first}{parts[1]}{sign(r)}{parts[2]}"
    )


def figure_day(r: Choices, year: Year, month: int, day: int) -> str:
    """A day in figures: the year first or last; with slashes and hyphens the month comes first."""
    pad = r.chance(0.45)
    m, d = (f"{month:02d}", f"{day:02d}") if pad else (str(month), str(day))
    kind = r.random()
    if kind < 0.05:
        d, m = f"{day:02d}", f"{month:02d}"
        return r.pick(SAID["figures together"]).format(year=year[0], m=m, d=d)
    if kind < 0.35:
        s, t = r.one("-", "-", "/", "."), r.one("", "", "", "", "", " ")
        before = " " if t and r.chance(0.6) else ""
        return f"{year[0]}{before}{s}{t}{m}{before}{s}{t}{d}"
    if kind < 0.45:
        rom = ROMAN[month - 1] if r.chance(0.7) else ROMAN[month - 1].lower()
        s = r.one(". ", ".", " ", "-", "/", " ", ". ")
        return f"{day}{s}{rom}{s}{year[0]}"
    s = r.one("/", "/", "/", "-", "-", ".", ".")
    t = r.one("", "", "", "", "", "", " ", "  ")
    before = " " if t and r.chance(0.6) else ""
    a, b = (d, m) if s == "." or (day > 12 and r.chance(0.3)) else (m, d)
    if year[0] in range(1940, 2030) and r.chance(0.12):
        return f"{a}{before}{s}{t}{b}{before}{s}{t}{year[0] % 100:02d}"
    last = (
        r.one(f"{before}{s}{t}", f"{before}{s}{t}", f"{s} ", ",", " ")
        if r.chance(0.2)
        else f"{before}{s}{t}"
    )
    return f"{a}{before}{s}{t}{b}{last}{year[0]}"


def around_day(r: Choices, text: str) -> str:
    """A weekday, a time of day or a word before or after a day."""
    if r.chance(0.13):
        name = r.pick(WEEKDAYS)
        name = name if r.chance(0.6) else name[:3] + r.one("", ".")
        form = r.pick(SAID["weekday"])
        form = form if text[0].isdigit() else form.replace(" the ", " ")
        text = form.format(name=name, text=text)
    if r.chance(0.08):
        hour = (
            clock(r)
            if r.chance(0.6)
            else f"{r.number(0, 23):02d}:{r.number(0, 59):02d}:{r.number(0, 59):02d}"
        )
        text = r.pick(SAID["time"]).format(hour=hour, text=text)  # fmt: skip
    return r.pick(ON) + text if r.chance(0.14) else text


def a_named_day(r: Choices) -> Sample:
    year, month = a_year(r), a_month(r)
    day = a_day(r, year, month)
    text = around_day(r, named_day(r, year, month, day))
    return Sample(closed(text), (f"{edtf_year(year)}-{month:02d}-{day:02d}",))


def closed(text: str) -> str:
    text = text.replace(" of of ", " of ").replace("in in ", "in ")
    return text + ")" * max(0, text.count("(") - text.count(")"))


def a_figure_day(r: Choices) -> Sample:
    year, month = recent(r), a_month(r)
    if r.chance(0.25):
        year = r.number(1940, 2029), False
    day = a_day(r, year, month)
    text = around_day(r, figure_day(r, year, month, day))
    return Sample(closed(text), (f"{edtf_year(year)}-{month:02d}-{day:02d}",))


def month_point(r: Choices, year: Year, month: int) -> str:
    name, shown = month_name(r, month), year_name(r, year)
    kind = r.random()
    if figure_year(year) and kind < 0.3:
        if kind < 0.12:  # figures
            m = r.one(str(month), f"{month:02d}")
            s = r.one("/", "/", "-", ".", " / ", " - ", "/ ")
            return f"{m}{s}{year[0]}" if r.chance(0.6) else f"{year[0]}{s}{m}"
        parts = [name.rstrip("."), str(year[0])]
        r.shuffle(parts)
        return sign(r).join(parts)
    if kind < 0.72:
        then = r.pick(SAID["month and year"])
        return f"{name}{then}{shown}"
    if kind < 0.95:
        return shown + r.pick(SAID["year and month"]) + name
    nth = r.one(ordinal(month), ORDINALS[month - 1])
    return r.pick(SAID["month by number"]).format(nth=nth, shown=shown, month=month)


def a_month_point(r: Choices) -> Sample:
    year, month = a_year(r), a_month(r)
    text = month_point(r, year, month)
    if r.chance(0.25):
        text = r.pick(SAID["month of"]) + text
        text = r.pick(IN) + text if r.chance(0.5) else text
    return Sample(closed(text), (f"{edtf_year(year)}-{month:02d}",))


def a_year_point(r: Choices) -> Sample:
    year = a_year(r)
    text = year_name(r, year)
    if r.chance(0.5):
        text = r.pick(IN) + text
    if r.chance(0.25):
        text += r.one(".", ",", ";", ":", " (year)", " †", "*", ")", " [year]", "!")
    return Sample(closed(text.replace("in anno", "anno")), (edtf_year(year),))


def season_point(r: Choices, year: Year, name: str) -> str:
    shown = year_name(r, year)
    name = r.one(name, name.capitalize(), name.capitalize(), name.upper()) + r.one(
        "", "", "", "", "time"
    )
    name = (
        name.removesuffix("time")
        if name.lower() in ("falltime", "autumntime", "wintertim")
        else name
    )
    if r.chance(0.62):
        return name + r.pick(SAID["season and year"]) + shown
    return shown + r.one(" ", ", ", ": ", "/", "-", " (", ", in ", " in ", " – ") + name


def a_season_point(r: Choices) -> Sample:
    year, name = a_year(r), r.pick(tuple(SEASONS))
    text = season_point(r, year, name)
    if r.chance(0.4):
        text = r.pick(SAID["season led"]) + text
    return Sample(closed(text), (f"{edtf_year(year)}-{SEASONS[name]}",))


def a_quarter_point(r: Choices) -> Sample:
    year, half = recent(r), r.chance(0.3)
    number = r.number(1, 2 if half else 4)
    letter = "H" if half else "Q"
    letter = letter if r.chance(0.6) else letter.lower()
    if half or r.chance(0.6):
        name = (
            f"{letter}{number}"
            if r.chance(0.75)
            else r.one(f"{number}{letter}", f"{letter}-{number}", f"{letter} {number}")
        )
    else:
        nth = r.one(ordinal(number), ORDINALS[number - 1])
        name = f"{nth}{r.one(' quarter', ' quarter', ' Quarter', '-quarter', ' qtr', ' qtr.')}"
    seps = (
        " ",
        " ",
        "-",
        "/",
        ", ",
        " of ",
        "",
        " in ",
        ": ",
        "_",
        ".",
        " of the year ",
        " / ",
        " - ",
    )
    text = (
        f"{name}{r.pick(seps)}{year[0]}"
        if r.chance(0.55)
        else f"{year[0]}{r.pick(seps[:5] + seps[8:11])}{name}"
    )
    lead = (
        r.one("in ", "the ", "in the ", "during ", "during the ", "for ", "In ")
        if r.chance(0.35)
        else ""
    )
    return Sample(lead + text, (f"{edtf_year(year)}-{number + (39 if half else 32)}",))


def decade_name(r: Choices) -> Point:
    """A decade in figures or, of some centuries, in words."""
    tens = r.number(150, 202) if r.chance(0.8) else r.number(100, 202)
    if r.chance(0.12) and tens % 10 > 1 and tens < 200:
        said = (
            tens_text(r, tens // 10)
            + r.one(" ", "-", " ")
            + tens_text(r, tens % 10 * 10)[:-1]
            + "ies"
        )
        return said, f"{tens:03d}X"
    tail = r.one("s", "s", "s", "s", "’s", "'s", " s", "-s", "s.", "S", "s")
    if r.chance(0.12):
        era = r.one(" BC", " BCE", " B.C.", " AD", " CE")
        tens = r.number(5, 99)
        return f"{tens}0s{era}", f"{'-' if 'B' in era else ''}{tens:03d}X"
    return f"{tens}0{tail}", f"{tens:03d}X"


def century_name(r: Choices) -> Point:
    number, before = a_century(r)
    nth = ordinal(number) if r.chance(0.6) else ORDINALS[number - 1]
    name = r.pick(SAID["century"])
    era = (
        r.one(" BC", " BCE", " B.C.", " B.C.E.", " before Christ", "BC")
        if before
        else r.one(*[""] * 8, " AD", " CE", " A.D.")
    )
    if not before and r.chance(0.03):
        return r.one(
            f"C{number}", f"century {number}", f"Century {ROMAN[number - 1]}"
        ), century_value(number, before)
    return nth + name + era, century_value(number, before)


PARTS = {part: SAID[part] for part in ("early", "mid", "late", "first half", "second half")}


def part_name(r: Choices, part: str, the: bool) -> str:
    """What says which part, with what follows it; `the` where a decade or a century comes."""
    said = r.pick(PARTS[part])
    if said.endswith(" of"):
        return said + (" the " if the else " ")
    if said.endswith("-"):
        return said
    return (
        said + r.one(" ", " ", " ", "-") if said.lower() in ("early", "late", "mid") else said + " "
    )


def parted(r: Choices, point: Point, the: bool, parts: tuple[str, ...] = tuple(PARTS)) -> Sample:
    part = r.pick(parts)
    said = part_name(r, part, the)
    lead = (
        r.one("in the ", "the ", "during the ", "from the ", "In the ")
        if r.chance(0.35) and "the " not in said and "first" not in said and the
        else ""
    )
    if not the and r.chance(0.25) and not said.startswith(("in ", "at ")):
        lead = "in "
    return Sample(
        lead + said + point[0]
        if not lead or not said[0].isupper()
        else lead + said.lower() + point[0],
        (point[1],),
        {"part": part},
    )


def a_decade_point(r: Choices) -> Sample:
    point = decade_name(r)
    if r.chance(0.35):
        return parted(r, point, True, ("early", "mid", "late"))
    lead = r.pick(SAID["decade led"]) if r.chance(0.55) else ""
    return Sample(lead + point[0], (point[1],))


def a_century_point(r: Choices) -> Sample:
    point = century_name(r)
    if r.chance(0.45):
        return parted(r, point, True)
    lead = r.pick(SAID["century led"]) if r.chance(0.5) else ""
    return Sample(lead + point[0] + (r.one(".", ",") if r.chance(0.05) else ""), (point[1],))


def a_part_of_point(r: Choices) -> Sample:
    year, month = a_year(r), a_month(r)
    kind = r.random()
    if kind < 0.45:
        return parted(r, (year_text(r, year), edtf_year(year)), False)
    if kind < 0.8:
        shown = f"{month_name(r, month)}{r.one(' ', ' ', ', ', ' of ')}{year_text(r, year)}"
        return parted(r, (shown, f"{edtf_year(year)}-{month:02d}"), False)
    name = r.pick(tuple(SEASONS))
    return parted(
        r,
        (
            f"{name}{r.one(' ', ' of ', ', ')}{year_text(r, year)}",
            f"{edtf_year(year)}-{SEASONS[name]}",
        ),
        False,
        ("early", "mid", "late"),
    )


def a_millennium_point(r: Choices) -> Sample:
    before = r.chance(0.7)
    number = r.number(1, 9) if before else r.number(1, 3)
    nth = ordinal(number) if r.chance(0.6) else ORDINALS[number - 1]
    era = r.one(" BC", " BCE", " B.C.", " before Christ") if before else r.one("", "", " AD", " CE")
    point = nth + r.pick(SAID["millennium"]) + era, f"{'-' if before else ''}{number - 1}{'X' * 3}"
    if r.chance(0.45):
        return parted(r, point, True)
    return Sample(r.pick(SAID["millennium led"]) + point[0], (point[1],))


def a_year_in_words(r: Choices) -> Sample:
    said, year = year_words(r)
    month = a_month(r)
    day = a_day(r, year, month)
    kind = r.random()
    if kind < 0.4:
        return Sample(r.pick(SAID["words led"]) + said, (edtf_year(year),))
    name = month_name(r, month)
    if kind < 0.6:
        return Sample(
            r.one("", "in ", "during ") + name + r.one(" ", ", ", " of ", " in ") + said,
            (f"{edtf_year(year)}-{month:02d}",),
        )
    number = day_number(r, day)
    text = r.one(
        f"{number.removesuffix(' of')}{r.one(' ', ' of ')}{name}",
        f"{name}{r.one(' ', ' the ')}{number.removesuffix(' of').removeprefix('the ')}",
    )
    return Sample(
        around_day(r, text + r.one(" ", ", ", " of ", ", in ") + said),
        (f"{edtf_year(year)}-{month:02d}-{day:02d}",),
    )


grammar("day", 0.5, a_named_day)
grammar("day in figures", 0.5, a_figure_day)
grammar("month", 0.5, a_month_point)
grammar("year", 0.35, a_year_point)
grammar("season", 0.45, a_season_point)
grammar("quarter", 0.5, a_quarter_point)
grammar("part of a month or year", 0.5, a_part_of_point)
grammar("decade", 0.5, a_decade_point)
grammar("century", 0.45, a_century_point)
grammar("millennium", 0.45, a_millennium_point)
grammar("years in words", 0.45, a_year_in_words)


def any_point(r: Choices, year: Year, precision: str) -> Point:
    """A point of a precision, as text without words around it, and its value."""
    month = a_month(r)
    day = a_day(r, year, month)
    shown = edtf_year(year)
    if precision == "day" and figure_year(year) and r.chance(0.25):
        return closed(figure_day(r, year, month, day)), f"{shown}-{month:02d}-{day:02d}"
    if precision == "day":
        return closed(named_day(r, year, month, day)), f"{shown}-{month:02d}-{day:02d}"
    if precision == "month":
        return closed(month_point(r, year, month)), f"{shown}-{month:02d}"
    if precision == "season":
        name = r.pick(tuple(SEASONS))
        return ("the " if r.chance(0.15) else "") + closed(
            season_point(r, year, name)
        ), f"{shown}-{SEASONS[name]}"
    if precision == "decade":
        text, value = decade_name(r)
        return r.one("", "the ", "the ") + text, value
    if precision == "century":
        text, value = century_name(r)
        return r.one("", "the ", "the ") + text, value
    return year_name(r, year), shown
