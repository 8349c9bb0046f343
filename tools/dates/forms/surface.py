"""What changes the look of a date and not its meaning, and what two looks have in common.

`varied` changes one thing of a text: signs, eras, commas, links, what stands around. `skeleton` is
a text without its figures and names; by it the training is kept from looking like a held-out form.
"""

from __future__ import annotations

import functools
import re

from forms.core import FORMS, MONTHS, ORDINALS, WEEKDAYS, Choices, Sample, ordinal, said, splits
from forms.languages import LANGUAGES

SAID = said(__file__)

BC = re.compile(r"\b(?:BCE?\b|B\.C\.(?:E\.)?)")
AD = re.compile(r"(?<=\d) (?:AD\b|CE\b|A\.D\.|C\.E\.)")
ERAS = SAID["eras"]
AFTER = SAID["after christ"]
EN_DASH = re.compile(r" ?– ?")
DASHES = SAID["dashes"]
NAME = "|".join(MONTHS)
DAY_MONTH = re.compile(rf"\b(\d\d?) (?=(?:{NAME})\b)")
MONTH_DAY = re.compile(rf"\b({NAME}) (\d\d?)(?=,? \d{{3,4}}\b)")
FULL_MONTH = re.compile(rf"\b(?:{NAME})\b")
COMMA = re.compile(r"(?<=[\w.]), (?=\d)")
BLANK = re.compile(r"(?<=[\w.,]) (?=[\w(\[])")
AROUND = SAID["around"]
BEHIND = SAID["behind"]
AHEAD = SAID["ahead"]


def varied(r: Choices, sample: Sample) -> Sample:
    """The sample with one change, or with none where the chosen one does not fit."""
    change = r.pick(
        (
            eras,
            dashes,
            dashes,
            ordinals,
            months,
            commas,
            blanks,
            around,
            around,
            behind,
            behind,
            ahead,
            titled,
        )
    )
    return Sample(change(r, sample.text, len(sample.values)), sample.values, sample.fields)


def eras(r: Choices, text: str, _: int) -> str:
    said, after = r.pick(ERAS), r.pick(AFTER)
    return AD.sub(after, BC.sub(said, text))


def dashes(r: Choices, text: str, _: int) -> str:
    mark = r.pick(DASHES)
    return EN_DASH.sub(mark, text)


def ordinals(r: Choices, text: str, _: int) -> str:
    lead = r.one("", "", "the ")
    of = r.one(" ", " of ")
    text = MONTH_DAY.sub(lambda m: f"{m[1]} {ordinal(int(m[2]))}", text)
    return DAY_MONTH.sub(lambda m: f"{lead}{ordinal(int(m[1]))}{of}", text)


def months(r: Choices, text: str, _: int) -> str:
    tail, case = r.one("", "", "."), r.pick((str, str, str.upper, str.lower))
    return FULL_MONTH.sub(lambda m: case(m[0][:3]) + tail, text)


def commas(r: Choices, text: str, count: int) -> str:
    if count > 1:
        return text
    return COMMA.sub(r.one(" ", ",", " , ", " of ", " in "), text)


def blanks(r: Choices, text: str, _: int) -> str:
    blank = r.pick(SAID["blanks"])
    every = r.chance(0.4)
    return BLANK.sub(blank, text, count=0 if every else 1)


def around(r: Choices, text: str, count: int) -> str:
    a, b = r.pick(AROUND).split("…")
    return a + text + b if count else text


def behind(r: Choices, text: str, count: int) -> str:
    return text + r.pick(BEHIND) if count else text


def ahead(r: Choices, text: str, count: int) -> str:
    return r.pick(AHEAD) + text if count else text


def titled(_r: Choices, text: str, _: int) -> str:
    return text.title() if text.isascii() and not set("{<&'") & set(text) else text


# --- what two texts have in common ---


def _words() -> dict[str, str]:
    found = dict.fromkeys(
        (m.casefold() for name in MONTHS for m in (name, name[:3], name[:4])), "m"
    )
    found |= dict.fromkeys((w.casefold() for name in WEEKDAYS for w in (name, name[:3])), "w")
    found |= dict.fromkeys(ORDINALS, "dth") | dict.fromkeys(
        ("spring", "summer", "autumn", "fall", "winter"), "s"
    )
    for language in LANGUAGES.values():
        found |= dict.fromkeys(
            (n.casefold().rstrip(".") for n in f"{language.months} {language.short}".split()), "m"
        )
        found |= dict.fromkeys((n.casefold() for n in language.weekdays.split()), "w")
        found |= dict.fromkeys((n.casefold() for n in language.ordinals.split()), "dth")
        found |= dict.fromkeys((n.casefold() for n in language.seasons), "s")
    return found


WORDS = _words()
BEFORE_CHRIST = sorted(
    {e.strip().casefold() for v in LANGUAGES.values() for e in (*v.before, *v.after)},
    key=len,
    reverse=True,
)
ERA = re.compile(
    r" ?(?:"
    + "|".join(map(re.escape, BEFORE_CHRIST))
    + r"|\b[bc]\.? ?c\.?(?: ?e\b\.?)?|\ba\.? ?d\b\.?)(?![\w])"
)
CIRCA = re.compile(r"\b(?:circa|approximately|approx\.?|about|around|roughly|cca\.?|ca\.?|c\.) ?")
WORD = re.compile(r"[^\W\d_]+\.?|\d{1,3},\d{3}|\d+")
DASH = re.compile(r" ?(?:[-–—−‒‑―~]|&[mn]dash;)+ ?")


def skeleton(text: str) -> str:
    """The text with signs in place of its figures, names of months and days, eras and dashes."""

    def name(match: re.Match[str]) -> str:
        said = match[0]
        if said[0].isdigit():
            return "d" if len(said) < 3 else "y" if len(said) < 5 or "," in said else "n"
        return WORDS.get(said.removesuffix("."), said)

    text = CIRCA.sub("c ", ERA.sub("", text.casefold()))
    return " ".join(DASH.sub("-", WORD.sub(name, text)).split())


@functools.cache
def barred(of_each: int = 120, of_first: int = 40) -> frozenset[str]:
    """Skeletons of held-out forms that the first forms of the training do not have as well."""
    where = splits()
    held_out: set[str] = set()
    first: set[str] = set()
    for family in FORMS.values():
        for form in family:
            if form.later:
                continue
            r = Choices(f"skeletons of {form.name}")
            found, count = (first, of_first) if where[form.name] == "train" else (held_out, of_each)
            found |= {skeleton(form.sample(r).text) for _ in range(count)}
    return frozenset(held_out - first)
