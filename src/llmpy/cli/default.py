"""`llmpy default`: the model that commands take where none is named."""

from __future__ import annotations

import click

from llmpy.cli.terminal import cleaned


@click.command(name="default")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--none", "no_default", is_flag=True, help="Unset the default model.")
def command(name: str | None, no_default: bool) -> None:
    """Set the model that commands use if none is named, or print it.

    If none was set, it is the only chat model that was pulled.
    """
    import llmpy

    if no_default:
        if name is not None:
            raise click.UsageError("expected NAME or --none, found both")
        llmpy.set_default_model(None)
        return
    if name is not None:
        llmpy.set_default_model(name)
    model = llmpy.default_model()
    if model is None:
        raise click.ClickException("no model is installed; llmpy pull shows what can be had")
    click.echo(cleaned(model.name))
