"""`llmpy show`: where a model lies, where it is from, and its licence."""

from __future__ import annotations

import json

import click

from llmpy.cli.options import described
from llmpy.cli.progress import readable_bytes
from llmpy.cli.terminal import cleaned


@click.command(name="show")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(name: str | None, as_json: bool) -> None:
    """Print the path, size, licence and source of a model.

    NAME is also one of the catalogue that is not installed; without it, it is the default model.
    `llmpy info -m NAME` prints what its file says.
    """
    import llmpy

    entry = next((e for e in llmpy.CATALOGUE if name and e.name == name.lower()), None)
    try:
        model = llmpy.default_model() if name is None else llmpy.find_model(name)
    except llmpy.ModelNotFound:
        if entry is None:
            raise
        model = None
    if model is None and entry is None:
        raise click.ClickException("no model is installed; llmpy pull shows what can be had")
    found = {} if model is None else described(model, llmpy.default_name())
    if entry is not None:
        found |= {"n_ctx": entry.n_ctx, "good_for": entry.good_for, "about": entry.about}
        if model is None:
            found = {"name": entry.name, "installed": False, "bytes": entry.size} | found
            found |= {"license": entry.license, "source": entry.source}
    if as_json:
        click.echo(json.dumps(found))
        return
    for key, value in found.items():
        text = readable_bytes(value) if key == "bytes" else str(value)
        if key == "license":
            key, text = "licence", text if value else "unknown"
        if value is not None or key == "licence":
            click.echo(cleaned(f"{key.replace('_', ' ')}: {text}"))
