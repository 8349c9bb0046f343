"""What else reads dates: two libraries, a regular-expression parser, a general model with examples.

Each is a function from a text to the output that the dates model would write. The libraries give
days; how much of a day was said is taken from them where they tell (`dateparser`), else a day is.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def by_dateparser(text: str) -> str:
    """A text that is one date; otherwise the days that are found in it."""
    import dateparser.date
    import dateparser.search

    warnings.simplefilter("ignore")
    settings = {"PREFER_DAY_OF_MONTH": "first"}
    found = dateparser.date.DateDataParser(settings=settings).get_date_data(text)
    day = found.date_obj
    if day is None:
        inside = dateparser.search.search_dates(text, languages=["en"], settings=settings) or []
        return ";".join(f"{d.year:04d}-{d.month:02d}-{d.day:02d}" for _, d in inside)
    size = {"year": 4, "month": 7}.get(found.period, 10)
    return f"{day.year:04d}-{day.month:02d}-{day.day:02d}"[:size]


def by_datefinder(text: str) -> str:
    import datefinder

    warnings.simplefilter("ignore")
    try:
        return ";".join(
            f"{d.year:04d}-{d.month:02d}-{d.day:02d}" for d in datefinder.find_dates(text)
        )
    except (ValueError, OverflowError, TypeError, AttributeError):  # what it raises for some texts
        return ""


# --- regular expressions ---

MONTH = r"(?P<mon>jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]*\.?"
ERA = r"b\.?c\.?(?:e\.?)?|a\.?d\.?|c\.?e\.?"
YEAR = (
    r"(?:(?P<ad>a\.?d\.?|c\.?e\.?)\s*)?"
    r"(?P<year>\d{3,4}|\d{1,4}(?=\s*(?:b\.?c|a\.?d|c\.?e))|(?<=ad )\d{1,2})"
    rf"(?:\s*(?P<era>{ERA}))?"
)
DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
POINTS = [
    r"(?P<iso>\d{4}-\d{2}-\d{2})",
    r"(?P<iso>\d{4}-\d{2})(?!\d)",
    rf"{DAY}\s+(?:of\s+)?{MONTH},?\s+{YEAR}",
    rf"{MONTH}\s+{DAY},?\s+{YEAR}",
    rf"{MONTH},?\s+(?:of\s+)?{YEAR}",
    r"(?P<slash>\d{1,2}/\d{1,2}/\d{4})",
    r"(?P<dots>\d{1,2}\.\d{1,2}\.\d{4})",
    rf"(?P<season>spring|summer|autumn|fall|winter)\s+(?:of\s+)?{YEAR}",
    r"(?P<part>early|mid|late)?[ -]?(?P<decade>\d{3}0)'?s",
    r"(?P<part>early|mid|late)?[ -]?(?P<century>\d{1,2})(?:st|nd|rd|th)[ -]century"
    r"(?:\s+(?P<era>b\.?c\.?e?\.?))?",
    YEAR,
]
SEASONS = {"spring": 21, "summer": 22, "autumn": 23, "fall": 23, "winter": 24}
LEAD = r"(?P<about>c\.|ca\.?|circa|about|around|approx\.)?\s*"
TAIL = r"(?P<doubt>\s*\(?\?\)?)?"
KINDS = {
    "born": "born",
    "b.": "born",
    "died": "died",
    "d.": "died",
    "fl.": "flourished",
    "r.": "reigned",
    "reigned": "reigned",
}
PATTERNS = [re.compile(LEAD + p + TAIL, re.I) for p in POINTS]
RANGE = re.compile(r"\s*(?:–|—|-|−|&ndash;|\bto\b|\buntil\b|\bthrough\b)\s*", re.I)


def a_year(m: re.Match[str], era: str | None) -> str:
    number = int(m["year"])
    said = (m["era"] or era or "").lower()
    number = 1 - number if said.startswith("b") else number
    return f"-{-number:04d}" if number < 0 else f"{number:04d}"


def a_point(text: str, era: str | None = None) -> tuple[str, str, str | None] | None:
    """Value, part and era of a text that is a point in time and nothing else."""
    for pattern in PATTERNS:
        if not (m := pattern.fullmatch(text.strip(" .,;()[]'"))):
            continue
        g = m.groupdict()
        mark = (
            "%" if g["about"] and g["doubt"] else "~" if g["about"] else "?" if g["doubt"] else ""
        )
        part = (g.get("part") or "").lower()
        if g.get("iso"):
            return g["iso"] + mark, part, None
        if g.get("slash") or g.get("dots"):
            a, b, year = re.split(r"[/.]", g.get("slash") or g["dots"])
            day, month = (a, b) if g.get("dots") or int(a) > 12 else (b, a)
            return f"{year}-{int(month):02d}-{int(day):02d}{mark}", part, None
        if g.get("decade"):
            return f"0{g['decade']}"[-4:-1] + "X" + mark, part, None
        if g.get("century"):
            sign = "-" if (g["era"] or era or "").lower().startswith("b") else ""
            return f"{sign}{int(g['century']) - 1:02d}XX{mark}", part, g["era"]
        value = a_year(m, era)
        if g.get("season"):
            value += f"-{SEASONS[g['season'].lower()]}"
        if g.get("mon"):
            value += f"-{MONTHS.index(g['mon'].lower()[:3]) + 1:02d}"
        if g.get("day"):
            value += f"-{int(g['day']):02d}"
        return value + mark, part, g["era"]
    return None


def by_expressions(text: str) -> str:
    """Points, and ranges of two, of patterns such as one would write in an afternoon."""
    text = re.sub(r"\[\w*\s?\w*\]$|&nbsp;|'''|\[\[|\]\]", " ", text).strip()
    text = re.sub(r"^(?:(?:in|on|the|from|dated|during)\s+)+", "", text, flags=re.I)
    first = text.split(" ")[0].lower()
    kind = KINDS.get(first, "")
    text = text[len(first) :].strip() if kind else text
    fields = "#" + kind if kind else ""
    for word, form in (
        ("before", "../{}"),
        ("until", "../{}"),
        ("after", "{}/.."),
        ("since", "{}/.."),
    ):
        if text.lower().startswith(word + " ") and (p := a_point(text[len(word) :])):
            return form.format(p[0]) + fields
    if p := a_point(text):
        named = ",".join(filter(None, (kind, p[1])))
        return p[0] + ("#" + named if named else "")
    sides = RANGE.split(text)
    if len(sides) == 2:
        if re.fullmatch(r"present|the present|", sides[1], re.I) and (p := a_point(sides[0])):
            return f"{p[0]}/..{fields}"
        if re.fullmatch(r"\d\d", sides[1]) and re.fullmatch(r".*\d{4}", sides[0]):
            sides[1] = sides[0][-4:-2] + sides[1]
        if (m := re.fullmatch(r"(\d{1,2})", sides[0])) and re.match(
            r"\d{1,2}\s+[a-z]", sides[1], re.I
        ):
            sides[0] = m[1] + sides[1][len(re.match(r"\d+", sides[1])[0]) :]  # type: ignore[index]
        if (right := a_point(sides[1])) and (left := a_point(sides[0], right[2])):
            return f"{left[0]}/{right[0]}{fields}"
    return ""


# --- a general model ---

DATE = r"-?[0-9]{1,4}X{0,3}(-[0-9]{2}(-[0-9]{2})?)?[~?%]?"
END = rf"({DATE}|\.\.)?"
VALUE = rf"^({DATE}|{END}/{END}|\[{DATE}(,|\.\.){DATE}\])$"
SCHEMA = {
    "type": "object",
    "properties": {
        "dates": {"type": "array", "maxItems": 4, "items": {"type": "string", "pattern": VALUE}},
        "kind": {"enum": ["", "born", "died", "flourished", "reigned"]},
        "part": {"enum": ["", "early", "mid", "late", "first half", "second half"]},
        "calendar": {"enum": ["", "old style"]},
    },
    "required": ["dates", "kind", "part", "calendar"],
    "additionalProperties": False,
}
SYSTEM = (
    "Answer with the dates in a text as JSON, in the Extended Date/Time Format (EDTF, ISO 8601-2). "
    "Years BC are astronomical: 1 BC is 0000, 2 BC is -0001. ~ is circa, ? is uncertain, X an "
    "unspecified digit, A/B a range."
)
EXAMPLES = (
    ("19 May 1848", '{"dates": ["1848-05-19"], "kind": "", "part": "", "calendar": ""}'),
    ("c. 340–322 BC", '{"dates": ["-0339~/-0321~"], "kind": "", "part": "", "calendar": ""}'),
    ("born in 1871", '{"dates": ["1871"], "kind": "born", "part": "", "calendar": ""}'),
    ("late 9th century", '{"dates": ["08XX"], "kind": "", "part": "late", "calendar": ""}'),
    ("the bridge of stone", '{"dates": [], "kind": "", "part": "", "calendar": ""}'),
)


def general_model(path: Path) -> Callable[[str], str]:
    """SmolLM2 or another chat model: a schema that the answer follows, and five examples."""
    import llmpy

    model = llmpy.load(path, n_ctx=2048)
    said = [{"role": "system", "content": SYSTEM}]
    for text, answer in EXAMPLES:
        said += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]

    def ask(text: str) -> str:
        chat = model.chat(messages=said, sampler=llmpy.greedy())
        try:
            found = chat.parse(text, SCHEMA, max_tokens=120)
        except llmpy.AnswerError:
            return ""
        named = ",".join(filter(None, (found["kind"], found["part"], found["calendar"])))
        return ";".join(found["dates"]) + ("#" + named if named and found["dates"] else "")

    return ask
