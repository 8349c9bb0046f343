"""Ranges in English: of years, of days in a month, of months, with elided parts and open ends."""

from __future__ import annotations

from .core import (
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
    month_text,
    number_text,
    ordinal,
    to,
    year_text,
)
from .points import SEASONS, day_slots, part_of

CIRCA = ("c. ",) * 8 + ("c.",) * 3 + ("ca. ",) * 3 + ("ca ", "circa ", "circa ", "about ", "around ", "C. ", "c ", "approx. ", "approximately ", "roughly ")  # fmt: skip
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


forms(
    "years",
    years,
    """
*<N><dash><M>
*<N><to><M>
*from <N> to <M>
from <N> until <M>
from <N> through <M>
from <N> till <M>
from <N> up to <M>
from the year <N> to the year <M>
in the years <N><dash><M>
the years <N> to <M>
during <N><dash><M>
years <N><dash><M>
<N> / <M>
the period <N><dash><M>
in the period from <N> to <M>
over the period <N> to <M>
starting in <N> and ending in <M>
*<N><dash><M><era>
*<N><to><M><era>
*from <N> to <M><era>
from <N> until <M><era>
in the years <N><dash><M><era>
the period <N><dash><M><era>
during <N><to><M><era>
*<lead><N><dash><M>
<lead><N> to <M>
from <lead><N> to <M>
*<A><to><B>
*<A> – <B>
<A>–<B>
from <A> to <B>
from <A> until <B>
from <A> through <B>
<A> to <B>
*<c><N><dash><M><era>
<c><N><to><M><era>
<c><N> – <M><era>
from <c><N> to <M><era>
*<c><N> – <c><M><era>
<c><N><to><c><M><era>
from <c><N> to <c><M><era>
*<c><A> – <c><B>
<c><A><to><c><B>
from <c><A> to <c><B>
*<c><N><dash><M>
*<c><N> – <M>
<c><N><to><M>
from <c><N> to <M>
*<N> – <c><M>
<N><to><c><M>
from <N> to <c><M>
*<c><N> – <c><M>
<c><N><to><c><M>
*<N><q>–<M>
<N><q> – <M>
*<N> – <M><q>
<N>–<M><q>
<N><q><to><M><q>
<N><q>–<M><q>
*<c><N> – <M><q>
<N><q> – <c><M>
""",
)


def elided(r: Choices, template: str) -> Sample:
    """The second year without its first figures: 1914–18; 1999–03 goes on into the next century.

    Between a hyphen and 01 to 12 it would be a month, as in ISO 8601: there other dashes stand.
    """
    number = r.number(1000, 2020) if r.chance(0.85) else r.number(100, 999)
    last = min(number + r.pick((1, 1, 2, 3, 4, 5, 7, 9, 14, 20, 35, 60)) , number + 99)
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
    about = "<c>" in template
    kind = {"r": "reigned", "f": "flourished"}.get(template[1] if template[2:3] == ">" else "", "")
    text = fill(
        template, N=str(number), d=sign + digits, D=sign + digits, sp=sign + digits, to=sign + digits,
        slash="/" + digits, c=lambda: r.pick(CIRCA), mon=lambda: month_text(r, a_month(r)),
        r=lambda: r.one("r. ", "reigned ", "ruled ", "r."),
        f=lambda: r.one("fl. ", "active ", "floruit ", "flourished "),
    )  # fmt: skip
    value = f"[{a},{b}]" if "<slash>" in template else f"{a}{'~' if about else ''}/{b}"
    return Sample(text, (value,), {"kind": kind} if kind else {})


forms(
    "elided years",
    elided,
    """
*<N><d>
from <N><to>
in <N><d>
in the years <N><d>
the years <N><d>
during <N><d>
the period <N><d>
(<N><d>)
*<N><sp>
in <N><sp>
*<N><to>
*<N><D>
in <N><D>
*<c><N><d>
<c><N><sp>
*<r><N><d>
*<f><N><d>
*<N><slash> (exact year unknown)
<N><slash> (year uncertain)
<N><slash> (precise year not known)
<N><slash> (exact date unknown)
""",
    weight=1.0,
)


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


