"""The text of a command: what the model generates, as it is to be typed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import llmpy
from llmpy.apps.anywhere.config import Command

__all__ = ["generate"]


async def generate(
    model: llmpy.Model, command: Command, text: str, *, one_line: bool = False
) -> AsyncGenerator[str]:
    """Yield the answer to a text as it is generated; nothing but text, "\\n" and spaces.

    With `one_line` it ends where the line does, whatever the command says. Of a text that is too
    long for the model, the end is read.
    """
    one_line = one_line or command.newline == "stop"
    given = {"seed": command.seed, **command.sampling()}
    closing: llmpy.Chat | llmpy.Session
    if command.mode == "prompt":
        closing = chat = model.chat(
            command.system, template=command.template, think=command.think, **given
        )
        pieces = chat.asay(command.text(text), max_tokens=command.max_tokens)
    else:
        closing = session = model.session(**given)
        encode = model.tokenizer.encode
        room = max(2, model.n_ctx - (command.max_tokens or model.n_ctx // 4)) - 1
        tokens = [*encode("", bos=None), *encode(command.text(text.rstrip()))[-room:]]
        pieces = session.astream(tokens, max_tokens=command.max_tokens)
    begun = command.mode != "prompt" and text == text.rstrip()
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                if piece.kind not in ("generated", "end"):
                    continue
                shown = piece.text if begun else piece.text.lstrip()
                begun = begun or bool(shown)
                shown, ended, _ = shown.partition("\n") if one_line else (shown, "", "")
                if shown := "".join(map(_typed, shown)):
                    yield shown
                if ended:
                    return
    finally:
        closing.close()


def _typed(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    return "    " if character == "\t" else ""
