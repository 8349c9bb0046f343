"""`llmpy stop`: a model of a server is unloaded."""

from __future__ import annotations

import click

from llmpy.cli.remote import ask, server_options


@click.command(name="stop")
@server_options
@click.argument("name")
def command(url: str, key: str | None, name: str) -> None:
    """Unload the model NAME of a running `llmpy serve`, once its answers have ended."""
    ask(url, key, "/api/generate", {"model": name, "keep_alive": 0})
    click.echo(f"{name} is unloaded once its answers have ended")
