"""A conversation made ready to be answered, whichever API it came by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmpy.chat.prompt import prompt_parts, tail_of
from llmpy.chat.thinking import Reader
from llmpy.sampling import Chain
from llmpy.server.errors import ApiError
from llmpy.server.generation import Prompt
from llmpy.server.models import Loaded

if TYPE_CHECKING:
    from llmpy.constraints import ConstraintState

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
) -> tuple[Prompt, Callable[[], Reader]]:
    """The prompt for an answer, and what tells thinking from it, new for each answer.

    `effort`: how much to think, in words of the model's template; "none": not at all. `schema`:
    JSON that the answer must be, by a JSON schema, of the field of that name. ApiError where the
    template refuses the messages, and for a schema that cannot be followed.
    """
    kwargs = dict(template_kwargs or {})
    if effort is not None:
        kwargs.setdefault("reasoning_effort", effort)
        think = False if think is None and effort == "none" else think
    tokenizer = loaded.model.tokenizer

    def encoded() -> tuple[list[int], str]:
        parts = prompt_parts(
            loaded.template,
            loaded.format,
            tokenizer,
            messages,
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
    stops = (*stop, *loaded.template.stop)
    prompt = Prompt(ids, chain, seed, max_tokens, stops, logprobs, constraint)
    return prompt, lambda: loaded.format.reader(tail)


def _constraint(schema: Any, loaded: Loaded, field: str) -> ConstraintState:
    from llmpy.constraints import begin, json_schema  # which take a while to import

    try:
        return begin(json_schema(schema), loaded.model.tokenizer)
    except (TypeError, ValueError, RecursionError) as error:  # ConstraintError is one of these
        raise ApiError(400, f"{field}: {error}", param=field, code="invalid_schema") from None
