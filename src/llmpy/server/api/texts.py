"""Texts and tokens: /tokenize, /detokenize and /apply-template, as llama.cpp's server has them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from llmpy.server.api.fields import read
from llmpy.server.api.messages import Message, for_template
from llmpy.server.call import Call
from llmpy.server.errors import ApiError
from llmpy.server.state import State

__all__ = ["apply_template", "detokenize", "tokenize"]


class TokenizeRequest(msgspec.Struct, kw_only=True):
    """`add_special`: with the begin-of-text token, where the model wants one."""

    content: str
    model: str | None = None
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeRequest(msgspec.Struct, kw_only=True):
    """Token ids, and the model whose they are."""

    tokens: list[int]
    model: str | None = None


class TemplateRequest(msgspec.Struct, kw_only=True):
    """A conversation that is written as the model reads it."""

    messages: list[Message]
    model: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None


async def tokenize(call: Call, state: State) -> None:
    """POST /tokenize."""
    request = await read(call, TokenizeRequest, {}, {})
    async with state.models.use(request.model) as loaded:
        tokenizer = loaded.model.tokenizer

        def encode() -> list[int]:
            bos = None if request.add_special else False
            return tokenizer.encode(request.content, special=request.parse_special, bos=bos)

        ids = await asyncio.to_thread(encode)
        tokens: list[Any] = list(ids)
        if request.with_pieces:
            tokens = [{"id": i, "piece": _piece(tokenizer.piece(i))} for i in ids]
        await call.answer({"tokens": tokens})


async def detokenize(call: Call, state: State) -> None:
    """POST /detokenize."""
    request = await read(call, DetokenizeRequest, {}, {})
    async with state.models.use(request.model) as loaded:
        n_vocab, tokenizer = loaded.model.n_vocab, loaded.model.tokenizer
        for i, token in enumerate(request.tokens):
            if not 0 <= token < n_vocab:
                where = f"tokens[{i}]"
                problem = f"{where}: expected 0 to {n_vocab - 1}, found {token}"
                raise ApiError(400, problem, param=where)
        await call.answer({"content": tokenizer.decode(request.tokens, special=True)})


async def apply_template(call: Call, state: State) -> None:
    """POST /apply-template."""
    request = await read(call, TemplateRequest, {}, {})
    async with state.models.use(request.model) as loaded:
        messages, kwargs = for_template(request.messages), request.chat_template_kwargs

        def render() -> str:
            return loaded.template.render(messages, template_kwargs=kwargs)

        try:
            text = await asyncio.to_thread(render)
        except (TypeError, ValueError) as error:
            raise ApiError(400, str(error), param="messages") from None
        await call.answer({"prompt": text})


def _piece(raw: bytes) -> str | list[int]:
    """The text of a token, or its bytes where they are no text."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return list(raw)
