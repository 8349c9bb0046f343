"""A conversation made ready to be answered, whichever API it came by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmpy.chat.parts import AnswerReader
from llmpy.chat.prompt import prompt_parts, tail_of
from llmpy.constraints.types import closed, has_fields
from llmpy.sampling import Chain
from llmpy.server.errors import ApiError
from llmpy.server.generation import Prompt
from llmpy.server.models import Loaded
from llmpy.tools import Toolset, layout_of

if TYPE_CHECKING:
    from llmpy.constraints import ConstraintState
    from llmpy.tools import Layout

__all__ = ["chat_prompt"]


async def chat_prompt(
    loaded: Loaded,
    messages: Sequence[Mapping[str, Any]],
    chain: Chain,
    *,
    seed: int | None = None,
    max_tokens: int | None = None,
    stop: tuple[str, ...] = (),
    logprobs: int | None = None,
    think: bool | None = None,
    effort: str | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
    go_on: bool = False,
    schema: Any = None,
    schema_field: str = "response_format",
    tools: Toolset | None = None,
) -> tuple[Prompt, Callable[[], AnswerReader]]:
    """The prompt for an answer, and what tells thinking from it, new for each answer.

    `effort`: how much to think, in words of the model's template; "none": not at all. `schema`:
    JSON that the answer must be, by a JSON schema, of the field of that name. `tools`: what may be
    called. ApiError where the template refuses the messages, and for a schema that cannot be
    followed.
    """
    kwargs = dict(template_kwargs or {})
    if effort is not None:
        kwargs.setdefault("reasoning_effort", effort)
        think = False if think is None and effort == "none" else think
    tokenizer = loaded.model.tokenizer
    layout = layout_of(loaded.template.source)
    used = tools if tools is not None and tools.is_used else None
    if used is not None and schema is not None:
        raise ApiError(400, f"{schema_field}: not supported beside tools", param=schema_field)

    def encoded() -> tuple[list[int], str]:
        parts = prompt_parts(
            loaded.template,
            loaded.format,
            tokenizer,
            messages,
            tools=None if used is None else used.definitions,
            think=think,
            template_kwargs=kwargs,
            go_on=go_on,
        )
        return tokenizer.encode_split(parts), tail_of(parts, tokenizer)

    try:
        ids, tail = await asyncio.to_thread(encoded)
    except (TypeError, ValueError) as error:  # TemplateError is one of these
        raise ApiError(400, str(error), param="messages") from None
    constraint = None
    if schema is not None:
        constraint = await asyncio.to_thread(_constraint, schema, loaded, schema_field)
    elif used is not None:
        tags = () if think is False else loaded.format.tags
        constraint = await asyncio.to_thread(_calls_constraint, used, layout, loaded, tags)
    stops = (*stop, *loaded.template.stop)
    prompt = Prompt(ids, chain, seed, max_tokens, stops, logprobs, constraint)

    def reader() -> AnswerReader:
        calls = None if used is None else used.reader(layout, messages)
        return AnswerReader(loaded.format.reader(tail), layout, calls)

    return prompt, reader


def _calls_constraint(
    tools: Toolset, layout: Layout, loaded: Loaded, tags: Sequence[tuple[str, str]]
) -> ConstraintState:
    try:
        return tools.state(layout, loaded.model.tokenizer, tags)
    except (TypeError, ValueError, RecursionError) as error:  # ConstraintError is one of these
        raise ApiError(400, f"tools: {error}", param="tools", code="invalid_schema") from None


# Keywords under which fewer values of a part are not fewer values of the whole, or no value at all.
COMBINING = {
    "allOf", "contains", "dependentSchemas", "if", "not", "oneOf", "unevaluatedProperties"
}  # fmt: skip


def _only_named(schema: Any) -> Any:
    """The schema whose objects have the properties that it names and no others.

    Clients leave `additionalProperties` out where they do not mean that a model shall think of
    more, and small models never stop. What says more than that is left as it is.
    """

    def combines(part: Any) -> bool:
        if isinstance(part, dict):
            return not COMBINING.isdisjoint(part) or any(map(combines, part.values()))
        return isinstance(part, list) and any(map(combines, part))

    def is_object(part: Mapping[str, Any]) -> bool:
        return has_fields(part) and "patternProperties" not in part

    return schema if combines(schema) else closed(schema, is_object)


def _constraint(schema: Any, loaded: Loaded, field: str) -> ConstraintState:
    from llmpy.constraints import begin, json_schema  # which take a while to import

    try:
        return begin(json_schema(_only_named(schema)), loaded.model.tokenizer)
    except (TypeError, ValueError, RecursionError) as error:  # ConstraintError is one of these
        raise ApiError(400, f"{field}: {error}", param=field, code="invalid_schema") from None
