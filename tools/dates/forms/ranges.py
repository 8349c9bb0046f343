"""Ranges in English: of years, of days in a month, of months, with elided parts and open ends."""

from __future__ import annotations

from forms.core import (
    DAYS,
    LONG_DASHES,
    MONTHS,
    TRAIN,
    Choices,
    Sample,
    Year,
    a_day,
    a_month,
    a_year,
    dash,
    edtf_year,
    era_text,
    fill,
    forms,
    later,
    listed,
    month_text,
    number_text,
    ordinal,
    to,
    year_text,
)
from forms.points import SEASONS, day_slots

CIRCA = (
    "c. ", "c. ", "c. ", "c. ", "c. ", "c. ", "c. ", "c. ", "c.", "c.", "c.", "ca. ", "ca. ",
    "ca. ", "ca ", "circa ", "circa ", "about ", "around ", "C. ", "c ", "approx. ",
    "approximately ", "roughly ",
)  # fmt: skip
DOUBT = ("?",) * 6 + (" (?)", "(?)", " ?")


def years(r: Choices, template: str) -> Sample:
    """Two years; `<era>` closes over both, and so does a circa before such a pair."""
    first = a_year(r)
    last = later(r, first)
    if "<era>" in template or "<lead>" in template:
        while first[1] != last[1]:
            first = a_year(r)
            last = later(r, first)
        if "<lead>" in template and first[1]:
            first = r.number(1, 900), False
            last = later(r, first)
    elif "<N>" in template:
        first = (r.number(1000, 2020) if r.chance(0.75) else r.number(20, 999)), False
        last = later(r, first)
        if first[0] < 100 and last[0] > 120:
            last = first[0] + r.number(1, 9), False
    a, b = edtf_year(first), edtf_year(last)
    both_said = first[1] == last[1] and r.chance(0.5)
    slots = {
        "N": number_text(r, first),
        "M": number_text(r, last),
        "era": era_text(r, last),
        "lead": r.one("AD ", "AD ", "A.D. ", "CE "),
        "A": lambda: year_text(r, first, 1.0 if both_said else None),
        "B": lambda: year_text(r, last, 1.0 if first[1] or both_said else None),
        "to": lambda: to(r),
        "dash": lambda: dash(r),
        "c": lambda: r.pick(CIRCA),
        "q": lambda: r.pick(DOUBT),
    }
    before, after = template.split("<N>" if "<N>" in template else "<A>")
    about_first, about_last = before.endswith("<c>"), "<c>" in after
    if about_first and "<era>" in template:
        about_last = True
    doubt_first, doubt_last = after.startswith("<q>"), after.endswith("<q>")
    a += "%" if about_first and doubt_first else "~" if about_first else "?" if doubt_first else ""
    b += "%" if about_last and doubt_last else "~" if about_last else "?" if doubt_last else ""
    text = fill(template, **slots)
    fields = {}
    return Sample(text, (f"{a}/{b}",), fields)


forms("years", years)


def elided(r: Choices, template: str) -> Sample:
    """The second year without its first figures: 1914–18; 1999–03 goes on into the next century.

    Between a hyphen and 01 to 12 it would be a month, as in ISO 8601: there other dashes stand.
    """
    number = r.number(1000, 2020) if r.chance(0.85) else r.number(100, 999)
    last = min(number + r.pick((1, 1, 2, 3, 4, 5, 7, 9, 14, 20, 35, 60)), number + 99)
    if number < 1000 and last // 100 != number // 100:
        last = number // 100 * 100 + 99
        if last == number:
            number -= 5
    two = f"{last % 100:02d}"
    digits = two
    if "<D>" in template:  # one figure
        number = number // 10 * 10 + r.number(0, 7)
        last = r.number(number % 10 + 1, 9) + number // 10 * 10
        digits = str(last % 10)
    sign = r.pick(LONG_DASHES[:-1]) if int(digits) < 13 else dash(r, 0.0)
    if "to>" in template:
        sign = " to "
    if "<slash>" in template:
        last, digits = number + 1, f"{(number + 1) % 100:02d}"
    if "<sp>" in template:
        sign = f" {sign} "
    a, b = f"{number:04d}", f"{last:04d}"
    about = "<c>" in template or "about" in template
    kind = {"r": "reigned", "f": "flourished"}.get(template[1] if template[2:3] == ">" else "", "")
    text = fill(
        template,
        N=str(number),
        d=sign + digits,
        D=sign + digits,
        sp=sign + digits,
        to=sign + digits,
        slash="/" + digits,
        c=lambda: r.pick(CIRCA),
        mon=lambda: month_text(r, a_month(r)),
        r=lambda: r.one("r. ", "reigned ", "ruled ", "r."),
        f=lambda: r.one("fl. ", "active ", "floruit ", "flourished "),
    )
    value = f"[{a},{b}]" if "<slash>" in template else f"{a}{'~' if about else ''}/{b}"
    return Sample(text, (value,), {"kind": kind} if kind else {})


