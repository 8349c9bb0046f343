"""`llmpy cp`: a second name for a model."""

from __future__ import annotations

import click

from llmpy.cli.terminal import cleaned


@click.command(name="cp")
@click.argument("source", metavar="SOURCE")
@click.argument("name", metavar="NAME")
def command(source: str, name: str) -> None:
    """Add the name NAME for a model, a file or a folder; no byte is copied."""
    import llmpy

    model = llmpy.copy_model(source, name)
    click.echo(cleaned(f"{model.name}: {model.path}"))
