"""The values that a text about a time becomes: dates, ranges of dates, and sets of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

__all__ = ["CERTAIN", "Answer", "Date", "DateRange", "DateSet", "Day", "Value"]

CERTAIN = 0.5  # confidence below which an answer is called uncertain; docs/dates.md has the plot


class Day(NamedTuple):
    """A day of the proleptic Gregorian calendar; year 0 is 1 BC, and -43 is 44 BC."""

    year: int
    month: int
    day: int

    def __str__(self) -> str:
        """Return the day in EDTF."""
        long, sign = "Y" * (abs(self.year) > 9999), "-" * (self.year < 0)
        return f"{long}{sign}{abs(self.year):04}-{self.month:02}-{self.day:02}"


@dataclass(frozen=True, repr=False)
class Value:
    """The common part of dates, ranges and sets.

    `edtf`: the value in the Extended Date/Time Format (ISO 8601-2). `earliest` and `latest`: its
    first and last day, None for an end that is open or not known; `approximate` and `uncertain`
    tell of "c." and "?" in the text, which do not change these. `kind`: "born", "died",
    "flourished" or "reigned"; `part` of the period: "early", "mid", "late", "first half" or
    "second half", of a range as in "late/early"; `calendar`: "old style" for a date of the Julian
    calendar; each None where the text does not say it. `confidence`: the probability, 0 to 1, of
    the answer that the value is part of.
    """

    edtf: str
    earliest: Day | None
    latest: Day | None
    approximate: bool = False
    uncertain: bool = False
    kind: str | None = None
    part: str | None = None
    calendar: str | None = None
    confidence: float = 1.0

    type: ClassVar[str]
    shown: ClassVar[tuple[str, ...]] = ("kind", "part", "calendar")

    @property
    def certain(self) -> bool:
        """False if the confidence is low, or the value ends before it begins."""
        backwards = self.earliest and self.latest and self.latest < self.earliest
        return self.confidence >= CERTAIN and not backwards

    @property
    def sort_key(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """A key to sort values by: the earliest day, then the latest; open ends are infinite."""
        return self.earliest or (-math.inf, 1, 1), self.latest or (math.inf, 1, 1)

    def as_dict(self) -> dict[str, Any]:
        """Return the value for JSON: days are texts, and what the text does not say is left out."""
        found: dict[str, Any] = {"type": self.type, "edtf": self.edtf}
        for name in ("earliest", "latest"):
            day = getattr(self, name)
            found[name] = None if day is None else str(day)
        found |= {name: True for name in ("approximate", "uncertain") if getattr(self, name)}
        found |= {n: value for n in ("kind", "part", "calendar") if (value := getattr(self, n))}
        return found

    def __str__(self) -> str:
        """Return the value in EDTF."""
        return self.edtf

    def __repr__(self) -> str:
        """Return what was said of the value."""
        said = [f"{name}={value!r}" for name in self.shown if (value := getattr(self, name))]
        if self.confidence != 1.0:
            said.append(f"confidence={self.confidence:.2f}")
        return f"{type(self).__name__}({', '.join([repr(self.edtf), *said])})"


@dataclass(frozen=True, repr=False)
class Date(Value):
    """A day, month, season, year, decade, century or millennium."""

    type: ClassVar[str] = "date"
    earliest: Day
    latest: Day


@dataclass(frozen=True, repr=False)
class DateRange(Value):
    """A period from `start` to `end`, both included.

    An end is None where it is open, as in "since 1990" (`open_start` and `open_end` say that), or
    where it is not known.
    """

    start: Date | None = None
    end: Date | None = None
    open_start: bool = False
    open_end: bool = False

    type: ClassVar[str] = "range"
    shown: ClassVar[tuple[str, ...]] = ("start", "end", *Value.shown)

    def as_dict(self) -> dict[str, Any]:
        """Return the value for JSON, with "open" or null in place of an end that is no date."""
        found = super().as_dict()
        for name, is_open in (("start", self.open_start), ("end", self.open_end)):
            date: Date | None = getattr(self, name)
            found[name] = date.as_dict() if date else "open" if is_open else None
        return found


@dataclass(frozen=True, repr=False)
class DateSet(Value):
    """One of several dates, as in "1850 or 1851"; with `every`, all of them.

    A member that is a range stands for any time in it, as in "between 1180 and 1190".
    """

    members: tuple[Date | DateRange, ...] = ()
    every: bool = False

    type: ClassVar[str] = "set"
    shown: ClassVar[tuple[str, ...]] = ("every", *Value.shown)

    def as_dict(self) -> dict[str, Any]:
        """Return the value for JSON, with its members."""
        members = [member.as_dict() for member in self.members]
        return super().as_dict() | {"members": members, "every": self.every}


class Answer(list[Value]):
    """The dates in a text, in its order: a list, empty for a text without a date.

    `text` is what was asked, `confidence` the probability, 0 to 1, that the model gives to this
    answer among all that it could have given.
    """

    def __init__(self, text: str, values: Iterable[Value], confidence: float) -> None:
        super().__init__(values)
        self.text = text
        self.confidence = confidence

    @property
    def certain(self) -> bool:
        """False if the confidence is low, or a value ends before it begins."""
        return self.confidence >= CERTAIN and all(value.certain for value in self)

    @property
    def edtf(self) -> str:
        """The values in EDTF, separated by " ; "."""
        return " ; ".join(value.edtf for value in self)

    def as_dict(self) -> dict[str, Any]:
        """Return the answer for JSON."""
        return {
            "text": self.text,
            "edtf": self.edtf,
            "dates": [value.as_dict() for value in self],
            "confidence": round(self.confidence, 4),
            "certain": self.certain,
        }
