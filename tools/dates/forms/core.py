"""What the forms are made of: random choices, years, months, the register of forms and its splits.

A form is a named way to write dates: a template with slots and a function that draws the dates,
fills the slots and returns the text with its label. Splits hold out whole forms.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth",
    "eighteenth", "nineteenth", "twentieth", "twenty-first", "twenty-second", "twenty-third",
    "twenty-fourth", "twenty-fifth", "twenty-sixth", "twenty-seventh", "twenty-eighth",
    "twenty-ninth", "thirtieth", "thirty-first",
)  # fmt: skip
CARDINALS = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    "twenty", "twenty-one", "twenty-two", "twenty-three", "twenty-four", "twenty-five",
    "twenty-six", "twenty-seven", "twenty-eight", "twenty-nine", "thirty", "thirty-one",
)  # fmt: skip
ROMAN = (
    "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV", "XV",
    "XVI", "XVII", "XVIII", "XIX", "XX", "XXI",
)  # fmt: skip
SLOT = re.compile(r"<(\w+)>")
SECTION = re.compile(r"\[(\w+)\]")


class Choices(random.Random):
    """Random choices, the same for the same seed; `wide` lets forms that only train nest."""

    wide = False

    def allowed(self, form: Form, sample: Sample) -> bool:  # noqa: ARG002
        return True

    def chance(self, share: float) -> bool:
        return self.random() < share

    def one(self, *options: str) -> str:
        return options[int(self.random() * len(options))]

    def pick(self, options: Sequence):  # type: ignore[no-untyped-def]
        return options[int(self.random() * len(options))]

    def number(self, low: int, high: int) -> int:
        """One of low..high, both included."""
        return low + int(self.random() * (high - low + 1))


@dataclass(frozen=True)
class Sample:
    """A text and what it means: EDTF values, and fields by name."""

    text: str
    values: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def output(self) -> str:
        """What the model writes: `1731-02-11#old style`; empty without a date."""
        named = [self.fields[n] for n in ("kind", "part", "calendar") if n in self.fields]
        return ";".join(self.values) + ("#" + ",".join(named) if named and self.values else "")


Make = Callable[[Choices, str], Sample]


@dataclass(frozen=True)
class Form:
    """A way to write dates.

    `core` forms alone teach a word or a rule, and `later` ones were added after the splits had been
    drawn: both are forms of the training. A form with a `share` is a grammar that makes many: it
    is that part of its family in the training, and never inside of a held-out form.
    """

    family: str
    template: str
    make: Make
    core: bool
    later: bool
    weight: float
    share: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.family}: {self.template}"

    def sample(self, r: Choices) -> Sample:
        return self.make(r, self.template)


FORMS: dict[str, list[Form]] = {}  # by family


def templates(path: Path) -> dict[str, list[str]]:
    """The templates of a file by section: `[name]`, then one a line."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if section := SECTION.fullmatch(line):
            here = found.setdefault(section[1], [])
        elif line.strip():
            here.append(line.strip())
    return found


def said(module: str) -> dict[str, tuple[str, ...]]:
    """The lists of the TOML file beside a module, by name."""
    text = Path(module).with_suffix(".toml").read_text(encoding="utf-8")
    return {name: tuple(items) for name, items in tomllib.loads(text).items()}


def forms(family: str, make: Make, weight: float = 1.0) -> None:
    """Register a form for each template that the file beside a module has for its function."""
    path = Path(sys.modules[make.__module__].__file__ or "").with_suffix(".txt")
    register(family, make, templates(path)[make.__name__], weight)


def register(family: str, make: Make, lines: Iterable[str], weight: float = 1.0) -> None:
    """Register one form a line; `*` before a template makes it core, `+` later.

    `weight` is that of each form in training, beside others of its family.
    """
    for line in lines:
        template = line[1:] if line[0] in "*+" else line
        form = Form(family, template, make, line[0] == "*", line[0] == "+", weight)
        if any(f.template == template for f in FORMS.setdefault(family, [])):
            raise ValueError(f"form {form.name} is there twice")
        FORMS[family].append(form)


def listed(text: str) -> tuple[str, ...]:
    """The items of a text, between commas or line ends."""
    return tuple(item for item in re.split(r",\s*|\n\s*", text.strip()) if item)


