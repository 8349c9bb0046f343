"""`llmpy ls`: the models that are on this machine by a name."""

from __future__ import annotations

import json

import click

from llmpy.cli.options import described
from llmpy.cli.progress import readable_bytes
from llmpy.cli.terminal import cleaned


@click.command(name="ls")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def command(as_json: bool) -> None:
    """List the models that -m accepts by name, including those of Ollama and LM Studio.

    The default model is marked with '*'. Whether a model fits into the memory that is free now is
    estimated from its size.
    """
    import llmpy

    models = llmpy.models()
    default = llmpy.default_name()
    if as_json:
        click.echo(json.dumps([described(model, default) for model in models]))
        return
    if not models:
        click.echo("no models; llmpy pull shows what can be had", err=True)
        return
    rows = [
        (
            f"{model.name}{' *' if model.name == default else ''}",
            readable_bytes(model.size),
            model.fits or "",
            model.license or "unknown",
        )
        for model in models
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        click.echo(cleaned(line.rstrip()))
