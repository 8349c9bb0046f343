"""`llmpy embed`: texts in, one vector for each out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from llmpy.cli.options import PATH, load, load_options, stdin_text, text_of, without_last_break


@click.command(name="embed")
@load_options
@click.option("-f", "--file", type=PATH, help="A file with one text per line.")
@click.option(
    "--pooling",
    type=click.Choice(["mean", "cls", "last"]),
    help="Pooling of the hidden states of tokens.  [model's own]",
)
@click.option(
    "--normalize/--no-normalize", default=True, help="Scale embeddings to length 1.  [yes]"
)
@click.option(
    "--truncate",
    type=click.IntRange(0),
    help="Truncate texts to N tokens; 0: to the model's maximum.",
)
@click.option(
    "-o", "--out", type=PATH, help="Write the embeddings to this file in NumPy's format (.npy)."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list of lists.")
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
def command(
    path: Path,
    loading: dict[str, Any],
    file: Path | None,
    pooling: Any,
    normalize: bool,
    truncate: int | None,
    out: Path | None,
    as_json: bool,
    texts: tuple[str, ...],
) -> None:
    """Print an embedding for each TEXT, one per line.

    Without TEXT and -f, each line of stdin is a text.
    """
    import numpy as np

    if texts and file is not None:
        raise click.UsageError("expected TEXT or -f, found both")
    if not texts:
        read = stdin_text() if file is None else without_last_break(text_of(file))
        texts = tuple(line.removesuffix("\r") for line in read.split("\n"))
    model = load(path, **loading)
    found = model.embed(
        texts, pooling=pooling, normalize=normalize, truncate=True if truncate == 0 else truncate
    )
    if out is not None:
        with out.open("wb") as target:
            np.save(target, found)
    elif as_json:
        click.echo(json.dumps(found.tolist()))
    else:
        for row in found:
            click.echo(" ".join(f"{value:.9g}" for value in row))
