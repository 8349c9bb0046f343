"""The language of the model's answers: values in EDTF, then what EDTF cannot say.

`1946#born`, `11XX#flourished,late`, `1848;1871`, or the empty text where there is no date. Whatever
is written can be read: days exist, the 29th of February in leap years only.
"""

from __future__ import annotations

import threading
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

import llmpy
from llmpy.apps.dates.automaton import (
    NOTHING,
    Expression,
    after,
    choice,
    is_complete,
    many,
    one_of,
    optional,
    sequence,
    text,
)

__all__ = ["CALENDARS", "KINDS", "PARTS", "TokenTable", "output"]

KINDS = ("born", "died", "flourished", "reigned")
PARTS = ("early", "mid", "late", "first half", "second half")
CALENDARS = ("old style",)
DIGITS = "0123456789"
SYMBOLS = DIGITS + "-X/[],.~?%;#"
LONG_MONTHS = ("01", "03", "05", "07", "08", "10", "12")
LENGTHS = {28: ("02",), 30: ("04", "06", "09", "11"), 31: LONG_MONTHS}


def _words(words: tuple[str, ...]) -> Expression:
    return choice(*map(text, words))


def _day() -> Expression:
    """-MM-DD for the days that every year has."""
    by_length = []
    for n, months in LENGTHS.items():
        days = _words(tuple(f"{day:02}" for day in range(1, n + 1)))
        by_length.append(sequence(_words(months), text("-"), days))
    return sequence(text("-"), choice(*by_length))


def _date() -> Expression:
    digit, minus = one_of(DIGITS), optional(text("-"))
    not_zero = [
        sequence(*[text("0")] * i, one_of(DIGITS[1:]), *[digit] * (3 - i)) for i in range(4)
    ]
    year = choice(text("0000"), sequence(minus, choice(*not_zero)))
    fours = choice(  # two digits, a multiple of 4 that is not 00
        sequence(text("0"), one_of("48")),
        sequence(one_of("2468"), one_of("048")),
        sequence(one_of("13579"), one_of("26")),
    )
    leap = choice(
        text("0000"),
        sequence(minus, choice(sequence(digit, digit, fours), sequence(fours, text("00")))),
    )
    leap_day = sequence(leap, text("-02-29"))
    month = sequence(text("-"), _words(tuple(f"{month:02}" for month in range(1, 13))))
    season = sequence(text("-"), _words(tuple(map(str, (*range(21, 25), *range(33, 42))))))
    rough = sequence(
        minus,
        choice(
            sequence(digit, digit, digit, text("X")),
            sequence(digit, digit, text("XX")),
            sequence(digit, *[text("X")] * 3),
        ),
    )
    exact = sequence(year, optional(choice(_day(), month, season)))
    return sequence(choice(exact, leap_day, rough), optional(one_of("~?%")))


@lru_cache(1)
def output() -> Expression:
    """Return the language of the whole output."""
    date = _date()
    dots = text("..")
    interval = choice(
        sequence(date, optional(sequence(text("/"), optional(choice(date, dots))))),
        sequence(optional(dots), text("/"), date),
    )
    more = sequence(text(","), date)
    several = choice(sequence(dots, date), sequence(more, many(more)))
    value = choice(interval, sequence(text("["), date, several, text("]")))
    part = choice(*(map(text, PARTS)))
    part = sequence(part, optional(sequence(text("/"), part)))
    names = (_words(KINDS), part, _words(CALENDARS))
    fields = choice(
        *(
            sequence(names[i], *(optional(sequence(text(","), n)) for n in names[i + 1 :]))
            for i in range(3)
        )
    )
    values = sequence(value, many(sequence(text(";"), value)))
    return optional(sequence(values, optional(sequence(text("#"), fields))))


class TokenTable:
    """The automaton of `output` over the tokens of a vocabulary, in arrays that grow as needed.

    States are numbers, the first 0; `columns` int [n] are the tokens that may ever come, the last
    of them the end of the text, and `texts` what they say. `rows(states)` has for each column the
    state after it, -1 where it may not come; after the end that is `END`.
    """

    END = 1 << 14

    def __init__(self, tokenizer: llmpy.Tokenizer, end: int) -> None:
        spelled = self._spelled(tokenizer)
        self.columns = np.array([*spelled, end], np.intp)
        self.texts = (*spelled.values(), "")
        self._numbers: dict[Expression, int] = {output(): 0}
        self._states = [output()]
        self._next = np.zeros((64, len(self.columns)), np.int16)
        self._known = np.zeros(64, np.bool_)
        self._lock = threading.Lock()

    def rows(self, states: NDArray[np.intp]) -> NDArray[np.int16]:
        """Return the rows of the states, int16 [n, n_columns]."""
        if not self._known[states].all():
            with self._lock:
                for state in set(states.tolist()):
                    if not self._known[state]:
                        self._make(state)
        return self._next[states]

    def is_complete(self, state: int) -> bool:
        """Return whether what led to the state is a whole output."""
        return state == self.END or is_complete(self._states[state])

    @staticmethod
    def _spelled(tokenizer: llmpy.Tokenizer) -> dict[int, str]:
        """The tokens of which outputs are made, with their texts; one for each text."""
        words = (*KINDS, *PARTS, *CALENDARS)
        found: dict[str, int] = {}
        for token in range(tokenizer.n_embedded):
            piece = tokenizer.piece(token)
            if tokenizer.is_control(token) or not piece.isascii():
                continue
            written = piece.decode()
            symbol = len(written) == 1 and written in SYMBOLS
            if written and (symbol or any(written in word for word in words)):
                earlier = found.get(written)
                if earlier is None or tokenizer.token(earlier).startswith("<0x"):
                    found[written] = token
        return {token: written for written, token in found.items()}

    def _make(self, number: int) -> None:
        """Fill in the row of a state, and number the states after it."""
        row = []
        for piece in self.texts[:-1]:
            state = self._states[number]
            for character in piece:
                state = after(state, character)
                if state == NOTHING:
                    break
            row.append(-1 if state == NOTHING else self._numbered(state))
        row.append(self.END if is_complete(self._states[number]) else -1)
        self._next[number] = row
        self._known[number] = True

    def _numbered(self, state: Expression) -> int:
        number = self._numbers.get(state)
        if number is None:
            number = self._numbers[state] = len(self._states)
            self._states.append(state)
            if number >= len(self._next):
                self._next = np.concatenate([self._next, np.zeros_like(self._next)])
                self._known = np.concatenate([self._known, np.zeros_like(self._known)])
        return number
