"""Circa, doubt, births, deaths, reigns, and Old Style; alternatives; several dates."""

from __future__ import annotations

from forms.core import (
    MONTHS,
    TRAIN,
    Choices,
    Sample,
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
    year_said,
    year_text,
)
from forms.points import day_slots
from forms.ranges import CIRCA, a_style, an_end

ABOUT = (
    *CIRCA,
    "abt ", "abt. ", "some time around ", "around ", "about ", "approx ", "circa. ", "Circa ",
    "Ca. ", "About ", "near ", "c . ", "cir. ", "CA ",
)  # fmt: skip
MAYBE = (
    "possibly ", "probably ", "perhaps ", "maybe ", "likely ", "presumably ", "Probably ",
    "apparently ", "supposedly ", "Perhaps ", "believed to be ", "thought to be ", "said to be ",
)  # fmt: skip


def simple(r: Choices) -> tuple[str, str]:
    """A point of any precision without words before it."""
    kind = r.random()
    if kind < 0.5:
        year = a_year(r)
        return year_said(r, year), edtf_year(year)
    family = "day" if kind < 0.7 else "month" if kind < 0.85 else "period"
    if family == "period":
        sample = TRAIN.draw(r, r.pick(("decade", "century", "century")))
        while sample.fields or not sample.text[0].isdigit():
            sample = TRAIN.draw(r, r.pick(("decade", "century", "century")))
        return sample.text, sample.values[0]
    return an_end(r, family, a_year(r), a_style(r))


def qualified(r: Choices, template: str) -> Sample:
    text, value = simple(r)
    if "the year" in template or "<Yr>" in template:
        year = a_year(r)
        text, value = year_text(r, year), edtf_year(year)
    c, q = "c>" in template, any(sign in template for sign in ("<q>", "<maybe>", "<doubt>"))
    qualifier = "%" if c and q else "~" if c else "?"
    filled = fill(
        template,
        c=lambda: r.pick(ABOUT),
        P=text,
        Yr=text,
        q=lambda: r.one("?", "?", " (?)", "(?)", " ?"),
        maybe=lambda: r.pick(MAYBE),
        wc=lambda: r.one("circa", "approximate", "approximately", "approx.", "about", "ca."),
        doubt=lambda: r.one(
            "uncertain", "disputed", "doubtful", "unconfirmed", "date uncertain", "conjectured"
        ),
    )
    return Sample(filled, (value + qualifier,))


forms("circa and doubt", qualified)

BORN = (
    "born ", "born ", "b. ", "b. ", "b.", "born on ", "Born ", "born in ", "* ", "was born ",
    "b ", "born: ", "Born: ", "date of birth: ",
)  # fmt: skip
DIED = (
    "died ", "died ", "d. ", "d. ", "d.", "died on ", "Died ", "died in ", "† ", "was buried ",
    "d ", "died: ", "Died: ",
)  # fmt: skip
LIVED = (
    "fl. ", "fl. ", "fl. ", "flourished ", "floruit ", "active ", "Fl. ", "fl.", "active in ",
    "flourished in ", "Active ", "flor. ",
)  # fmt: skip
RULED = (
    "r. ", "r. ", "reigned ", "reigned ", "ruled ", "r.", "Reigned ", "reign: ", "Reign ",
    "ruled from ", "reigned from ", "R. ", "reign ",
)  # fmt: skip


def lead(r: Choices, options: tuple[str, ...], day: bool) -> str:
    said = r.pick(options)
    if day and said.endswith(" in "):
        said = said.replace(" in ", " on ")
    if not day and said.endswith(" on "):
        said = said.replace(" on ", " in ")
    return said


