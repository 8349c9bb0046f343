"""The tools of one answer: which there are, how the model writes calls, and which it may make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmpy import checks
from llmpy.constraints import ConstraintState, begin
from llmpy.tools.definition import Tool, tools_of
from llmpy.tools.grammar import calls_constraint
from llmpy.tools.layouts import Layout
from llmpy.tools.reader import CallReader

if TYPE_CHECKING:
    from llmpy.tokenizer import Tokenizer

__all__ = ["CHOICES", "Toolset", "toolset"]

CHOICES = ("auto", "required", "none")


@dataclass(frozen=True, slots=True)
class Toolset:
    """Tools and what may be done with them.

    `choice` is "auto" (calls or text), "required" (a call at least), "none", or the name of the
    tool that must be called. `parallel`: several calls in one answer.
    """

    tools: tuple[Tool, ...]
    choice: str = "auto"
    parallel: bool = True

    @property
    def definitions(self) -> list[dict[str, Any]] | None:
        """The tools as chat templates have them; None where none may be called."""
        return [tool.as_dict() for tool in self.tools] if self.is_used else None

    @property
    def is_used(self) -> bool:
        """Whether any tool may be called."""
        return bool(self.tools) and self.choice != "none"

    def state(
        self, layout: Layout, tokenizer: Tokenizer, tags: Sequence[tuple[str, str]] = ()
    ) -> ConstraintState:
        """Return the constraint of an answer; ConstraintError for schemas that are not supported.

        `tags`: around what the model may think before it.
        """
        named = [tool for tool in self.tools if tool.name == self.choice]
        constraint = calls_constraint(
            layout,
            named or self.tools,
            tokenizer,
            required=bool(named) or self.choice == "required",
            parallel=self.parallel and not named,
            tags=tags,
        )
        return begin(constraint, tokenizer)

    def reader(self, layout: Layout, messages: Iterable[Mapping[str, Any]] = ()) -> CallReader:
        """Return what reads calls from an answer to `messages`."""
        calls = [call for message in messages for call in message.get("tool_calls") or ()]
        taken = [str(call.get("id")) for call in calls if isinstance(call, Mapping)]
        schemas = {tool.name: tool.schema for tool in self.tools}
        return CallReader(layout, schemas, n_before=len(calls), taken=taken)


def toolset(
    tools: Iterable[Any] | Toolset | None, choice: str = "auto", *, parallel: bool = True
) -> Toolset | None:
    """Return the tools that an answer may call, None for none.

    Raises TypeError and ValueError for what are no tools, and for a choice that is none.
    """
    if tools is None or isinstance(tools, Toolset):
        return tools
    found = tuple(tools_of(tools))
    checks.text("tool_choice", choice)
    names = [tool.name for tool in found]
    if choice not in CHOICES and choice not in names:
        raise ValueError(
            f"tool_choice: expected {', '.join(CHOICES)} or the name of a tool "
            f"({', '.join(names) or 'there is none'}), found {choice!r:.80}"
        )
    if not found and choice not in ("auto", "none"):
        raise ValueError(f"tool_choice: {choice!r} needs tools")
    return Toolset(found, choice, checks.flag("parallel_tool_calls", parallel))
