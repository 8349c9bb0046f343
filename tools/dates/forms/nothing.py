"""Texts without a date: numbers, relative dates, days without a year, words."""

from __future__ import annotations

from forms.core import MONTHS, WEEKDAYS, Choices, Sample, fill, forms, listed, month_text, ordinal
from forms.marks import around, words

KINGS = listed(
    """
    Henry, Louis, Charles, Catherine, Mary, Philip, Rudolf, Victoria, Suleiman, Otto
    """
)
ROOMS = listed(
    """
    page, p., pp., chapter, room, no., No., volume, vol., Act, verse, figure, table, lot, section,
    Part
    """
)
UNITS = listed(
    """
    km, miles, kg, people, soldiers, ships, pounds, metres, m, feet, pages, acres, tons, volumes,
    inhabitants, %
    """
)
AREAS = listed(
    """
    Street, Road, Avenue, Lane, Square, Place, Boulevard, Park, Row
    """
)
NAMES = listed(
    """
    Baker, Elm, Abbey, Fleet, Station, Church, Mill, Park, Victoria, Queen, Bridge, May, March,
    August
    """
)
RELATIVE = listed(
    """
    yesterday, today, tomorrow, last year, next week, last Monday, next month, two days ago,
    this morning, now, tonight, the day before, the following year, the next day, a year later,
    three years earlier, last summer, next Friday, this year, in a few days, some years later,
    the same day, the previous century, recently, at present, soon, the day after tomorrow,
    this week, last night, every year, every Tuesday, weekly, monthly, twice a year, once, never,
    always, daily
    """
)
EMPTY = listed(
    """
    not known, unspecified, not dated, date not known, date unknown, tbd, TBA, N/A, none, None,
    nil, ?, ??, -, –, --, ..., …, see below, see text, various, various dates, unclear, disputed,
    uncertain, lost, ongoing, in progress, pending, N.D., sine anno, s.d., s.a., unbekannt,
    inconnu, ohne Datum, sans date, sin fecha, desconocido, to be confirmed, no date given,
    not recorded, not available, medieval, ancient, modern, antiquity, the Middle Ages,
    Bronze Age, Iron Age, the Renaissance, Neolithic, Late Antiquity, time immemorial, long ago,
    in the distant past, the reign of the emperor, in his youth, the present, present, since then,
    until then, before then, afterwards, later, earlier, early, late, circa, c., century, spring,
    Summer, in winter, autumn, born, died, active, BC, AD, the war years, pre-war, post-war,
    often, repeatedly, decades, for centuries, centuries ago, millennia, a long time, many times,
    biannually, quarterly, seasonal, unknown date, (unknown)
    """
)


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def a_number(r: Choices) -> str:
    return str(r.number(1, 99) if r.chance(0.6) else r.number(100, 9999))


def nothing(r: Choices, template: str) -> Sample:
    month = r.number(1, 12)
    day = r.number(1, 28)
    text = fill(
        template,
        n=lambda: a_number(r),
        letters=lambda: "".join(r.pick(LETTERS) for _ in range(r.number(1, 4))),
        small=lambda: str(r.number(2, 60)),
        big=f"{r.number(1, 999)},{r.number(0, 999):03d}",
        room=lambda: r.pick(ROOMS),
        unit=lambda: r.pick(UNITS),
        name=lambda: r.pick(NAMES),
        area=lambda: r.pick(AREAS),
        king=lambda: r.pick(KINGS),
        relative=lambda: r.pick(RELATIVE),
        empty=lambda: r.pick(EMPTY),
        words=lambda: words(r, 7),
        Words=lambda: words(r, 7).capitalize(),
        mon=lambda: month_text(r, month) if month != 5 else MONTHS[4],
        d=str(day),
        dth=ordinal(day),
        wday=lambda: r.pick(WEEKDAYS),
        **around(r),
        phone=f"{r.number(100, 999)}-{r.number(100, 999)}-{r.number(1000, 9999)}",
        intl=f"+{r.number(1, 99)} {r.number(10, 999)} "
        f"{r.number(1000, 9999)}-{r.number(1000, 9999)}",
        dec=f"{r.number(0, 999)}.{r.number(0, 99):02d}",
        roman=lambda: r.one("II", "III", "IV", "V", "VI", "VII", "VIII", "XIV", "XVI"),
        code=f"{r.one('A', 'B', 'XK', 'ISO', 'RFC', 'ABC')}-{r.number(1, 99999)}",
        time=f"{r.number(1, 12)}:{r.number(0, 59):02d}",
        pm=lambda: r.one("am", "pm", " a.m.", " p.m."),
        per=lambda: r.one(
            "days", "weeks", "years", "months", "centuries", "decades", "hours", "minutes"
        ),
        m=str(month),
        y=str(r.number(1900, 2030)),
        season=lambda: r.one("spring", "summer", "autumn", "winter"),
    )
    return Sample(text)


forms("no date", nothing)