def life(r: Choices, template: str) -> Sample:
    text, value = simple(r)
    year = a_year(r)
    while "<r>" in template and "X" in value:
        text, value = simple(r)
    day = value.count("-", 1) == 2
    kind = "born" if "<b>" in template else "died" if "<d>" in template else "flourished"
    fields = {"kind": kind}
    if "<part>" in template:
        sample = TRAIN.draw(r, r.pick(("decade", "century")))
        while "part" not in sample.fields or sample.text.startswith(("in ", "dur", "dat")):
            sample = TRAIN.draw(r, r.pick(("decade", "century")))
        text, value = sample.text, sample.values[0]
        fields["part"] = sample.fields["part"]
        day = False
    if "<N>" in template:
        last = later(r, year)
        while last[1] != year[1]:
            year = a_year(r)
            last = later(r, year)
        era = era_text(r, year) if year[1] or (year[0] < 1000 and r.chance(0.3)) else ""
        text = number_text(r, year)
        text += dash(r) if r.chance(0.7) else r.one(" to ", " until ")
        text += number_text(r, last) + era
        about = "c><N>" in template
        mark = "~" if about else ""
        value = f"{edtf_year(year)}{mark}/{edtf_year(last)}{mark if era else ''}"
    elif "c>" in template:
        value += "~"
    if "<q>" in template:
        value += "?"
    if "before <" in template or "by <" in template:
        value = f"../{value}"
    elif "after <" in template:
        value = f"{value}/.."
    if "<or>" in template:
        year = (r.number(1000, 2010), False)
        text = f"{year[0]}{r.one(' or ', '/')}{year[0] + 1}"
        value = f"[{year[0]},{year[0] + 1}]"
        day = False
    place = r.one("London", "Florence", "Kyoto", "Alexandria", "Bruges", "Toledo", "Vienna", "Lima")
    filled = fill(
        template,
        b=lambda: lead(r, BORN, day),
        d=lambda: lead(r, DIED, day),
        f=lambda: lead(r, LIVED, day),
        P=text,
        N=text,
        part=text,
        c=lambda: r.pick(CIRCA),
        q=lambda: r.one("?", "?", " (?)"),
        place=place,
        lived=text,
        **{"or": text},
    )
    return Sample(filled, (value,), fields)


forms("births and deaths", life)


def reign(r: Choices, template: str) -> Sample:
    if "<A>" in template:
        precision = r.pick(("day", "day", "year", "month"))
        first = a_year(r)
        last = later(r, first)
        style = a_style(r)
        (at, a), (bt, b) = an_end(r, precision, first, style), an_end(r, precision, last, style)
    else:
        first = a_year(r)
        last = later(r, first)
        while first[1] != last[1]:
            first = a_year(r)
            last = later(r, first)
        era = era_text(r, last) if last[1] or (last[0] < 1000 and r.chance(0.3)) else ""
        at, bt = number_text(r, first), number_text(r, last) + era
        a, b = edtf_year(first), edtf_year(last)
        if "<c><N>" in template and era and "<c><M>" not in template:
            b += "~"
    if "<c><N>" in template or "<c><A>" in template:
        a += "~"
    if "<c><M>" in template or "<c><B>" in template:
        b += "~"
    value = f"{a}/{b}"
    if template.endswith("<now>"):
        value = f"{a}/.."
    if template.endswith("<N>"):
        at, value = year_text(r, first), a
    office = "<o>" in template
    name = r.one(
        "Edward", "Philip", "Ramesses", "Otto", "Ibrahim", "Kangxi", "Sancho", "Béla", "Harald"
    )
    number = r.one("I", "II", "III", "IV", "V", "VI", "VIII", "the Great", "the Bold")
    said = RULED if template.startswith(("<r><N>", "(<r><N>")) else RULED[:8] + RULED[11:]
    filled = fill(
        template,
        r=lambda: r.pick(said),
        o=lambda: r.one(
            "in office ", "in office from ", "served ", "term of office ", "term: ", "in power "
        ),
        N=at,
        M=bt,
        A=at,
        B=bt,
        to=lambda: to(r),
        dash=lambda: dash(r),
        c=lambda: r.pick(CIRCA),
        now=lambda: r.one("present", "the present", "today"),
        king=f"{name} {number}",
    )
    return Sample(filled, (value,), {} if office else {"kind": "reigned"})


