"""Calls of tools as a grammar: what an answer must match so that all calls are valid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from llmpy.constraints import Constraint, literal, schema_rules
from llmpy.errors import ConstraintError
from llmpy.tokenizer import Tokenizer
from llmpy.tools.definition import Tool
from llmpy.tools.layouts import ID, KIND, NL, NUMBER, Layout
from llmpy.tools.schemas import choices_of, properties_of, type_word, types_of

__all__ = ["calls_constraint"]

Tags = Sequence[tuple[str, str]]

SHARED = (
    ("nl", 'nl: "\\n"?'),
    ("ws", "ws: /\\s{0,2}/"),
    ("id", "id: /[a-zA-Z0-9]{9}/"),
    ("number", "number: /0|[1-9][0-9]{0,2}/"),
    ("quoted", r"""quoted: /'(?:[^'\\\x00-\x1f]|\\[\\'nrt])*'/"""),
)
QUOTE = '<|"|>'  # of Gemma 4
BOOLEANS = '("true" | "false" | "True" | "False")'  # templates write both
MAX_CALLS = 16  # in one answer
MAX_LENGTH = 5000  # characters of a string that is written without quotes and has a bound
PLAIN_WORDS = {"type", "title", "description", "default", "examples"}  # say nothing of a string


def calls_constraint(
    layout: Layout,
    tools: Sequence[Tool],
    tokenizer: Tokenizer,
    *,
    required: bool,
    parallel: bool,
    tags: Tags = (),
) -> Constraint:
    """Return the constraint of an answer that calls tools, at least one where `required`.

    `tags` are those around what the model may think before it answers. Raises ConstraintError for
    schemas that are not supported.
    """
    rules = _Rules(layout, tools, tokenizer)
    text = rules.all(required, parallel and not layout.single, tags)
    return Constraint(text, f"calls of {', '.join(tool.name for tool in tools)}")


class _Rules:
    """Makes the rules of a grammar."""

    def __init__(self, layout: Layout, tools: Sequence[Tool], tokenizer: Tokenizer) -> None:
        self._layout = layout
        self._tools = tools
        self._tokenizer = tokenizer
        self._lines: list[str] = []
        self._used: set[str] = set()
        self._n = 0
        self._parallel = False

    def all(self, required: bool, parallel: bool, tags: Tags) -> str:
        """Return the grammar."""
        if self._layout.channels:
            return self._channels(required)
        starts = []
        written = [pair for pair in tags if self._is_text(pair[0])]
        starts.append(self._answer("a", required, [opening for opening, _ in written]))
        if tags:
            thoughts = " | ".join(self._thought(*pair) for pair in tags)
            after = self._answer("b", required, [])
            starts.append(f"({thoughts}) {self._shared('ws')} {after}")
        self._add("calls", self._calls(parallel))
        if self._layout.primed:
            starts = self._primed(required)
        self._add("body", " | ".join(self._body(i, tool) for i, tool in enumerate(self._tools)))
        shared = [line for name, line in SHARED if name in self._used]
        return "\n".join(["%llguidance {}", f"start: {' | '.join(starts)}", *self._lines, *shared])

    def _channels(self, required: bool) -> str:
        """Answers of gpt-oss: parts with heads, of which the first one has begun with its role."""
        self._add("body", " | ".join(self._body(i, tool) for i, tool in enumerate(self._tools)))
        text = self._terminal_text()
        part = f"{self._marks('<|channel|>')} {{}} {self._marks('<|message|>')} {text} "
        again = self._marks("<|end|><|start|>assistant")
        self._add("thought", part.format('"analysis"') + again)
        self._add("preamble", part.format('"commentary"') + again)
        self._add("final", part.format('"final"'))
        call = f"{self._marks(self._layout.before)} body"
        last = call if required else f"({call} | final)"
        return "\n".join(["%llguidance {}", f"start: thought? preamble? {last}", *self._lines])

    # An answer

    def _answer(self, name: str, required: bool, not_first: Sequence[str]) -> str:
        """A rule for an answer: what it may hold before the calls, and the calls."""
        layout = self._layout
        trigger = layout.trigger
        also = ""
        if layout.also and not self._is_text(layout.also):
            also = f"({self._marks(layout.also)})? "
        begin = f"{also}{self._marks(trigger)} calls"
        if required:
            return begin
        if layout.first:
            free = self._free(name, [*not_first, trigger])
            return f"({free} | {begin})"
        free = self._free(name, not_first)
        if not self._is_text(trigger):
            return f"{free} ({begin})?"
        parts = self._tokenizer.split(trigger)
        head = f"{name}_head"
        rest = self._marks("".join(map(self._name, parts[1:])))
        upper = free.upper() if free.isupper() else self._terminal_text()
        self._lines.append(f"{head}[lazy]: {upper} {literal(str(parts[0]))}")
        return f"({free} | {head} {rest} calls)"

    def _primed(self, required: bool) -> list[str]:
        """Answers to a prompt that has begun the first call, or the text, already."""
        layout = self._layout
        calls = self._calls_after("")
        if required:
            return [calls]
        text = self._terminal_text()
        self._lines.append(f"p_head[lazy]: {text} {literal(layout.trigger)}")
        plain = f"{literal(layout.plain)} {self._marks(layout.after)}"
        return [calls, f"{plain} ({text} | p_head {calls})"]

    def _terminal_text(self) -> str:
        if "TEXT" not in self._used:
            self._used.add("TEXT")
            self._lines.append("TEXT: /(?s:.*)/")
        return "TEXT"

    def _free(self, name: str, not_first: Sequence[str]) -> str:
        """A terminal for any text, that does not begin with some."""
        text = self._terminal_text()
        if not not_first:
            return text
        free = f"{name.upper()}_FREE"
        starts = " | ".join(f"(/\\s*/ {literal(sign)} {text})" for sign in not_first)
        self._lines.append(f"{free}: {text} & ~({starts})")
        return free

    def _thought(self, opening: str, close: str) -> str:
        """A rule for what a model thinks, between tags."""
        name = self._fresh("thought")
        text = self._terminal_text()
        if self._is_text(close):
            begin = "" if not self._is_text(opening) else f"/\\s*/ {literal(opening)} "
            self._lines.append(f"{name}_t[lazy]: {begin}{text} {literal(close)}")
            before = "" if begin else self._marks(opening) + " "
            self._add(name, f"{before}{name}_t")
        else:
            self._add(name, f"{self._marks(opening)} {text} {self._marks(close)}")
        return name

    # Calls

    def _calls(self, parallel: bool) -> str:
        """Return the rule for what comes after the trigger."""
        layout = self._layout
        self._parallel = parallel
        return self._calls_after((layout.open + layout.before)[len(layout.trigger) :])

    def _calls_after(self, head: str) -> str:
        layout = self._layout
        more = ""
        if self._parallel:
            more = f"({self._marks(layout.between + layout.before)} body){{0,{MAX_CALLS - 1}}}"
            if layout.between == NL:  # after which no call need come
                more += f" {self._shared('nl')}"
        return f"{self._marks(head)} body {more} {self._marks(layout.close)}"

    def _body(self, i: int, tool: Tool) -> str:
        layout, name = self._layout, f"t{i}"
        try:
            if layout.arguments == "json":
                self._lines += schema_rules(tool.schema, f"{name}a").splitlines()
                arguments = f"{name}a"
            else:
                arguments = self._one_by_one(name, tool)
        except ConstraintError as error:
            raise ConstraintError(f"tool {tool.name!r}: {error}") from None
        after, end = self._marks(layout.after), self._marks(layout.end)
        self._add(name, f"{literal(tool.name)} {after} {arguments} {end}")
        return name

    def _one_by_one(self, name: str, tool: Tool) -> str:
        """Arguments in the order of the schema, those left out that need not be given."""
        properties, needed = properties_of(tool.schema)
        separator = {"python": '", " ', "gemma": '"," '}.get(self._layout.arguments, "")
        items = list(properties.items())
        for i in reversed(range(len(items))):
            key, schema = items[i]
            one = self._argument(f"{name}p{i}", key, schema)
            for kind, before in (("f", ""), ("r", separator)):
                rest = f"{name}r{i + 1}" if i + 1 < len(items) else ""
                skipped = f"{name}{kind}{i + 1}" if i + 1 < len(items) else '""'
                others = "" if key in needed else f" | {skipped}"
                self._add(f"{name}{kind}{i}", f"{before}{one} {rest}{others}")
        return f"{name}f0" if items else ""

    def _argument(self, name: str, key: str, schema: Any) -> str:
        layout = self._layout
        if layout.arguments == "python":
            self._add(name, f"{literal(key + '=')} {self._python(name, schema)}")
            return name
        before, between, after = layout.parameter
        if layout.arguments == "gemma":
            before, between, after = "", ":", ""
        types = types_of(schema)
        ways = []
        if "string" in types:
            word = layout.is_string[0] if layout.is_string else "string"
            begin = between.replace(KIND, word)
            end = after
            if layout.arguments == "gemma":
                begin, end = begin + QUOTE, QUOTE
            ways.append(f"{self._marks(begin)} {self._raw(name, schema, end)}")
        if types - {"string"}:
            word = layout.is_string[1] if layout.is_string else type_word(schema)
            others = {"allOf": [schema, {"not": {"type": "string"}}]} if len(ways) else schema
            value = self._json(name, others)
            if types == {"boolean"} and layout.arguments == "text" and "enum" not in schema:
                value = BOOLEANS
            begin = self._marks(between.replace(KIND, word))
            ways.append(f"{begin} {value} {self._marks(after)}")
        self._add(name, f"{self._marks(before)} {literal(key)} ({' | '.join(ways)})")
        return name

    def _json(self, name: str, schema: Any) -> str:
        self._lines += schema_rules(schema, f"{name}v").splitlines()
        return f"{name}v"

    def _python(self, name: str, schema: Any) -> str:
        """A literal: JSON, or Python's where it is another."""
        types, choices = types_of(schema), choices_of(schema)
        if (
            types == {"boolean"}
            and isinstance(schema, dict)
            and not {"enum", "const"} & schema.keys()
        ):
            return '("True" | "False")'
        ways = [self._json(name, schema)]
        if choices is not None:
            ways += [literal(repr(choice)) for choice in choices]
        elif "string" in types and isinstance(schema, dict) and schema.keys() <= PLAIN_WORDS:
            ways.append(self._shared("quoted"))
        return f"({' | '.join(ways)})"

    def _raw(self, name: str, schema: Any, after: str) -> str:
        """A string as it stands, and what comes after it."""
        if (choices := choices_of(schema)) is not None:
            return f"({' | '.join(map(literal, choices))}) {self._marks(after)}"
        bounds = _length(schema)
        raw = self._fresh(f"{name}s")
        text = self._terminal_text() if bounds is None else f"/(?s:.){bounds}/"
        parts = list(_pieces(after))
        first = next((part for part in parts if part not in (NL, ID, NUMBER)), "")
        if not first:
            raise ConstraintError("a string needs an end")
        split = self._tokenizer.split(first)
        if isinstance(split[0], int):
            return f"{text} {self._marks(after)}"
        rest = after[after.index(first) + len(split[0]) :]
        self._lines.append(f"{raw}[lazy]: {text} {literal(split[0])}")
        return f"{raw} {self._marks(rest)}"

    # Texts

    def _marks(self, text: str) -> str:
        """Symbols for a text of a layout."""
        found = []
        for part in _pieces(text):
            if part == NL:
                found.append(self._shared("nl"))
            elif part == ID:
                found.append(self._shared("id"))
            elif part == NUMBER:
                found.append(self._shared("number"))
            else:
                found += [
                    f"<[{one}]>" if isinstance(one, int) else literal(one)
                    for one in self._tokenizer.split(part)
                ]
        return " ".join(found)

    def _is_text(self, text: str) -> bool:
        """Whether it begins with something else than a control token."""
        return isinstance(self._tokenizer.split(text)[0], str)

    def _name(self, part: int | str) -> str:
        return part if isinstance(part, str) else self._tokenizer.token(part)

    def _shared(self, name: str) -> str:
        self._used.add(name)
        return name

    def _fresh(self, name: str) -> str:
        self._n += 1
        return f"{name}x{self._n}"

    def _add(self, name: str, body: str) -> None:
        self._lines.append(f"{name}: {body.strip() or chr(34) * 2}")


def _pieces(text: str) -> Iterator[str]:
    """A text of a layout cut at its signs."""
    held = ""
    for c in text:
        if c in (NL, ID, NUMBER):
            if held:
                yield held
            held = ""
            yield c
        else:
            held += c
    if held:
        yield held


def _length(schema: Any) -> str | None:
    """The bounds of a string's length as a regular expression has them; None for no bounds.

    ConstraintError for keywords that cannot be followed without quotes.
    """
    if not isinstance(schema, dict):
        return None
    branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    strings = [part for part in branches if isinstance(part, dict) and "string" in types_of(part)]
    found = []
    for part in (schema, *strings):
        if unknown := {"pattern", "format", "allOf", "not", "if"} & part.keys():
            raise ConstraintError(
                f"{', '.join(sorted(unknown))}: not supported for a string in the format of this "
                "model, which writes it without quotes"
            )
        if {"minLength", "maxLength"} & part.keys():
            found.append((part.get("minLength", 0), part.get("maxLength")))
    if not found:
        return None
    if len(found) > 1 or len(strings) > 1:
        raise ConstraintError("several lengths of one string are not supported")
    least, most = found[0]
    if max(least, most or 0) > MAX_LENGTH:
        raise ConstraintError(f"a string of more than {MAX_LENGTH} characters is not supported")
    return f"{{{least},{'' if most is None else most}}}"
