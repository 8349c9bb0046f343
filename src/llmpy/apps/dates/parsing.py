"""From texts to dates: the model reads many at once, and writes what the language allows."""

from __future__ import annotations

import asyncio
import re
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

import llmpy
from llmpy.apps.dates.edtf import from_edtf
from llmpy.apps.dates.language import CALENDARS, KINDS, TokenTable
from llmpy.apps.dates.values import Answer, Date, DateRange, DateSet, Value

__all__ = ["Parser", "aparse", "model_path", "normalise", "parse", "parse_many", "written"]

MODEL = "dates-q8_0.gguf"
SEPARATOR = "<sep>"
MOST_CHARACTERS = 200  # of a text that are read
MOST_WRITTEN = 96  # tokens of an answer
N_PARALLEL = 96
WINDOW = 2048  # texts that are answered before the next are looked at
REMEMBERED = 1 << 16  # texts with their answers


def normalise(text: str) -> str:
    """Return a text as the model reads it: composed, on one line, 200 characters at most."""
    if not isinstance(text, str):
        raise TypeError(f"text: expected str, found {type(text).__name__}")
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    text = re.sub(r"[\n\r\t\f\v\u0085\u2028\u2029]+", " ", text)
    return re.sub("  +", "  ", text).strip()[:MOST_CHARACTERS]


def model_path() -> Path:
    """Return the path of the model that is installed with the package."""
    return Path(__file__).with_name(MODEL)


class Parser:
    """Parses texts with a model; any number of threads may use it. Answers are remembered."""

    def __init__(self, model: llmpy.Model) -> None:
        self._model = model
        tokenizer = model.tokenizer
        separator = tokenizer.id(SEPARATOR)
        if separator is None or tokenizer.eos is None or tokenizer.bos is None:
            raise ValueError(f"{model.path}: expected a model of dates, with a token {SEPARATOR!r}")
        self._ends = tokenizer.bos, separator
        self._most_read = model.n_ctx - MOST_WRITTEN - 2
        self._table = TokenTable(tokenizer, tokenizer.eos)
        self._known: OrderedDict[str, tuple[tuple[Value, ...], float]] = OrderedDict()
        self._lock = threading.Lock()

    def parse_many(self, texts: Iterable[str], *, n_parallel: int = N_PARALLEL) -> Iterator[Answer]:
        """See the function `parse_many`."""
        if isinstance(texts, str):
            raise TypeError("texts: expected texts, found one: parse(text) takes it")
        remaining = iter(texts)
        while window := list(islice(remaining, WINDOW)):
            read = [normalise(text) for text in window]
            with self._lock:
                known = {text: self._known[text] for text in read if text in self._known}
            new = [text for text in dict.fromkeys(read) if text not in known]
            known.update(zip(new, self._answers(new, n_parallel), strict=True))
            with self._lock:
                for text in read:
                    self._known[text] = known[text]
                    self._known.move_to_end(text)
                while len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
            for text, normal in zip(window, read, strict=True):
                values, confidence = known[normal]
                yield Answer(text, [replace(v, confidence=confidence) for v in values], confidence)

    def _answers(
        self, texts: Sequence[str], n_parallel: int
    ) -> Iterator[tuple[tuple[Value, ...], float]]:
        """The values in each text, and the probability of that answer."""
        table = self._table
        n_texts, n_parallel = len(texts), max(1, min(n_parallel, len(texts)))
        written = np.zeros((n_texts, MOST_WRITTEN), np.int16)  # columns of the table
        n_written = np.zeros(n_texts, np.intp)
        logprobs = np.zeros(n_texts)
        last = np.zeros(n_texts, np.intp)  # states
        states = np.zeros(n_parallel, np.intp)
        for step in self._model.batch_steps(map(self._prompt, texts), n_parallel=n_parallel):
            numbers, slots = step.numbers, step.slots
            rows = table.rows(states[slots])
            logits = step.logits.take(table.columns, 1)
            logits[rows < 0] = -np.inf
            chosen = logits.argmax(1)
            line = np.arange(len(chosen))
            logits -= logits[line, chosen][:, None]
            logprobs[numbers] -= np.log(np.exp(logits, out=logits).sum(1))
            written[numbers, n_written[numbers]] = chosen
            n_written[numbers] += 1
            last[numbers] = after = rows[line, chosen].astype(np.intp)
            ended = (after == table.END) | (n_written[numbers] == MOST_WRITTEN)
            states[slots] = np.where(ended, 0, after)
            step.choose(np.where(ended, -1, table.columns[chosen]))
        for i in range(n_texts):
            columns = written[i, : n_written[i]].tolist()
            text = "".join([table.texts[column] for column in columns])
            if table.is_complete(int(last[i])):
                yield _values(text), float(np.exp(logprobs[i]))
            else:  # too long: what is whole of it, of which nothing is certain
                yield _values(text.rpartition(";")[0]), 0.0

    def _prompt(self, text: str) -> list[int]:
        begin, separator = self._ends
        return [begin, *self._model.tokenizer.encode(text)[: self._most_read], separator]


@lru_cache(1 << 14)
def _values(written: str) -> tuple[Value, ...]:
    """Read the values that the model wrote."""
    if not written:
        return ()
    values, _, said = written.partition("#")
    fields: dict[str, str] = {}
    for word in said.split(",") if said else ():
        fields["kind" if word in KINDS else "calendar" if word in CALENDARS else "part"] = word
    return tuple(_with_fields(from_edtf(value), fields) for value in values.split(";"))


def written(values: Sequence[Value]) -> str:
    """Return the values as the model writes them."""
    said = dict.fromkeys(v.kind for v in values) | dict.fromkeys(v.part for v in values)
    fields = ",".join(filter(None, said | dict.fromkeys(v.calendar for v in values)))
    return ";".join(value.edtf for value in values) + ("#" + fields if fields else "")


def _with_fields(value: Date | DateRange | DateSet, fields: dict[str, str]) -> Value:
    """A value with what EDTF does not say; of the parts of a range, each end has its own."""
    kind, part, calendar = (fields.get(name) for name in ("kind", "part", "calendar"))
    found = replace(value, kind=kind, part=part, calendar=calendar)
    start_part, slash, end_part = (part or "").partition("/")
    if slash and isinstance(found, DateRange):
        start = found.start and replace(found.start, part=start_part)
        end = found.end and replace(found.end, part=end_part)
        found = replace(found, start=start, end=end)
    return found


@lru_cache(1)
def _loaded() -> Parser:
    return Parser(llmpy.load(model_path()))


def default_parser() -> Parser:
    """Return the parser with the model of the package, loaded when it is first asked for."""
    with _LOADING:
        return _loaded()


_LOADING = threading.Lock()


def parse(text: str) -> Answer:
    """Return the dates in a text, in its order; an empty list if there is none.

    The result is a list of `Date`, `DateRange` and `DateSet`, with the `confidence` of the whole.
    `dates.parse("c. 450–438 BC")` gives the range `-0449~/-0437~`. Of a text of more than 200
    characters the first 200 are read.
    """
    return next(default_parser().parse_many((text,)))


def parse_many(texts: Iterable[str], *, n_parallel: int = N_PARALLEL) -> Iterator[Answer]:
    """Yield the dates in each of many texts, in their order, as `parse` returns them.

    Up to `n_parallel` texts are computed at a time, equal ones once. The texts are read some
    thousands at a time, so there may be any number of them.
    """
    return default_parser().parse_many(texts, n_parallel=n_parallel)


async def aparse(text: str) -> Answer:
    """Run `parse` in asyncio."""
    return await asyncio.to_thread(parse, text)