forms("elided years", elided)


def days_in_month(r: Choices, template: str) -> Sample:
    year, month = a_year(r), a_month(r)
    first = r.number(1, DAYS[month - 1] - 2 - (month == 2))
    last = min(DAYS[month - 1] - (month == 2), first + r.pick((1, 2, 3, 4, 6, 9, 14, 20)))
    first_text, last_text = (str(first), str(last))
    slots = day_slots(r, year, month, first)
    slots |= {
        "a": first_text,
        "b": last_text,
        "ath": ordinal(first),
        "bth": ordinal(last),
        "dash": lambda: dash(r, 0.25),
        "to": lambda: to(r),
        "Y4": str(year[0]),
    }
    a, b = (f"{edtf_year(year)}-{month:02d}-{d:02d}" for d in (first, last))
    value = f"[{a}..{b}]" if "between" in template else f"{a}/{b}"
    if " or " in template:
        b = f"{edtf_year(year)}-{month:02d}-{first + 1:02d}"
        slots |= {"b": str(first + 1), "bth": ordinal(first + 1)}
        value = f"[{a},{b}]"
    return Sample(fill(template, **slots), (value,))


forms("days in a month", days_in_month)


def two_days(r: Choices) -> tuple[Year, tuple[int, int], tuple[int, int]]:
    year = a_year(r)
    first = a_month(r)
    first = min(first, 11)
    second = min(12, first + r.pick((1, 1, 1, 2, 3, 5, 8)))
    return year, (first, a_day(r, (1999, False), first)), (second, a_day(r, (1999, False), second))


def days_in_year(r: Choices, template: str) -> Sample:
    year, (m, d), (n, e) = two_days(r)
    if "/<b>" in template:
        year = r.number(1800, 2029), False
    slots = day_slots(r, year, m, d)
    full = r.chance(0.6)
    slots |= {
        "a": str(d),
        "b": str(e),
        "m": str(m),
        "n": str(n),
        "ath": ordinal(d),
        "bth": ordinal(e),
        "mon": MONTHS[m - 1] if full else month_text(r, m),
        "mos": MONTHS[n - 1] if full else month_text(r, n),
        "dash": lambda: dash(r, 0.5),
        "to": lambda: to(r),
        "Y4": str(year[0]),
    }
    a, b = f"{edtf_year(year)}-{m:02d}-{d:02d}", f"{edtf_year(year)}-{n:02d}-{e:02d}"
    if template.startswith(("<mon><to><mos> <bth>", "from <mon> until <b>")):
        a = a[:-3]
    if " <a> to <mos> <Y>" in template:
        b = b[:-3]
    value = f"[{a}..{b}]" if "between" in template else f"{a}/{b}"
    if " or " in template:
        value = f"[{a},{b}]"
    return Sample(fill(template, **slots), (value,))


forms("days in a year", days_in_year)