forms("reigns", reign)


def lifespan(r: Choices, template: str) -> Sample:
    """A birth and a death in one text: the range of the life, without a kind."""
    first = a_year(r)
    last = later(r, first, 10)
    precision = r.pick(("year", "year", "day"))
    style = a_style(r)
    (at, a), (bt, b) = an_end(r, precision, first, style), an_end(r, precision, last, style)
    a += "~" if "<c><A>" in template else ""
    b += "~" if "<c><B>" in template else ""
    filled = fill(
        template,
        A=at,
        B=bt,
        b=lambda: r.one("born ", "b. ", "born in " if precision == "year" else "born on ", "*"),
        d=lambda: r.one("died ", "d. ", "died in " if precision == "year" else "died on ", "†"),
        c=lambda: r.pick(CIRCA),
        sep=lambda: r.one(", ", "; ", " – ", " - ", " "),
    )
    return Sample(filled, (f"{a}/{b}",))


forms("lives", lifespan)


def styles(r: Choices, template: str) -> Sample:
    """Old and New Style: where both days stand, the value is the one of the New Style."""
    year = r.number(1582, 1925), False
    old_year = year
    m, d = a_month(r), r.number(1, 28)
    nm, nd = m, d + 10 + r.number(0, 3)
    if nd > 28:
        nm, nd = m % 12 + 1, r.number(1, 12)
        if nm == 1:
            year = year[0] + 1, False
    same_year = year == old_year
    if not same_year and ("<old> (<new>)" in template or "<Y>" in template.split("O.S.")[-1]):
        year = old_year
    american = r.chance(0.4)
    full = r.chance(0.75)
    show = lambda k: MONTHS[k - 1] if full else month_text(r, k)  # noqa: E731
    old = f"{show(m)} {d}" if american else f"{d} {show(m)}"
    new = f"{show(nm)} {nd}" if american else f"{nd} {show(nm)}"
    comma = "," if american else ""
    os = lambda: r.one("O.S.", "O.S.", "OS", "Old Style", "o.s.", "O. S.", "Julian")  # noqa: E731
    ns = lambda: r.one("N.S.", "N.S.", "NS", "New Style", "n.s.", "N. S.", "Gregorian")  # noqa: E731
    slots = {
        "old": old,
        "new": new,
        "OY": f"{old}{comma} {old_year[0]}",
        "NY": f"{new}{comma} {year[0]}",
        "Y": f"{comma} {year[0]}",
        "OS": os,
        "NS": ns,
        "olds": f"{old_year[0]}",
    }
    text = fill(template, **slots)
    if "<new>" in template or "<NY>" in template:
        return Sample(text, (f"{year[0]:04d}-{nm:02d}-{nd:02d}",))
    return Sample(text, (f"{old_year[0]:04d}-{m:02d}-{d:02d}",), {"calendar": "old style"})


forms("old and new style", styles)


def alternative(r: Choices, template: str) -> Sample:
    """One of two or three years; between two points."""
    first = a_year(r)
    last = later(r, first)
    if r.chance(0.5) and "between" not in template:
        last = (
            later(r, first, 1)
            if first[1] and first[0] == 1
            else ((first[0] - 1, True) if first[1] else (first[0] + 1, False))
        )
    while first[1] != last[1]:
        first = a_year(r)
        last = later(r, first)
    third = later(r, last)
    if third[1] != last[1]:
        first, last, third = (980, True), (979, True), (978, True)
    era = era_text(r, last) if last[1] or (last[0] < 1000 and r.chance(0.4)) else ""
    number = lambda y: number_text(r, y)  # noqa: E731
    c_first = c_last = "~" if "<c>" in template else ""
    filled = fill(
        template,
        N=number(first),
        M=number(last),
        O=number(third),
        era=era,
        c=lambda: r.pick(CIRCA).replace("C. ", "c. "),
        A=number(first) + era,
        B=number(last) + era,
        between=lambda: r.one(
            "between ",
            "sometime between ",
            "between ",
            "some time between ",
            "Between ",
            "at some time between ",
        ),
        either=lambda: r.one("either ", "in ", "Either ", "in either ", "either in "),
    )
    a, b = edtf_year(first) + c_first, edtf_year(last) + c_last
    if "<O>" in template:
        return Sample(filled, (f"[{a},{b},{edtf_year(third)}]",))
    return Sample(filled, (f"[{a}..{b}]" if "between" in template else f"[{a},{b}]",))