def splits(seed: int = 17) -> dict[str, str]:
    """The split of each form by name: test (an eighth of each family), validation, train."""
    found: dict[str, str] = {}
    for family, every in FORMS.items():
        all_of = [f for f in every if not f.later]
        open_ones = sorted(f.name for f in all_of if not f.core)
        random.Random(f"{seed} {family}").shuffle(open_ones)
        tests = min(len(open_ones), math.ceil(len(all_of) / 8))
        checks = max(0, min(len(open_ones) - tests, round(len(all_of) / 16)))
        for i, name in enumerate(open_ones):
            found[name] = "test" if i < tests else "validation" if i < tests + checks else "train"
        found |= {f.name: "train" for f in every if f.core or f.later}
    return found


def grammar(family: str, share: float, make: Callable[[Choices], Sample]) -> None:
    """Register a function that makes texts of many forms, as this share of the family."""
    name = make.func.__name__ if isinstance(make, functools.partial) else make.__name__
    template = f"({name})"
    form = Form(family, template, lambda r, _: make(r), False, True, 1.0, share)
    FORMS[family].append(form)


Weighted = tuple[list[Form], list[float]]


class Pool:
    """The forms of a split, of each family, drawn by weight; `wide` with the grammars."""

    def __init__(self) -> None:
        self.of: dict[str, Weighted] = {}
        self.wide: dict[str, Weighted] = {}

    def fill(self, split: str) -> None:
        where = splits()
        for family, all_of in FORMS.items():
            chosen = [f for f in all_of if where[f.name] == split and not f.share]
            sums = list(itertools.accumulate(f.weight for f in chosen))
            self.of[family] = (chosen, sums)
            grammars = [f for f in all_of if f.share and split == "train"]
            left = 1.0 - sum(f.share for f in grammars)
            whole = (sums[-1] if sums else 0.0) / left
            more = itertools.accumulate((f.share * whole for f in grammars), initial=whole * left)
            self.wide[family] = (chosen + grammars, [*sums, *list(more)[1:]])

    def named(self, r: Choices, family: str) -> tuple[Form, Sample]:
        """A form of the family and a sample of it."""
        chosen, sums = (self.wide if r.wide else self.of)[family]
        while True:
            form = r.choices(chosen, cum_weights=sums)[0]
            sample = form.sample(r)
            if r.allowed(form, sample):
                return form, sample

    def draw(self, r: Choices, family: str) -> Sample:
        return self.named(r, family)[1]


TRAIN = Pool()  # what nests in other forms, in every split: only forms of the training


def fill(template: str, **slots: str | Callable[[], str]) -> str:
    """The template with its slots filled; a function is called once for each slot."""

    def put(match: re.Match[str]) -> str:
        value = slots[match[1]]
        return value if isinstance(value, str) else value()

    return SLOT.sub(put, template)


# --- years ---

Year = tuple[int, bool]  # a number from 1 on, and whether it counts before Christ


def edtf_year(year: Year) -> str:
    number, before = year
    astronomical = 1 - number if before else number
    return f"-{-astronomical:04d}" if astronomical < 0 else f"{astronomical:04d}"


def a_year(r: Choices) -> Year:
    """Mostly of the last thousand years; a fifth before Christ, of all sizes."""
    kind = r.random()
    if kind < 0.40:
        return r.number(1500, 2029), False
    if kind < 0.60:
        return r.number(1000, 1999), False
    if kind < 0.71:
        return r.number(100, 999), False
    if kind < 0.75:
        return r.number(1, 99), False
    if kind < 0.77:
        return r.number(1000, 2199), False
    return a_year_before(r)


def a_year_before(r: Choices) -> Year:
    kind = r.random()
    if kind < 0.55:
        return r.number(100, 999), True
    if kind < 0.75:
        return r.number(1, 99), True
    if kind < 0.85:  # what crosses tens when one is taken away
        return r.pick((1, 1, 10, 10, 100, 10, 50)) * r.number(1, 40), True
    if kind < 0.98:
        return r.number(1000, 4999), True
    return r.number(1000, 9999), True


def later(r: Choices, year: Year, least: int = 1) -> Year:
    """A year some time after, usually within a lifetime."""
    number, before = year
    gap = max(least, r.pick((1, 2, 4, 6, 12, 30, 60, 90, 200)))
    gap = r.number(least, max(least, gap))
    astronomical = (1 - number if before else number) + gap
    return (1 - astronomical, True) if astronomical <= 0 else (min(astronomical, 9999), False)