def months(r: Choices, template: str) -> Sample:
    year, (m, _), (n, _) = two_days(r)
    full = r.chance(0.6)
    slots = day_slots(r, year, m, 1)
    slots |= {
        "mon": MONTHS[m - 1] if full else month_text(r, m),
        "mos": MONTHS[n - 1] if full else month_text(r, n),
        "dash": lambda: dash(r, 0.25),
        "to": lambda: to(r),
    }
    a, b = f"{edtf_year(year)}-{m:02d}", f"{edtf_year(year)}-{n:02d}"
    if (
        template.startswith(("<mon><dash><mos>", "<mon>–", "in <mon>–"))
        and year[0] > 1
        and r.chance(0.15)
    ):
        # from one year into the next: the year is the one of the second month
        before = (year[0] + 1, True) if year[1] else (year[0] - 1, False)
        a, b = f"{edtf_year(before)}-{n:02d}", f"{edtf_year(year)}-{m:02d}"
        slots["mon"], slots["mos"] = slots["mos"], slots["mon"]
    values: tuple[str, ...] = (f"{a}/{b}",)
    if "between" in template:
        values = (f"[{a}..{b}]",)
    elif " or " in template:
        values = (f"[{a},{b}]",)
    elif " and " in template:
        values = (a, b)
    return Sample(fill(template, **slots), values)


forms("months", months)


def seasons(r: Choices, template: str) -> Sample:
    year = a_year(r)
    names = ("spring", "summer", r.one("autumn", "fall"))
    i = r.number(0, 1)
    j = r.number(i + 1, 2)
    case = str.capitalize if r.chance(0.5) else str
    slots = {
        "S": case(names[i]),
        "T": case(names[j]),
        "Y": lambda: year_text(r, year),
        "dash": lambda: dash(r, 0.25),
    }
    a, b = (f"{edtf_year(year)}-{SEASONS[names[k]]}" for k in (i, j))
    value = (
        f"[{a},{b}]"
        if " or " in template
        else f"[{a}..{b}]"
        if "between" in template
        else f"{a}/{b}"
    )
    return Sample(fill(template, **slots), (value,))


forms("seasons", seasons)

ENDS = tuple(
    tuple(ends.split("/"))
    for ends in listed(
        """
        day/day, day/day, day/day, day/day, month/month, month/month, year/month, month/year,
        day/year, year/day, season/day, season/season, month/day, day/month, season/season,
        season/year, year/season, month/season, day/figures, figures/figures, figures/figures
        """
    )
)


def an_end(r: Choices, precision: str, year: Year, style: list[str]) -> tuple[str, str]:
    """Text and value of one end of a range, in one style for both."""
    month = a_month(r)
    day = a_day(r, year, month)
    shown = year_text(r, year)
    if precision == "year":
        return ("the year " if r.chance(0.12) else "") + shown, edtf_year(year)
    if precision == "season":
        name = r.pick(tuple(SEASONS))
        lead = r.one("", "", "", "the ")
        of = " of " if lead or r.chance(0.3) else " "
        cased = name.capitalize() if r.chance(0.35) and not lead else name
        return f"{lead}{cased}{of}{shown}", f"{edtf_year(year)}-{SEASONS[name]}"
    name = month_text(r, month) if "short" in style else MONTHS[month - 1]
    if precision == "month":
        sep = ", " if "comma" in style else " "
        if r.chance(0.04):
            return f"{shown} {name}", f"{edtf_year(year)}-{month:02d}"
        if "of" in style and r.chance(0.5):
            sep = r.one(" of ", " in ")
        return f"{name}{sep}{shown}", f"{edtf_year(year)}-{month:02d}"
    value = f"{edtf_year(year)}-{month:02d}-{day:02d}"
    if precision == "figures":
        if year[1] or year[0] < 1000:
            return f"{day} {name} {shown}", value
        if "slash" in style:
            return f"{month}/{day}/{year[0]}", value
        if "dot" in style:
            return f"{day}.{month}.{year[0]}", value
        if "named" in style:
            return f"{year[0]}-{MONTHS[month - 1][:3]}-{day:02d}", value
        return f"{year[0]}-{month:02d}-{day:02d}", value
    if "american" in style:
        number = ordinal(day) if "th" in style else str(day)
        sep = " of " if "of" in style else r.one(", ", ", ", ", ", " ")
        return f"{name} {number}{sep}{shown}", value
    number = ordinal(day) if "th" in style else str(day)
    number += " of" if "of" in style else ""
    return f"{number} {name}{' in' if r.chance(0.03) else ''} {shown}", value


def a_style(r: Choices) -> list[str]:
    style = [r.one("american", "british")]
    for name, share in (("short", 0.35), ("th", 0.15), ("comma", 0.1), ("of", 0.1)):
        if r.chance(share):
            style.append(name)
    return [*style, r.one("slash", "dot", "iso", "iso", "named")]


