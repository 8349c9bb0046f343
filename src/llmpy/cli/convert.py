"""`llmpy convert`: a checkpoint, or any other model, to one GGUF file."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from llmpy.cli.options import PATH, architecture_option
from llmpy.cli.streams import note


@click.command(name="convert")
@click.argument("model", type=PATH)
@click.argument("out", type=PATH)
@click.option(
    "--type",
    "kind",
    metavar="TYPE",
    help="Type of the matrices: f16, q8_0, q4_k_m, ...  [the model's own]",
)
@click.option(
    "-t", "--n-threads", type=click.IntRange(1), help="Number of threads.  [all CPUs allowed]"
)
@architecture_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing on stderr.")
def command(
    model: Path,
    out: Path,
    kind: str | None,
    n_threads: int | None,
    architecture: str | None,
    quiet: bool,
) -> None:
    """Write MODEL (the folder of a Hugging Face checkpoint, or a file) as the GGUF file OUT.

    OUT appears when it is complete; what was there before stays until then.
    """
    import llmpy

    show = sys.stderr.isatty() and not quiet

    def progress(event: llmpy.ConvertEvent) -> None:
        if show and event.kind == "tensor":
            part = event.bytes_done / max(1, event.bytes_total)
            note(f"\r\x1b[K{part:4.0%} {event.name} {event.dtype}", end="")
        elif event.kind == "done" and not quiet:
            size, seconds = event.bytes_total / 1e6, event.seconds
            start = "\r\x1b[K" if show else ""
            note(f"{start}wrote {out}: {size:.1f} MB in {seconds:.1f} s")

    llmpy.convert(
        model, out, type=kind, architecture=architecture, n_threads=n_threads, progress=progress
    )
