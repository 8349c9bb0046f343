"""`llmpy perplexity`: how surprised a model is by a text, and how far it is from another."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from llmpy.cli.options import (
    PATH,
    KvDtype,
    architecture_option,
    load,
    load_options,
    show_windows,
    text_of,
    text_options,
)


@click.command(name="perplexity")
@load_options
@architecture_option
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
    source: Path,
    n_ctx: int | None,
    n_threads: int | None,
    backend: str,
    kv_dtype: KvDtype,
    architecture: str | None,
    windows: int | None,
    base: Path | None,
    as_json: bool,
) -> None:
    """Print the perplexity of a text: exp of the mean loss of its tokens.

    The text is cut into windows of --n-ctx tokens [512], and the second half of each is scored.
    """
    import llmpy

    text, n_ctx = text_of(source), n_ctx or 512
    model = load(path, n_ctx, n_threads, backend, kv_dtype, architecture)
    if base is None:
        found = llmpy.perplexity(
            model, text, n_ctx=n_ctx, n_windows=windows, progress=show_windows("perplexity")
        )
        click.echo(json.dumps(asdict(found)) if as_json else str(found))
        return
    original = load(base, n_ctx, n_threads, backend, kv_dtype, architecture)
    apart = llmpy.divergence(
        model, original, text, n_ctx=n_ctx, n_windows=windows, progress=show_windows("divergence")
    )
    if as_json:
        click.echo(json.dumps(asdict(apart)))
    else:
        click.echo(f"{apart.perplexity}\nbase {apart.base}\n{apart}")
