"""The absolute dates of Recognizers-Text (English), as EDTF: `python tools/dates/recognizers.py`.

Each case that is left out is written, as its file and number, with the reason to
tests/dates/recognizers-left-out.tsv.
DateTimeModelExperimentalMode, which counts the ends of ranges otherwise, is not read.
A case is a sentence, and all dates in it are its answer. Its `Timex` gives the values; where that
rounds the end of a range to a day, the words of the case say how precise it is.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from forms.noise import normalise

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT.parent / "shared" / "data" / "dates" / "recognizers-text" / "English"
LEFT_OUT = ROOT / "tests" / "dates" / "recognizers-left-out.tsv"
FILES = (
    *("DateParser", "DatePeriodParser", "DateTimeParser", "DateTimePeriodParser", "MergedParser"),
    *("DateTimeModel", "DateTimeModelCalendarMode", "DateTimeModelComplexCalendar"),
    *("DateTimeModelExtendedTypes", "DateTimeModelSplitDateAndTime", "DateTimeModelTasksMode"),
)
RELATIVE = re.compile(
    r"\b(today|now|tomorrow|yesterday|next|last|this|ago|past|coming|previous|current|upcoming"
    r"|tonight|recent|following|present|weeks? (?:before|after|from)"
    r"|days? (?:before|after|from|since)|years? (?:before|after|from)|in two (?:weeks|years)"
    r"|\d+ (?:days|weeks|months|years) (?:from|after|before|since)"
    r"|month before|day before|year before)\b",
    re.I,
)
YEAR = re.compile(
    r"\b\d{4}|\d{4}\b|\b\d{1,2}[/.-]\d{1,2}[/.-]\d{2}\b|\bcentury\b|\d0s\b|\d0 ?'?s\b"
    r"|\bnineteen \w+|\btwo thousand|\beighteen hundred",
    re.I,
)
FEAST = re.compile(
    r"fiscal|school|christmas|easter|day of|black friday|labor|thanksgiving|patrick|earth day"
    r"|halloween"
)
SEASON = {"SP": "21", "SU": "22", "FA": "23", "WI": "24"}
PART = {"start": "early", "mid": "mid", "end": "late"}
HALVES = {"01": "40", "07": "41"}


class LeftOut(Exception):
    """Why a case has no value here."""


@dataclass(frozen=True)
class Case:
    text: str
    output: str
    spans: tuple[str, ...]  # what the case marks as the date


def timex_and_modifier(result: dict[str, Any]) -> tuple[str, str]:
    value = result.get("Value") or result.get("Resolution") or {}
    modifier = ""
    if "values" in value:
        found = {v.get("timex", v.get("Timex", "")) for v in value["values"]}
        modifier = next((v["Mod"] for v in value["values"] if v.get("Mod")), "")
        if len(found) > 1:
            raise LeftOut("the case leaves more than one reading open")
        return next(iter(found), ""), modifier
    timex = value.get("Timex", value.get("timex", ""))
    resolution = value.get("FutureResolution") or {}
    return timex, value.get("Mod") or resolution.get("Mod") or ""


def one(result: dict[str, Any], text: str) -> tuple[str, str]:
    """Value and part of a result."""
    said = result.get("Text") or ""
    start = result.get("Start")
    if isinstance(start, int) and text[start : start + len(said)].lower() == said.lower():
        said = text[start : start + len(said)]
    kind = (result.get("Type") or result.get("TypeName") or "").removeprefix("datetimeV2.")
    if kind in ("time", "duration", "set", "timerange", "timezone", "datetimerange"):
        raise LeftOut("a time of day, a duration or a repetition")
    timex, modifier = timex_and_modifier(result)
    words = said.lower()
    if RELATIVE.search(said):
        raise LeftOut("relative to the day of speaking")
    if re.search(r"XX", timex):
        raise LeftOut("without a year, or with one of two figures that the case leaves open")
    if not YEAR.search(said):
        raise LeftOut("without a year: a feast, or relative to the day of speaking")
    if re.search(r"-W|week", timex + words):
        raise LeftOut("a week: EDTF has none")
    if re.match(r"FY|SY", timex) or FEAST.search(words):
        raise LeftOut("a feast, a fiscal or a school year")
    value = of_timex(timex, words)
    modifier = modifier.lower()
    if modifier in PART:
        return value, PART[modifier]
    if not modifier:
        found = re.match(r"(?:the |in |at )*(beginning|start|middle|mid|end|early|late)\b", words)
        if found and "/" not in value:
            return value, {
                "beginning": "early",
                "start": "early",
                "early": "early",
                "middle": "mid",
                "mid": "mid",
            }.get(found[1], "late")
    if "approx" in modifier:
        return value + "~", ""
    if modifier and "/" in value:
        raise LeftOut("a range with a modifier of its own")
    if modifier.startswith(("after", "since")) or modifier in ("more",):
        if re.search(r"\b(start|end|beginning|middle|mid)\b", words):
            raise LeftOut("a part of a year as the end of a range")
        return f"{value}/..", ""
    if modifier.startswith(("before", "until")) or modifier in ("less",):
        if re.search(r"\b(start|end|beginning|middle|mid)\b", words):
            raise LeftOut("a part of a year as the end of a range")
        return f"../{value}", ""
    if modifier:
        raise LeftOut(f"modifier {modifier}")
    return value, ""


def of_timex(timex: str, words: str) -> str:
    if found := re.fullmatch(r"(\d{4}(?:-\d\d)?(?:-\d\d)?)(?:T.*)?", timex):
        return found[1]
    if found := re.fullmatch(r"(\d{4})-(SP|SU|FA|WI)", timex):
        return f"{found[1]}-{SEASON[found[2]]}"
    found = re.fullmatch(r"\((\d{4}-\d\d-\d\d),(\d{4}-\d\d-\d\d),P(\d+)([YMWD])\)", timex)
    if not found:
        raise LeftOut(
            "a time of day, a duration or a repetition"
            if "T" in timex or "P" in timex
            else f"timex {timex}"
        )
    a, b, count, unit = found.groups()
    if "century" in words and count == "100":
        return a[:2] + "XX"
    if count == "10" and unit == "Y" and re.search(r"\d0 ?['’]?s\b|ies\b|noughties", words):
        return a[:3] + "X"
    if (
        re.search(r"quarter|\bq\d|\dq\d", words)
        and count == "3"
        and len(re.findall(r"q\d|quarter", words)) == 1
    ):
        return f"{a[:4]}-{33 + (int(a[5:7]) - 1) // 3}"
    if re.search(r"h[12]\b", words) and count == "6":
        return f"{a[:4]}-{HALVES[a[5:7]]}"
    ends = precisions(words)
    if len(ends) != 2:
        raise LeftOut("a range whose ends the words do not say alone")
    left, right = (date[:size] for date, size in zip((a, b), ends, strict=True))
    if len(left) == 4 and unit == "Y" and int(b[:4]) - int(a[:4]) != int(count):
        raise LeftOut("a range that the case counts otherwise")
    return (
        f"[{left}..{right}]" if words.startswith(("between", "in between")) else f"{left}/{right}"
    )


MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
END = re.compile(
    rf"(?P<month>{MONTH})"
    r"|(?P<figures>\d{1,2}[/.-]\d{1,2}(?:[/.-]\d{2,4})?|\d{4}[/.-]\d{1,2}[/.-]\d{1,2})"
    r"|(?P<year>\d{4})|(?P<day>\d{1,2})"
)


def precisions(words: str) -> list[int]:
    """How many characters of YYYY-MM-DD each end of a range says."""
    if re.search(r"q\d|quarter|\bh[12]\b|\b(start|end|beginning|middle|mid|early|late)\b", words):
        raise LeftOut("a part of a year as the end of a range")
    words = re.sub(r"^(?:from|between|in between|in|during)\s+", "", words)
    parts = re.split(
        r"\s+(?:to|and|until|till|through|thru)\s+(?:the\s+)?|\s*[–—~]\s*|\s+-\s+", words
    )
    if len(parts) == 1:
        parts = re.split(r"-(?=[a-z])|(?<=\d{4})-(?=\d)|(?<=[a-z])-(?=\d)|-", words, maxsplit=1)
    if len(parts) != 2:
        return []
    sizes = []
    for part in parts:
        kinds = {m.lastgroup for m in END.finditer(part)}
        if "figures" in kinds or ("day" in kinds):
            sizes.append(10)
        elif "month" in kinds:
            sizes.append(7)
        elif "year" in kinds:
            sizes.append(4)
        else:
            return []
    return sizes


def mapped(case: dict[str, Any]) -> Case:
    text = normalise(case["Input"])
    if "\n" in case["Input"] or len(case["Input"]) > 200:
        raise LeftOut("longer than 200 characters, or of several lines")
    results = case.get("Results") or []
    if not results:
        raise LeftOut("no date in it")
    if len(results) > 1 and len({r.get("Text") for r in results}) < len(results):
        raise LeftOut("the case leaves more than one reading open")
    values, parts = zip(*(one(r, case["Input"]) for r in results), strict=True)
    found = {p for p in parts if p}
    if re.search(r"\bborn\b", text):  # the cases have no such field
        found.add("born")
    if len(values) > 1 and sum(".." in v for v in values):
        raise LeftOut("conditions joined by and, or, not")
    if any(re.search(r"02-(30|31)", v) or ("02-29" in v and int(v[:4]) % 4) for v in values):
        raise LeftOut("a day that the calendar does not have")
    if len(values) > 1 and found:
        raise LeftOut("a part of one of several dates")
    spans = tuple(r.get("Text") or "" for r in results)
    if (
        len(values) > 1
        and re.search(r"\b(either|or)\b", text.lower())
        and not any("/" in v for v in values)
    ):
        return Case(text, f"[{','.join(values)}]", spans)
    return Case(text, ";".join(values) + ("#" + found.pop() if found else ""), spans)


def cases() -> tuple[list[Case], list[tuple[str, int, str]]]:
    """The cases with their values, and those left out (file, number, reason); each text once."""
    kept: dict[str, Case] = {}
    left: dict[str, str] = {}
    where: dict[str, tuple[str, int]] = {}
    for name in FILES:
        for number, case in enumerate(
            json.loads((CASES / f"{name}.json").read_text(encoding="utf-8-sig"))
        ):
            text = normalise(case["Input"])
            where.setdefault(text, (name, number))
            try:
                found = mapped(case)
            except LeftOut as why:
                left.setdefault(text, str(why))
                continue
            if text in kept and kept[text].output != found.output:
                left[text] = "files of the cases disagree"
            kept.setdefault(text, found)
    disagree = {t for t, why in left.items() if why == "files of the cases disagree"}
    kept = {t: c for t, c in kept.items() if t not in disagree}
    return list(kept.values()), [(*where[t], why) for t, why in left.items() if t not in kept]


def main() -> None:
    kept, left = cases()
    lines = [
        "file\tnumber\treason",
        *(f"{name}\t{number}\t{why}" for name, number, why in sorted(left)),
    ]
    LEFT_OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for case in kept:
        print(case.text, case.output, sep="\t")
    print(f"{len(kept)} cases, {len(left)} left out", file=sys.stderr)


if __name__ == "__main__":
    main()
