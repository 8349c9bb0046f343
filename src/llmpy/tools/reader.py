"""Calls of tools from the text of an answer, as it comes.

The parser is written as generators that wait where they need more text, so that it does not matter
how the text was cut. What turns out to be no call is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from llmpy.errors import ToolError
from llmpy.session.events import ToolCall
from llmpy.tools.definition import NAME
from llmpy.tools.gemma import json_of
from llmpy.tools.layouts import ID, KIND, NL, NUMBER, Layout
from llmpy.tools.python import arguments_of
from llmpy.tools.schemas import properties_of, value_of

__all__ = ["CallReader", "Part", "parse_calls"]

Part = str | ToolCall
Wait = Generator[None]

MAX_CALL = 1 << 20  # characters
MAX_DEPTH = 100
SIGNS = re.compile(rf"(\s+|[{NL}{ID}{NUMBER}{KIND}])")
ID_TEXT = re.compile(r"[\w.:-]+")
WHITE = f" \n\t{NL}"
CDATA = "<![CDATA["
NAMES = ("name", "tool_name")
ARGUMENTS = ("arguments", "parameters")


class _NoCall(Exception):
    """Raised where the text read so far is no call."""


class _Text(Exception):
    """Raised where the text read so far is followed by plain text."""


class _End(Exception):
    """The text has ended."""


def parse_calls(
    text: str, layout: Layout, schemas: Mapping[str, Any] | None = None
) -> tuple[str, list[ToolCall]]:
    """Return the text of an answer without its calls, and the calls.

    `schemas` are those of the arguments by the name of the tool: they tell strings from other
    values where a family writes strings without quotes.
    """
    reader = CallReader(layout, schemas or {})
    parts = [*reader.add(text), *reader.end()]
    text = "".join(part for part in parts if isinstance(part, str))
    return text, [part for part in parts if not isinstance(part, str)]


class CallReader:
    """Takes the text of an answer as it comes; `add` returns texts and calls, in their order.

    Text is held back while it may begin a call. `n_before`: how many calls the conversation has
    already, for the ids of new ones. `taken`: ids that it has. Raises ToolError for a call that is
    too long.
    """

    def __init__(
        self,
        layout: Layout,
        schemas: Mapping[str, Any],
        *,
        n_before: int = 0,
        taken: Sequence[str] = (),
    ) -> None:
        self.n_calls = 0
        self.is_within = False  # a call
        self._layout = layout
        self._schemas = schemas
        self._taken = set(taken)
        self._n_before = n_before
        self._text = layout.primed
        self._at = 0
        self._begin = 0  # of the call, perhaps
        self._mark = 0  # what comes after it is not known to be text or a call
        self._ended = False
        self._id = ""
        self._parts: list[Part] = []
        self._steps = self._run()
        next(self._steps)

    def add(self, text: str) -> list[Part]:
        """Return what is certain after this text."""
        if text:
            self._text += text
            next(self._steps)
        parts, self._parts = self._parts, []
        return parts

    def end(self) -> list[Part]:
        """Return what was held back."""
        self._ended = True
        for _ in self._steps:
            pass
        parts, self._parts = self._parts, []
        return parts

    def _run(self) -> Wait:
        begins = True
        while True:
            try:
                yield from self._outside(begins)
                begins = False
                self._begin, self.is_within = self._at, True
                yield from self._calls()
            except _Text:
                self._mark = self._at
            except _NoCall:
                self._at = self._begin + 1
                self._show(self._at)
                begins = False
            except _End:
                self._show(len(self._text))
                yield
                return
            self.is_within = False

    def _show(self, end: int) -> None:
        """Give the text up to `end`."""
        if end > self._mark:
            self._parts.append(self._text[self._mark : end])
            self._mark = end

    def _outside(self, begins: bool) -> Wait:
        """Show text up to where calls may begin."""
        signs = [sign for sign in (self._layout.trigger, self._layout.also) if sign]
        if self._layout.first:
            while not begins:
                self._show(len(self._text))
                self._at = len(self._text)
                self._forget()
                yield from self._more()
            yield from self._space()
            if (yield from self._either(signs)) is None:
                raise _NoCall
            return
        while True:
            found = [at for sign in signs if (at := self._text.find(sign, self._at)) >= 0]
            if found:
                self._at = min(found)
                self._show(len(self._text[: self._at].rstrip()))
                return
            held = max(_possible_start(self._text[self._at :], sign) for sign in signs)
            certain = self._text[: len(self._text) - held]
            self._show(max(self._mark, len(certain.rstrip())))
            self._at = max(self._mark, len(certain))
            self._forget()
            yield from self._more()

    def _calls(self) -> Wait:
        layout = self._layout
        yield from self._skip(layout.also)
        yield from self._expect(layout.open)
        if layout.close and (yield from self._skip(layout.close)):
            raise _NoCall
        while True:
            yield from self._call()
            self._mark = self._begin = self._at
            if not layout.close:
                return
            if (yield from self._skip(layout.close)):
                self._mark = self._at
                return
            yield from self._expect(layout.between)

    def _call(self) -> Wait:
        layout, self._id = self._layout, ""
        self._forget()
        if "{" in layout.before:
            name, arguments = yield from self._object()
        elif layout.arguments == "gemma":
            yield from self._expect(layout.before)
            name = yield from self._until([layout.after])
            arguments = yield from self._gemma()
            yield from self._expect(layout.end)
        elif layout.arguments == "python":
            name = (yield from self._until(["("])).strip()
            arguments = yield from self._python()
        else:
            yield from self._expect(layout.before)
            name = yield from self._name()
            if layout.plain and name == layout.plain:
                yield from self._expect(layout.after)
                yield from self._skip_one("\n")
                raise _Text
            if layout.arguments == "json":
                yield from self._expect(layout.after)
                arguments = yield from self._json()
            else:
                arguments = yield from self._parameters(name)
            yield from self._expect(layout.end)
        if not NAME.fullmatch(name) or not isinstance(arguments, dict):
            raise _NoCall
        if self._at - self._begin > MAX_CALL:
            raise self._too_long()
        self._parts.append(ToolCall(self._own_id(), name, arguments))

    def _own_id(self) -> str:
        self.n_calls += 1
        given = self._id
        if not given or given in self._taken:
            n = self._n_before + self.n_calls
            given = f"call{n:05d}"
        self._taken.add(given)
        return given

    def _object(self) -> Generator[None, None, tuple[str, Any]]:
        """A call as one object of JSON."""
        layout = self._layout
        yield from self._expect(layout.before.partition("{")[0])
        found = yield from self._json()
        yield from self._expect(layout.end.partition("}")[2])
        name = next((found[key] for key in NAMES if isinstance(found.get(key), str)), "")
        arguments: Any = next(
            (found[key] for key in ARGUMENTS if key in found), {} if name else None
        )
        if not name and len(found) == 1:
            ((name, arguments),) = found.items()
        if isinstance(arguments, str):  # JSON within JSON
            arguments = _loaded(arguments)
        if ID in layout.end and isinstance(found.get("id"), str):
            self._id = found["id"]
        return name, arguments

    def _name(self) -> Generator[None, None, str]:
        layout = self._layout
        marks = [_first(layout.after) or ("" if NL in layout.after else layout.after)]
        if layout.arguments == "text":
            marks += [_first(layout.parameter[0]), _first(layout.end)]
        name = yield from self._until([mark for mark in marks if mark])
        return name.strip()

    def _parameters(self, name: str) -> Generator[None, None, dict[str, Any]]:
        """Arguments one by one; see `Layout.parameter`."""
        layout = self._layout
        before, between, after = layout.parameter
        schemas, _ = properties_of(self._schemas.get(name, {}))
        found: dict[str, Any] = {}
        yield from self._expect(layout.after)
        while (yield from self._skip(before)):
            key = yield from self._until([_first(between)])
            self._id = ""
            yield from self._expect(between)
            is_text = self._id == "true" if layout.is_string else self._id == "string"
            if between.endswith("\n"):
                yield from self._skip_one("\n")
            value = yield from self._value(_last_trimmed(after))
            yield from self._expect(after)
            schema = {"type": "string"} if self._id and is_text else schemas.get(key.strip(), True)
            found[key.strip()] = value_of(value, schema)
        self._id = ""
        return found

    def _value(self, after: str) -> Generator[None, None, str]:
        """A value up to the text after it, perhaps as CDATA."""
        if (yield from self._either([CDATA])) is None:
            return (yield from self._until([after]))
        self._at += len(CDATA)
        value = yield from self._until(["]]>" + after])
        self._at += len("]]>")
        return value

    def _gemma(self) -> Generator[None, None, Any]:
        """JSON in the manner of Gemma 4."""
        start = self._at
        yield from self._until([self._layout.end])
        try:
            return json_of(self._text[start : self._at] + "}")
        except ValueError:
            raise _NoCall from None

    def _python(self) -> Generator[None, None, dict[str, Any]]:
        """The arguments of a call in Python, from its "(" to its ")"."""
        start = self._at
        yield from self._balanced("(", "\"'")
        try:
            return arguments_of(self._text[start : self._at])
        except ValueError:
            raise _NoCall from None

    def _json(self) -> Generator[None, None, dict[str, Any]]:
        """An object of JSON."""
        yield from self._space()
        start = self._at
        yield from self._balanced("{", '"')
        found = _loaded(self._text[start : self._at])
        if not isinstance(found, dict):
            raise _NoCall
        return found

    # Pieces of text

    def _more(self) -> Wait:
        if self.is_within and len(self._text) - self._begin > MAX_CALL:
            raise self._too_long()
        if not self._ended:
            yield
        if self._ended:
            raise _End

    def _too_long(self) -> ToolError:
        return ToolError(f"a call of a tool: expected at most {MAX_CALL} characters")

    def _forget(self) -> None:
        """Let go of text that is known; no place in it may be remembered."""
        n, self._mark = self._mark, 0
        self._text = self._text[n:]
        self._at, self._begin = self._at - n, self._begin - n

    def _balanced(self, opening: str, quotes: str) -> Wait:
        """Go to the end of what is between brackets, of which `opening` is the first."""
        if (yield from self._either([opening])) is None:
            raise _NoCall
        depth, quote = 0, ""
        while True:
            while self._at < len(self._text):
                c = self._text[self._at]
                if quote:
                    if c == "\\":
                        if self._at + 1 >= len(self._text):
                            break
                        self._at += 1
                    elif c == quote:
                        quote = ""
                elif c in quotes:
                    quote = c
                elif c in "([{":
                    depth += 1
                    if depth > MAX_DEPTH:
                        raise _NoCall
                elif c in ")]}":
                    depth -= 1
                self._at += 1
                if depth == 0:
                    return
            yield from self._more()

    def _space(self) -> Wait:
        """Skip white space."""
        while True:
            while self._at < len(self._text):
                if not self._text[self._at].isspace():
                    return
                self._at += 1
            yield from self._more()

    def _either(self, texts: Sequence[str]) -> Generator[None, None, str | None]:
        """Return the text that comes next; None for none of them."""
        while True:
            rest = self._text[self._at : self._at + max(map(len, texts))]
            for text in texts:
                if rest.startswith(text):
                    return text
            if not any(text.startswith(rest) for text in texts):
                return None
            yield from self._more()

    def _skip(self, text: str) -> Generator[None, None, bool]:
        """Skip a text if it comes next, and white space before it."""
        if not text.strip(WHITE):
            return False
        yield from self._space()
        before = self._at
        if (yield from self._either([_first(text)])) is None:
            self._at = before
            return False
        yield from self._expect(text)
        return True

    def _skip_one(self, sign: str) -> Wait:
        while self._at >= len(self._text):
            yield from self._more()
        self._at += self._text[self._at] == sign

    def _expect(self, text: str) -> Wait:
        """Skip a text of a layout, with any white space where that has some."""
        if not text.strip(WHITE):
            return
        yield from self._space()
        for part in SIGNS.split(_last_trimmed(text)):
            if not part:
                continue
            if part == NL or part.isspace():
                yield from self._space()
            elif part in (ID, NUMBER, KIND):
                yield from self._word(part)
            else:
                if (yield from self._either([part])) is None:
                    raise _NoCall
                self._at += len(part)

    def _word(self, sign: str) -> Wait:
        while True:
            match = ID_TEXT.match(self._text, self._at)
            if match is None and self._at < len(self._text):
                raise _NoCall
            if match is not None and match.end() < len(self._text):
                break
            yield from self._more()
        self._id = match[0] if sign != NUMBER else self._id
        self._at = match.end()

    def _until(self, marks: Sequence[str]) -> Generator[None, None, str]:
        """The text up to the first of the marks, which is next then."""
        start, longest = self._at, max(map(len, marks))
        while True:
            found = [at for mark in marks if (at := self._text.find(mark, self._at)) >= 0]
            # A shorter mark may begin before a longer one that is not whole yet.
            if found:
                self._at = min(found)
                return self._text[start : self._at]
            self._at = max(self._at, len(self._text) - longest + 1)
            yield from self._more()


def _first(text: str) -> str:
    """Return the beginning of a layout's text, without white space."""
    return next(
        (part for part in SIGNS.split(text) if part and part not in NL and part.strip()), ""
    )


def _last_trimmed(text: str) -> str:
    """A text of a layout without the white space at its end, which need not have come."""
    return text.rstrip(WHITE)


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise _NoCall from None


def _refuse(word: str) -> Any:
    raise ValueError(word)


def _possible_start(text: str, sign: str) -> int:
    """Length of the longest end of `text` that begins `sign`."""
    sizes = range(min(len(sign) - 1, len(text)), 0, -1)
    return next((n for n in sizes if text.endswith(sign[:n])), 0)
