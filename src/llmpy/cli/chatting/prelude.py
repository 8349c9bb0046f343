"""A plain text in place of a chat template, for base models: the prelude of a conversation.

The prelude comes first and once. Each message stands in a frame: what comes before it, and what
comes after it, where the model goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["MARK", "Frame", "Prelude", "prelude_of"]

MARK = "{{PROMPT}}"
TEMPLATE = (
    "{{ bos_token }}"
    "{% for m in messages %}{% if m.role in ['system', 'developer'] %}"
    "{{ m.content + '\\n\\n' }}{% endif %}{% endfor %}"
    "{{ head }}{% set ns = namespace(frame=first, then=first) %}"
    "{% for m in messages %}{% if m.role == 'user' %}{% set ns.frame = ns.then %}"
    "{{ ns.frame.before + m.content + ns.frame.after }}{% set ns.then = next %}"
    "{% elif m.role == 'assistant' %}{{ ns.frame.gap + m.content + '\\n' }}{% endif %}{% endfor %}"
)


@dataclass(frozen=True)
class Frame:
    """The text before and after a message."""

    before: str
    after: str

    def values(self) -> dict[str, str]:
        """Return what the template reads; `gap` comes between a head like "AI:" and its answer."""
        gap = " " if self.after and not self.after[-1].isspace() else ""
        return {"before": self.before, "after": self.after, "gap": gap}


@dataclass(frozen=True)
class Prelude:
    """A text before the conversation, the frame of the first message, and that of the others."""

    head: str
    first: Frame
    next: Frame

    def template_kwargs(self) -> dict[str, Any]:
        """Return the variables of `TEMPLATE`."""
        return {"head": self.head, "first": self.first.values(), "next": self.next.values()}

    @property
    def template(self) -> str:
        """The template in Jinja, which is the same for all preludes."""
        return TEMPLATE

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts that end an answer: there the model begins to write for the user."""
        frames = (self.next, self.first)
        lines = (line.strip() for frame in frames for line in frame.before.splitlines())
        found = next((line for line in lines if line), None)
        return () if found is None else (found,)


def prelude_of(text: str, prefix: str | None = None) -> Prelude:
    """Return the prelude in `text`.

    A mark {{PROMPT}} in it is where the first message goes; without one the message follows it.
    `prefix` comes before each message, or is its frame where it has the mark; by default a frame
    is the last lines of the prelude, from that with text before the mark. ValueError where neither
    says how a message begins.
    """
    if text.count(MARK) > 1:
        raise ValueError(f"the prelude: expected one {MARK}, found {text.count(MARK)}")
    given = None
    if prefix is not None:
        if prefix.count(MARK) > 1:
            raise ValueError(f"the message prefix: expected one {MARK}, found more")
        before, mark, after = prefix.partition(MARK)
        given = Frame(before, after if mark else "\n")
    if MARK not in text:
        if given is None:
            raise ValueError(
                f"the prelude has no {MARK}: say with --message-prefix what comes before a message"
            )
        end = "" if not text or text.endswith("\n") else "\n"
        return Prelude(text + end, given, given)
    before, _, after = text.partition(MARK)
    cut = len(before) - len(before.rstrip("\n"))  # a mark alone in its line belongs to that above
    start = before.rfind("\n", 0, len(before) - cut) + 1
    found = Frame(before[start:], after)
    return Prelude(before[:start], found, given or found)