def across(r: Choices, template: str) -> Sample:
    """Two points of unlike precision, each with its year."""
    p, q = r.pick(ENDS)
    first = a_year(r)
    if "figures" in (p, q) or "<iso>" in template:
        first = r.number(1000, 2020), False
    last = later(r, first)
    style = a_style(r)
    if "figures" in (p, q) and "/" in template:
        style = ["iso"]
    if "<iso>" in template:
        p = q = "figures"
        style = ["iso"]
    (a_text, a), (b_text, b) = an_end(r, p, first, style), an_end(r, q, last, style)
    if "<c><A>" in template:
        a += "~"
    if "<c><B>" in template:
        b += "~"
    if "<A><q>" in template:
        a += "?"
    if "<B><q>" in template:
        b += "?"
    spaced = " " in a_text + b_text or "-" in a_text
    text = fill(
        template,
        A=a_text,
        B=b_text,
        iso="",
        to=lambda: to(r),
        dash=lambda: dash(r, 0.6 if spaced else 0.2),
        c=lambda: r.pick(CIRCA),
        q=lambda: r.pick(DOUBT),
    )
    if "between" in template:
        return Sample(text, (f"[{a}..{b}]",))
    if " or " in template:
        return Sample(text, (f"[{a},{b}]",))
    return Sample(text, (f"{a}/{b}",))


forms("across years", across)


NOW = listed(
    """
    present, present, present, the present, today, now, Present, present day, date,
    the present day
    """
)
UNTIL = listed(
    """
    before, before, prior to, until, up to, by, not later than, no later than, till,
    earlier than, at the latest by, on or before, before or in, ending in, ending with,
    less than, sooner than, no later than
    """
)
SINCE = listed(
    """
    after, after, not before, no earlier than, since, not earlier than, later than,
    subsequent to, on or after, after or in, starting from, starting in, starting on,
    greater than, beginning in
    """
)
ONWARDS = listed(
    """
    onwards, onward, on, and later, and after, or later, forward, or after, and greater,
    and beyond
    """
)
EARLIER = listed(
    """
    or earlier, or before, and earlier, and before, at the latest
    """
)


def open_(r: Choices, template: str) -> Sample:
    """Open and unknown ends."""
    family = r.pick(("year", "year", "day", "day", "month", "season"))
    year = a_year(r)
    if "<sp>" in template or "<n>" in template:
        year = r.number(1000, 2029) if r.chance(0.8) else r.number(200, 999), False
        family = "year"
    if family == "season" or r.chance(0.7):
        text, value = an_end(r, family, year, a_style(r))
    else:
        sample = TRAIN.draw(r, r.pick(("day in figures", "month")))
        text, value = sample.text, sample.values[0]
        if text.startswith(("in ", "on ", "during ")):
            text, value = an_end(r, "day", year, a_style(r))
    if "<n>" in template:
        text, value = str(year[0]), edtf_year(year)
    about = "<c>" in template
    if about:
        value += "~"
    filled = fill(
        template,
        P=text,
        n=str(year[0]),
        c=lambda: r.pick(CIRCA),
        dash=lambda: dash(r, 0.5),
        sp=lambda: r.one("–", "-", "– ", "- ", " – ", " - ", "—"),
        now=lambda: r.pick(NOW),
        unknown=lambda: r.one("?", "?", "unknown", "unknown", "Unknown", "??"),
        before=lambda: r.pick(UNTIL),
        after=lambda: r.pick(SINCE),
        since=lambda: r.one("since", "since", "ever since", "starting", "beginning", "from"),
        on=lambda: r.pick(ONWARDS),
        earlier=lambda: r.pick(EARLIER),
    )
    filled = filled.strip()
    if "<unknown>" in template:
        return Sample(filled, (f"/{value}" if template.startswith("<unknown>") else f"{value}/",))
    if any(sign in template for sign in ("<before>", "before <P>", "<earlier>", "until the")):
        return Sample(filled, (f"../{value}",))
    return Sample(filled, (f"{value}/..",))


forms("open ranges", open_)