forms("alternatives", alternative)


def alternative_days(r: Choices, template: str) -> Sample:
    """One of two points that share nothing, or between them."""
    family = r.pick(("day", "month", "year"))
    first = a_year(r)
    last = later(r, first)
    style = a_style(r)
    (at, a), (bt, b) = an_end(r, family, first, style), an_end(r, family, last, style)
    return Sample(
        fill(template, A=at, B=bt),
        (f"[{a}..{b}]" if "between" in template else f"[{a},{b}]",),
    )


forms("alternatives of any kind", alternative_days)


def a_range(r: Choices) -> tuple[str, str]:
    first = a_year(r)
    last = later(r, first)
    while first[1] != last[1] or (not first[1] and first[0] < 100):
        first = a_year(r)
        last = later(r, first)
    era = era_text(r, last) if last[1] else ""
    if (
        not era
        and first[0] > 999
        and r.chance(0.15)
        and last[0] % 100 > 12
        and first[0] // 100 == last[0] // 100
    ):
        return f"{first[0]}–{last[0] % 100}", f"{edtf_year(first)}/{edtf_year(last)}"
    return f"{first[0]}{dash(r, 0.1)}{last[0]}{era}", f"{edtf_year(first)}/{edtf_year(last)}"


def several(r: Choices, template: str) -> Sample:
    """Several dates, each a value of its own."""
    family = r.pick(("day", "day", "month", "year", "year", "year"))
    year = a_year(r)
    style = a_style(r)
    values: list[str] = []

    def a_point() -> str:
        nonlocal year
        text, value = an_end(r, family, year, style)
        year = later(r, year)
        values.append(value)
        return text

    def plain() -> str:
        nonlocal year
        while year[1] or year[0] < 100:
            year = a_year(r)
        values.append(edtf_year(year))
        text = str(year[0])
        year = later(r, year)
        return text

    def span() -> str:
        text, value = a_range(r)
        values.append(value)
        return text

    remark = r.one(
        " (two terms)", " (in exile)", " (twice)", " (second term)", " (restored)", " (again)"
    )
    text = fill(
        template,
        P=a_point,
        Y=plain,
        R=span,
        remark=remark,
        sep=lambda: r.one(", ", ", ", "; ", " / ", " & "),
        and_=lambda: r.one(" and ", " and ", " & ", ", and ", " and again in ", " as well as "),
    )
    return Sample(text, tuple(values))


forms("several dates", several)


def two_in_month(r: Choices, template: str) -> Sample:
    year, month = a_year(r), a_month(r)
    d = a_day(r, year, month)
    d = min(d, 26)
    e = d + r.number(1, 2)
    n = month % 12 + 1 if month < 12 else 12
    slots = day_slots(r, year, month, d)
    slots |= {"a": str(d), "b": str(e), "ath": ordinal(d), "bth": ordinal(e), "mos": MONTHS[n - 1]}
    if "<mos>" in template and month == 12:
        return two_in_month(r, template)
    text = fill(template, **slots)
    a, b = (
        f"{edtf_year(year)}-{month:02d}-{d:02d}",
        f"{edtf_year(year)}-{month if '<mos>' not in template else n:02d}-{e:02d}",
    )
    return Sample(text, (a, b))


forms("several dates", two_in_month)