forms(
    "days in a month",
    days_in_month,
    """
*<a><dash><b> <mon> <Y>
*<mon> <a><dash><b>, <Y>
<mon> <a><dash><b> <Y>
*<a><to><b> <mon> <Y>
<mon> <a><to><b>, <Y>
*from <a> to <b> <mon> <Y>
from <a><dash><b> <mon> <Y>
from <mon> <a> to <b>, <Y>
from <a> until <b> <mon> <Y>
from the <ath> to the <bth> of <mon> <Y>
from the <ath> until the <bth> of <mon>, <Y>
<ath> to <bth> <mon> <Y>
<ath><dash><bth> of <mon> <Y>
<mon> <ath><dash><bth>, <Y>
<mon> <ath> to <bth>, <Y>
<mon> <a> to <mon> <b>, <Y>
<mon> <a> – <mon> <b>, <Y>
<a> <mon><to><b> <mon> <Y>
<a> to <b> of <mon> <Y>
<a><dash><b> <mon>, <Y>
from <a> to <b> <mon>, <Y>
<a><dash><b> of <mon>, <Y>
from <a> to <mon> <b>, <Y>
<Y>, <mon> <a><dash><b>
<Y>, <a><dash><b> <mon>
<a>.<dash><b>. <mon> <Y>
*between <a> and <b> <mon> <Y>
between <mon> <a> and <b>, <Y>
between <a><dash><b> <mon>, <Y>
between the <ath> and the <bth> of <mon> <Y>
between <mon> <a> and <mon> <b>, <Y>
*<a> or <b> <mon> <Y>
<mon> <a> or <b>, <Y>
either <a> or <b> <mon> <Y>
the <ath> or <bth> of <mon> <Y>
on <a> or <b> <mon> <Y>
""",
)


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


forms(
    "days in a year",
    days_in_year,
    """
*<a> <mon> – <b> <mos> <Y>
*<mon> <a> – <mos> <b>, <Y>
*<a> <mon><to><b> <mos> <Y>
<mon> <a><to><mos> <b>, <Y>
<mon> <a><to><mos> <b> <Y>
*from <a> <mon> to <b> <mos> <Y>
from <mon> <a> to <mos> <b>, <Y>
from <a> <mon> until <b> <mos> <Y>
from <mon> <a> until <mos> <b>, <Y>
from <mon> <a> through <mos> <b>, <Y>
from the <ath> of <mon> to the <bth> of <mos> <Y>
from <ath> <mon> to <bth> <mos> <Y>
<ath> <mon> to <bth> <mos> <Y>
<mon> <ath> – <mos> <bth>, <Y>
<Y>, <a> <mon> – <b> <mos>
in <Y>, from <a> <mon> to <b> <mos>
from <a> <mon> to <b> <mos> in <Y>
<a> <mon><dash><b> <mos>, <Y>
<m>/<a>-<n>/<b>/<Y4>
from <m>/<a> to <n>/<b>/<Y4>
from <m>/<a>-<n>/<b>, <Y4>
<mon><to><mos> <bth>, <Y>
from <mon> <a> to <mos> <Y>
*between <a> <mon> and <b> <mos> <Y>
between <mon> <a> and <mos> <b>, <Y>
between <mon> <ath> and <mos> <bth>, <Y>
*<a> <mon> or <b> <mos> <Y>
either <mon> <a> or <mos> <b>, <Y>
""",
)


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
    if template.startswith(("<mon><dash><mos>", "<mon>–", "in <mon>–")) and year[0] > 1 and r.chance(0.15):
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


forms(
    "months",
    months,
    """
*<mon><dash><mos> <Y>
*<mon><to><mos> <Y>
<mon>–<mos>, <Y>
<mon> to <mos>, <Y>
<mon> to <mos> of <Y>
*from <mon> to <mos> <Y>
from <mon> to <mos> in <Y>
from <mon> until <mos> <Y>
from <mon> through <mos> <Y>
from <mon> to <mos> of <Y>
in <mon>–<mos> <Y>
<mon>/<mos> <Y>
<Y>, <mon> to <mos>
in <Y>, from <mon> to <mos>
during <mon>–<mos> <Y>
*between <mon> and <mos> <Y>
between <mon> and <mos>, <Y>
between <mon> and <mos> of <Y>
*<mon> or <mos> <Y>
either <mon> or <mos> <Y>
in <mon> or <mos> <Y>
in <mon> or <mos> of <Y>
*<mon> and <mos> <Y>
in <mon> and <mos> <Y>
""",
)


def seasons(r: Choices, template: str) -> Sample:
    year = a_year(r)
    names = ("spring", "summer", r.one("autumn", "fall"))
    i = r.number(0, 1)
    j = r.number(i + 1, 2)
    case = str.capitalize if r.chance(0.5) else str
    slots = {
        "S": case(names[i]), "T": case(names[j]), "Y": lambda: year_text(r, year),
        "dash": lambda: dash(r, 0.25),
    }  # fmt: skip
    a, b = (f"{edtf_year(year)}-{SEASONS[names[k]]}" for k in (i, j))
    value = f"[{a},{b}]" if " or " in template else f"[{a}..{b}]" if "between" in template else f"{a}/{b}"
    return Sample(fill(template, **slots), (value,))


forms(
    "seasons",
    seasons,
    """
*<S><dash><T> <Y>
*<S> to <T> <Y>
from <S> to <T> <Y>
from the <S> to the <T> of <Y>
from <S> until <T> of <Y>
<S>/<T> <Y>
*<S> or <T> <Y>
in the <S> or <T> of <Y>
between <S> and <T> <Y>
""",
    weight=1.0,
)

