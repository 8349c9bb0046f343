"""`llmpy perplexity`: how surprised a model is by a text, and how far it is from another."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from llmpy.cli.options import (
    PATH,
    load,
    load_options,
    show_windows,
    text_of,
    text_options,
)


@click.command(name="perplexity")
@load_options
@text_options
@click.option(
    "--kl",
    "base",
    type=PATH,
    help="A base model: also measure the divergence from it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    path: Path,
    loading: dict[str, Any],
    source: Path,
    windows: int | None,
    base: Path | None,
    as_json: bool,
) -> None:
    """Print the perplexity of a text: exp of the mean loss of its tokens.

    The text is cut into windows of --n-ctx tokens [512], and the second half of each is scored.
    """
    import llmpy

    text = text_of(source)
    n_ctx = loading["n_ctx"] = loading["n_ctx"] or 512
    model = load(path, **loading)
    if base is None:
        found = llmpy.perplexity(
            model, text, n_ctx=n_ctx, n_windows=windows, progress=show_windows("perplexity")
        )
        click.echo(json.dumps(asdict(found)) if as_json else str(found))
        return
    original = load(base, **loading)
    apart = llmpy.divergence(
        model, original, text, n_ctx=n_ctx, n_windows=windows, progress=show_windows("divergence")
    )
    if as_json:
        click.echo(json.dumps(asdict(apart)))
    else:
        click.echo(f"{apart.perplexity}\nbase {apart.base}\n{apart}")
