"""`llmpy embed`: texts in, one vector for each out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from llmpy.cli.options import PATH, load, load_options, stdin_text, text_of, without_last_break


@click.command(name="embed")
@load_options
@click.option("-f", "--file", type=PATH, help="A file with a text on each line.")
@click.option(
    "--pooling",
    type=click.Choice(["mean", "cls", "last"]),
    help="How states of tokens become one vector.  [model's own]",
)
@click.option("--normalize/--no-normalize", default=True, help="Scale vectors to length 1.  [yes]")
@click.option(
    "--truncate", type=click.IntRange(0), help="Cut texts to N tokens; 0: to what the model takes."
)
@click.option("-o", "--out", type=PATH, help="Write them to this file, as NumPy's save does.")
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
    """Print a vector for each TEXT, one on a line.

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