BEFORE = (" BC",) * 11 + (" BCE",) * 5 + (" B.C.",) * 2 + (" B.C.E.", "BC", "BCE", " bc", " b.c.")
AFTER = (" AD",) * 4 + (" CE",) * 4 + (" A.D.", " C.E.", "AD", " ad", " ce", " a.d.")
AFTER_FIRST = ("AD ",) * 6 + ("A.D. ",) * 2 + ("AD", "ad ")


def number_text(r: Choices, year: Year) -> str:
    number, before = year
    return f"{number:,}" if before and number > 999 and r.chance(0.12) else str(number)


def era_text(r: Choices, year: Year) -> str:
    """What follows the number of a year whose era is said."""
    return r.pick(BEFORE) if year[1] else r.pick(AFTER)


def year_text(r: Choices, year: Year, era: float | None = None) -> str:
    """The year with its era where it needs one; `era` is the chance for years of the first 999."""
    number, before = year
    if not before:
        share = 0.05 if number > 999 else (0.45 if number > 99 else 1.0) if era is None else era
        if not r.chance(share):
            return str(number)
        if r.chance(0.5):
            return r.pick(AFTER_FIRST) + str(number)
    return number_text(r, year) + era_text(r, year)


TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def tens_text(r: Choices, number: int) -> str:
    if number < 20:
        return CARDINALS[number - 1]
    tens, ones = TENS[number // 10], number % 10
    return tens + (r.one("-", " ", " ") + CARDINALS[ones - 1] if ones else "")


def year_words(r: Choices) -> tuple[str, Year]:
    """A year in words: nineteen forty-five, two thousand and four."""
    number = r.number(1100, 2040) if r.chance(0.5) else r.number(1900, 2040)
    hundreds, rest = divmod(number, 100)
    both = r.one(" and ", " ", " and ")
    if hundreds == 20 and (rest < 10 or r.chance(0.4)):
        text = "two thousand" + (both + tens_text(r, rest) if rest else "")
    else:
        text = tens_text(r, hundreds)
        if rest == 0:
            text += " hundred"
        elif rest < 10:
            text += r.one(
                " oh ", " oh-", " hundred and ", " hundred ", " zero ", " o "
            ) + tens_text(r, rest)
        else:
            text += (
                r.one(" hundred and ", " hundred ") if r.chance(0.12) else r.one(" ", " ", "-")
            ) + tens_text(r, rest)
    return text, (number, False)


def year_said(r: Choices, year: Year) -> str:
    """The year as in `year_text`, sometimes as "the year 1066"."""
    return ("the year " if r.chance(0.1) else "") + year_text(r, year)


# --- months and days ---


def a_month(r: Choices) -> int:
    return r.number(1, 12)


def a_day(r: Choices, year: Year, month: int) -> int:
    astronomical = 1 - year[0] if year[1] else year[0]
    leap = astronomical % 4 == 0 and (astronomical % 100 != 0 or astronomical % 400 == 0)
    return r.number(1, DAYS[month - 1] - (month == 2 and not leap))


def month_text(r: Choices, month: int) -> str:
    name = MONTHS[month - 1]
    kind = r.random()
    if kind < 0.64 or month == 5:
        return name
    short = "Sept" if month == 9 and r.chance(0.55) else name[:3]
    if month in (6, 7) and r.chance(0.5):
        short = name
    return short + "." if kind < 0.84 and short != name else short


def ordinal(number: int) -> str:
    if 10 < number % 100 < 14:
        return f"{number}th"
    return f"{number}" + {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


# --- signs between two dates ---

DASHES = ("–",) * 9 + ("-",) * 7 + ("—", "−", "&ndash;", "‒", "–", "--", "~")
LONG_DASHES = ("–",) * 5 + ("—", "−", "&ndash;", "‒", "/")


def dash(r: Choices, spaced: float = 0.3) -> str:
    sign = r.pick(DASHES)
    return f" {sign} " if r.chance(spaced) else sign


def to(r: Choices) -> str:
    """A dash or a word, with the spaces it needs, between two dates that may have spaces."""
    if r.chance(0.6):
        return dash(r, 0.6)
    return " " + r.one("to", "to", "to", "until", "until", "through", "till", "up to") + " "
