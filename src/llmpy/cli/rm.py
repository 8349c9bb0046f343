"""`llmpy rm`: forget models, and delete their files."""

from __future__ import annotations

import click

from llmpy.cli.progress import readable_bytes
from llmpy.cli.terminal import cleaned


@click.command(name="rm")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def command(names: tuple[str, ...]) -> None:
    """Remove models by name, and print how many bytes were freed.

    Files that another name uses, and files that llmpy did not download, are kept.
    """
    import llmpy

    for name in names:
        freed = llmpy.remove_model(name)
        click.echo(cleaned(f"{name}: removed, {readable_bytes(freed)} freed"))
