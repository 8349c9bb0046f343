"""The prompt of an answer: a conversation up to the head of it, with thinking on or off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from llmpy.chat.template import ChatTemplate, checked_inputs
from llmpy.chat.thinking import Format
from llmpy.chat.tool_prompt import in_first_user, plain_messages, takes_tools
from llmpy.errors import TemplateError
from llmpy.tokenizer import Tokenizer
from llmpy.tools import layout_of

__all__ = ["prompt_parts", "tail_of"]

SWITCHES = ("enable_thinking", "thinking")  # variables of templates that turn thinking on and off


def prompt_parts(
    template: ChatTemplate,
    form: Format,
    tokenizer: Tokenizer,
    messages: Iterable[Mapping[str, Any]],
    *,
    tools: Any = None,
    think: bool | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
    go_on: bool = False,
) -> list[int | str]:
    """The conversation as control tokens and texts between them; see `ChatTemplate.parts`.

    `tools`: definitions, as text where the template has no place for them. `think`: None as the
    template has it. `go_on`: the answer goes on with the last message.
    """
    kwargs = dict(template_kwargs or {})
    switches = [name for name in SWITCHES if name in template.variables]
    if think is not None:
        kwargs = dict.fromkeys(switches, think) | kwargs
    inputs = checked_inputs(messages, tools)
    layout = layout_of(template.source)
    inputs["messages"] = plain_messages(template, layout, inputs["messages"], inputs["tools"])
    try:
        parts = template.parts(inputs, not go_on, go_on, kwargs)
    except TemplateError:
        if not tools or takes_tools(template):
            raise
        inputs["messages"] = in_first_user(inputs["messages"])
        parts = template.parts(inputs, not go_on, go_on, kwargs)
    if think is False and not switches and form.tags and not go_on:
        parts = _without_thinking(parts, form, tokenizer)
    return parts


def tail_of(parts: list[int | str], tokenizer: Tokenizer) -> str:
    """Return the end of a prompt, with the names of its control tokens."""
    return "".join(p if isinstance(p, str) else tokenizer.token(p) for p in parts[-8:])


def _without_thinking(
    parts: list[int | str], form: Format, tokenizer: Tokenizer
) -> list[int | str]:
    """The prompt with an empty thought after it, for a template that has no switch."""
    opening, close = form.tags[0]
    tail = tail_of(parts, tokenizer).rstrip()
    if tail.endswith(close):
        return parts
    thought = f"\n{close}\n\n" if tail.endswith(opening) else f"{opening}\n\n{close}\n\n"
    return [*parts, *tokenizer.split(thought)]
