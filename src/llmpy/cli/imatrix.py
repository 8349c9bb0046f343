"""`llmpy imatrix`: what errors cost, collected from a text."""

from __future__ import annotations

from pathlib import Path

import click

from llmpy.cli.options import (
    PATH,
    architecture_option,
    compute_options,
    model_option,
    show_windows,
    text_of,
    text_options,
)
from llmpy.cli.streams import note


@click.command(name="imatrix")
@model_option
@text_options
@click.option("-o", "--out", required=True, type=PATH, help="The file to write (GGUF).")
@click.option("-c", "--n-ctx", type=click.IntRange(8), default=512, show_default=True,
              help="Tokens of a window.")  # fmt: skip
@click.option("--output", is_flag=True, help="Collect statistics of the output tensor too.")
@compute_options
@architecture_option
def command(
    path: Path,
    source: Path,
    out: Path,
    n_ctx: int,
    windows: int | None,
    output: bool,
    architecture: str | None,
    n_threads: int | None,
    backend: str,
) -> None:
    """Run a model on a text, and write the importance matrix of its weights.

    The file is for `llmpy quantize --imatrix`.
    """
    import llmpy

    if out.exists() and not out.is_file():  # said before the text is read
        raise click.UsageError(f"--out: expected a file, or a new name, found {out}, which is none")
    found = llmpy.collect_importance(
        path,
        text_of(source),
        name=source.name,
        n_ctx=n_ctx,
        n_windows=windows,
        output=output,
        architecture=architecture,
        n_threads=n_threads,
        backend=backend,
        progress=show_windows(""),
    )
    llmpy.write_importance(out, found)
    note(f"wrote {out}: {len(found.sums)} tensors, {found.chunks} windows")
