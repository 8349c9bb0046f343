"""Separating a model's thinking from its answer while both are generated.

Models write their thinking between tags, which are tokens of their vocabulary or plain text; a
family with channels (gpt-oss) writes a head before each part, which says for whom it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from llmpy.tokenizer import Kind, Tokenizer

__all__ = ["Format", "Reader", "format_of"]

PartKind = Literal["thinking", "generated"]
Part = tuple[PartKind, str]

TAGS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought", "<channel|>"),
    ("<think:opensource>", "</think:opensource>"),
    ("<seed:think>", "</seed:think>"),
    ("<thinking>", "</thinking>"),
)
HEAD, BODY = "<|start|>", "<|message|>"  # around the head of a part
CHANNEL = "<|channel|>"
INNER = ("analysis", "to=self", "to=functions")  # in heads of parts that are not for the user
CALLED = re.compile(r"to=functions\.([\w.-]+)")


@dataclass(frozen=True, slots=True)
class Format:
    """The format in which a model marks its thinking: pairs of tags, or heads of channels."""

    tags: tuple[tuple[str, str], ...]
    channels: bool

    def reader(self, prompt: str) -> Reader:
        """A reader of an answer to `prompt`, whose end may have begun the thinking already."""
        return Reader(self, prompt.rstrip())


def format_of(tokenizer: Tokenizer, literals: str) -> Format:
    """Return the format of thinking that a vocabulary and the text of a template show."""
    special = set(tokenizer.texts(Kind.CONTROL, Kind.USER_DEFINED))
    tags = tuple(pair for pair in TAGS if special & set(pair) or any(t in literals for t in pair))
    return Format(tags, {HEAD, BODY} <= special)


class Reader:
    """Takes the text of an answer as it comes, and says which part of it is what.

    Text is held back while it may be a tag, and white space between thinking and answer is dropped.
    Where it `shows_calls`, calls in channels are a part of the answer, with one form of their head.
    """

    def __init__(self, form: Format, prompt: str) -> None:
        self.shows_calls = False
        self._form = form
        self._held = ""
        self._state: Literal["begin", "thinking", "generated", "head"] = "begin"
        self._close = ""
        self._strip = False  # white space that comes next
        self._has_channel = False
        if form.channels:
            within = prompt.rfind(HEAD) > prompt.rfind(BODY)
            self._state = "head" if within else "generated"
        for opening, close in form.tags:
            if prompt.endswith(opening.rstrip()):
                self._state, self._close, self._strip = "thinking", close, True

    def add(self, text: str, control: str = "") -> list[Part]:
        """Return the parts that are certain after this text and a control token of this name.

        Models that think several times open each thought with a control token; where the tags are
        plain text, only the beginning of an answer is looked at, for they may be spoken of.
        """
        if self._form.channels:
            return [*self._add_channels(text), *self._add_channels(control)]
        self._held += text
        if control and self._state == "generated":
            parts = self._parts()
            if not any(control == close for _, close in self._form.tags):  # which ends nothing
                self._state, self._held = "begin", control
            return [*parts, *self._parts()]
        self._held += control
        return self._parts()

    def _parts(self) -> list[Part]:
        parts: list[Part] = []
        while (part := self._next()) is not None:
            if part[1]:
                parts.append(part)
        return parts

    @property
    def kind(self) -> PartKind:
        """Return the kind of the text that comes next, as far as is known."""
        return "thinking" if self._state == "thinking" else "generated"

    @property
    def answers(self) -> bool:
        """Whether what comes next is the answer, unless the model begins to think by itself."""
        return self._state in ("begin", "generated")

    def end(self) -> list[Part]:
        """Return the text that was held back and never became a tag."""
        held, self._held = self._held, ""
        if self._state == "head" and self._has_channel:
            return []
        if self._state == "thinking":
            held = held.rstrip()
        return [(self.kind, held)] if held else []

    def knows(self, control: str) -> bool:
        """Whether a control token of this name is a part of the format."""
        if self._form.channels:
            return True
        return any(control in pair[0] or control in pair[1] for pair in self._form.tags)

    def _next(self) -> Part | None:
        """One step: a part (of empty text where only the state changed), None to wait for more."""
        if self._strip:
            self._held = self._held.lstrip()
            self._strip = not self._held
        if not self._held:
            return None
        if self._state == "begin":
            return self._begin()
        if self._state == "thinking":
            return self._think()
        text, self._held = self._held, ""
        return "generated", text

    def _begin(self) -> Part | None:
        text = self._held.lstrip()
        for opening, close in self._form.tags:
            if text.startswith(close):  # of the empty thought that the prompt has closed already
                self._held = text[len(close) :]
                self._state, self._strip = "generated", True
                return "generated", ""
            if text.startswith(opening):
                self._held = text[len(opening) :]
                self._state, self._close, self._strip = "thinking", close, True
                return "thinking", ""
        if any(tag.startswith(text) for pair in self._form.tags for tag in pair):
            return None
        self._state = "generated"
        return "generated", ""

    def _think(self) -> Part | None:
        at = self._held.find(self._close)
        if at >= 0:
            text, self._held = self._held[:at].rstrip(), self._held[at + len(self._close) :]
            self._state, self._strip = "generated", True
            return "thinking", text
        keep = len(self._held) - _possible_start(self._held, self._close)
        keep = len(self._held[:keep].rstrip())
        text, self._held = self._held[:keep], self._held[keep:]
        return ("thinking", text) if text else None

    def _add_channels(self, text: str) -> list[Part]:
        if text == BODY:
            call = CALLED.search(self._held) if self.shows_calls else None
            if call is not None:
                self._state, self._held = "generated", ""
                head = f"{CHANNEL}commentary to=functions.{call[1]} <|constrain|>json{BODY}"
                return [("generated", head)]
            inner = any(word in self._held for word in INNER)
            self._state, self._held = ("thinking" if inner else "generated"), ""
        elif text in (HEAD, CHANNEL):
            self._state, self._has_channel = "head", True
            self._held += " "  # between the words of a head
        elif text.startswith("<|") and text.endswith("|>"):
            pass  # the end of a part
        elif self._state == "head":
            self._held += text
        elif text:
            return [(self.kind, text)]
        return []


def _possible_start(text: str, tag: str) -> int:
    """Length of the longest end of `text` that begins `tag`."""
    sizes = range(min(len(tag) - 1, len(text)), 0, -1)
    return next((n for n in sizes if text.endswith(tag[:n])), 0)
