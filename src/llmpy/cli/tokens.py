"""`llmpy tokens`: which tokens a text becomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from llmpy.cli.options import (
    architecture_option,
    chosen_template,
    model_option,
    quoted,
    stdin_text,
    template_option,
)


@click.command(name="tokens")
@model_option
@architecture_option
@click.option("--special", is_flag=True, help="Encode control tokens written in the text as such.")
@click.option("--chat", is_flag=True, help="TEXT is a message of a user: apply the chat template.")
@click.option("--system", help="With --chat: the text of a system message.")
@template_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
@click.argument("text")
def command(
    path: Path,
    architecture: str | None,
    special: bool,
    chat: bool,
    system: str | None,
    template: str | None,
    as_json: bool,
    text: str,
) -> None:
    """Print the token ids of TEXT ('-': stdin) and their pieces, one per line.

    They are those that `llmpy infer` reads: the begin-of-text token comes first, if the model
    requires one. With --chat they are those that `llmpy chat` reads. Text is in quotes; control
    tokens are not.
    """
    import llmpy

    if (system is not None or template is not None) and not chat:
        raise click.UsageError("--system and --template need --chat")
    if chat and special:
        raise click.UsageError("--special: with --chat, the text of a message has no control token")
    if text == "-":
        text = stdin_text()
    tokenizer = llmpy.load_tokenizer(path, architecture=architecture)
    if chat:
        messages = [] if system is None else [{"role": "system", "content": system}]
        messages.append({"role": "user", "content": text})
        name = chosen_template(template)
        ids = llmpy.load_template(path, name, architecture=architecture).encode(messages)
    else:
        ids = tokenizer.encode(text, special=special, bos=None)
    if not ids and tokenizer.bos is not None:
        ids = [tokenizer.bos]
    if as_json:
        click.echo(json.dumps([_row(tokenizer, i) for i in ids]))
        return
    for i in ids:
        click.echo(f"{i:>7}  {_shown(tokenizer, i)}")


def _row(tokenizer: Any, token: int) -> dict[str, object]:
    piece = tokenizer.piece(token).decode("utf-8", "replace")
    return {"id": token, "piece": piece, "control": tokenizer.is_control(token)}


def _shown(tokenizer: Any, token: int) -> str:
    """Return text in quotes, a control token without, and a part of a character as its bytes."""
    piece = tokenizer.piece(token)
    try:
        text = quoted(piece.decode("utf-8"))
    except UnicodeDecodeError:
        return " ".join(f"<{byte:02X}>" for byte in piece)
    return text[1:-1] if tokenizer.is_control(token) else text