ENDS = (
    ("day", "day"), ("day", "day"), ("day", "day"), ("day", "day"), ("month", "month"), ("month", "month"),
    ("year", "month"), ("month", "year"), ("day", "year"), ("year", "day"), ("season", "day"),
    ("season", "season"), ("month", "day"), ("day", "month"), ("season", "season"), ("season", "year"),
    ("year", "season"), ("month", "season"), ("day", "figures"), ("figures", "figures"), ("figures", "figures"),
)  # fmt: skip


def an_end(r: Choices, precision: str, year: Year, style: list[str]) -> tuple[str, str]:
    """Text and value of one end of a range, in one style for both."""
    month = a_month(r)
    day = a_day(r, year, month)
    shown = year_text(r, year)
    if precision == "year":
        return shown, edtf_year(year)
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
        template, A=a_text, B=b_text, iso="", to=lambda: to(r), dash=lambda: dash(r, 0.6 if spaced else 0.2),
        c=lambda: r.pick(CIRCA), q=lambda: r.pick(DOUBT),
    )  # fmt: skip
    if "between" in template:
        return Sample(text, (f"[{a}..{b}]",))
    if " or " in template:
        return Sample(text, (f"[{a},{b}]",))
    return Sample(text, (f"{a}/{b}",))


forms(
    "across years",
    across,
    """
*<A> – <B>
*<A><dash><B>
*<A><to><B>
<A> to <B>
<A> until <B>
<A> through <B>
*from <A> to <B>
*from <A> until <B>
from <A> through <B>
from <A> till <B>
from <A> up to <B>
from <A><dash><B>
between <A> and <B>
*sometime between <A> and <B>
<A>–<B>
beginning <A> and ending <B>
starting <A>, ending <B>
*<c><A> – <B>
<c><A><to><B>
from <c><A> to <B>
*<A> – <c><B>
<A><to><c><B>
from <A> until <c><B>
*<c><A> – <c><B>
*<A><q> – <B>
*<A> – <B><q>
*<A> or <B>
either <A> or <B>
<iso><A>/<B>
<iso><A>--<B>
<iso><A> to <B>
<iso><A> / <B>
""",
    weight=1.0,
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
        template, P=text, n=str(year[0]), c=lambda: r.pick(CIRCA), dash=lambda: dash(r, 0.5),
        sp=lambda: r.one("–", "-", "– ", "- ", " – ", " - ", "—"),
        now=lambda: r.one("present", "present", "present", "the present", "today", "now", "Present", "present day", "date", "the present day"),
        unknown=lambda: r.one("?", "?", "unknown", "unknown", "Unknown", "??"),
        before=lambda: r.one("before", "before", "prior to", "until", "up to", "by", "not later than", "no later than", "till", "earlier than", "at the latest by", "on or before", "before or in", "ending in", "ending with", "less than", "sooner than", "no later than"),
        after=lambda: r.one("after", "after", "not before", "no earlier than", "since", "not earlier than", "later than", "subsequent to", "on or after", "after or in", "starting from", "starting in", "starting on", "greater than", "beginning in"),
        since=lambda: r.one("since", "since", "ever since", "starting", "beginning", "from"),
        on=lambda: r.one("onwards", "onward", "on", "and later", "and after", "or later", "forward", "or after", "and greater", "and beyond"),
        earlier=lambda: r.one("or earlier", "or before", "and earlier", "and before", "at the latest"),
    )  # fmt: skip
    filled = filled.strip()
    if "<unknown>" in template:
        return Sample(filled, (f"/{value}" if template.startswith("<unknown>") else f"{value}/",))
    if any(sign in template for sign in ("<before>", "before <P>", "<earlier>")):
        return Sample(filled, (f"../{value}",))
    return Sample(filled, (f"{value}/..",))


forms(
    "open ranges",
    open_,
    """
*<before> <P>
*<after> <P>
<before> the year <n>
<after> the year <n>
some time before <P>
some time after <P>
shortly before <P>
soon after <P>
at some point before <P>
sometime after <P>
*<before> <c><P>
*<after> <c><P>
*since <P>
<since> <P> <on>
*from <P> <on>
from the year <n> <on>
*<P> <on>
*<P> <earlier>
*<P> – <now>
*<P><dash><now>
<P> to <now>
<P> until <now>
*from <P> to <now>
from <P> until <now>
<P> through <now>
<c><P> – <now>
*<n><sp>
(<n><sp>)
( <n><sp> )
*<P> – <unknown>
<P> to <unknown>
<P><dash><unknown>
<c><P> – <unknown>
*<unknown> – <P>
<unknown> to <P>
<unknown><dash><P>
""",
)
