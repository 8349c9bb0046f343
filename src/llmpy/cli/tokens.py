"""`llmpy tokens`: which tokens a text becomes."""

from __future__ import annotations

import json
from pathlib import Path

import click

from llmpy.cli.options import architecture_option, model_option, quoted, stdin_text


@click.command(name="tokens")
@model_option
@architecture_option
@click.option("--special", is_flag=True, help="Take control tokens written in the text as such.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
@click.argument("text")
def command(path: Path, architecture: str | None, special: bool, as_json: bool, text: str) -> None:
    """Print the token ids of TEXT ('-': stdin) and their pieces, one a line.

    They are those that `llmpy infer` reads: the begin-of-text token comes first, where the model
    wants one.
    """
    import llmpy

    if text == "-":
        text = stdin_text()
    tokenizer = llmpy.load_tokenizer(path, architecture=architecture)
    ids = tokenizer.encode(text, special=special, bos=None)
    if not ids and tokenizer.bos is not None:
        ids = [tokenizer.bos]
    if as_json:
        rows = [{"id": i, "piece": tokenizer.piece(i).decode("utf-8", "replace")} for i in ids]
        click.echo(json.dumps(rows))
        return
    for i in ids:
        click.echo(f"{i:>7}  {_shown(tokenizer.piece(i))}")


def _shown(piece: bytes) -> str:
    """The piece in quotes, or its bytes where it is only a part of a character."""
    try:
        return quoted(piece.decode("utf-8"))
    except UnicodeDecodeError:
        return " ".join(f"<{byte:02X}>" for byte in piece)
