"""`llmpy ps`: the models that a server has loaded."""

from __future__ import annotations

import json

import click

from llmpy.cli.remote import ask, server_options
from llmpy.cli.terminal import cleaned


@click.command(name="ps")
@server_options
@click.option("--json", "as_json", is_flag=True, help="Print the server's response as JSON.")
def command(url: str, key: str | None, as_json: bool) -> None:
    """Show the models that a running `llmpy serve` has loaded."""
    models = ask(url, key, "/api/ps")["models"]
    if as_json:
        click.echo(json.dumps(models))
        return
    for model in models:
        name, size = cleaned(model["name"]), f"{model['size'] / 1e9:.2f} GB"
        until = model["expires_at"]
        stays = "stays" if until.startswith("9999") else f"until {until[11:19]}"
        click.echo(f"{name}  {size}  {model['n_active']} active  {stays}")
    if not models:
        click.echo("no model is loaded")
