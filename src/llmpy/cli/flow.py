"""`llmpy flow`: nodes joined by wires, on a page; `llmpy flow run FILE` without it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmpy.cli.options import PATH, n_ctx_option, text_of
from llmpy.cli.streams import note
from llmpy.cli.terminal import cleaned, for_terminal

if TYPE_CHECKING:
    from llmpy.apps.flow import Event


@click.command(name="flow")
@click.option("-m", "--model", metavar="MODEL",
              help="The model of nodes that name none.  [the default model]")  # fmt: skip
@click.option("--embedder", metavar="MODEL", help="The model that embeds texts.")
@n_ctx_option
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE",
              help="With run: a value for the input of this title; @FILE in place of VALUE reads "
              "it from that file.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="With run: print all outputs as JSON.")
@click.option("--cache", type=PATH, metavar="FILE",
              help="With run: keep results in this file, and use them.")  # fmt: skip
@click.option("--files", type=click.Path(exists=True, file_okay=False, path_type=Path),
              metavar="FOLDER",
              help="Nodes may read files below this folder.  [the current one]")  # fmt: skip
@click.option("--allow-python", is_flag=True,
              help="Python functions of flows may run, and do all that you may do.")  # fmt: skip
@click.option("--allow-http", "hosts", multiple=True, metavar="HOST",
              help="HTTP may ask this host (may be given several times; *: any).")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535),
              help="The port; 0: one that is free.  [8766]")  # fmt: skip
@click.option("--api-key", "keys", multiple=True, envvar="LLMPY_API_KEY",
              help="A key that the page asks for; may be given several times.")  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Open no browser; print the address.")
@click.argument("words", metavar="[FILE]", nargs=-1)
def command(
    words: tuple[str, ...],
    model: str | None,
    embedder: str | None,
    n_ctx: int | None,
    values: tuple[str, ...],
    as_json: bool,
    cache: Path | None,
    files: Path | None,
    allow_python: bool,
    hosts: tuple[str, ...],
    **page: Any,
) -> None:
    """Join models, texts and tools by wires, in the browser; with run, run FILE without it.

    FILE keeps the flow as JSON, by default in the user's folder for data. Ctrl-C ends the page.
    `llmpy flow run FILE --set NAME=VALUE` prints the outputs of the flow.
    """
    from llmpy.apps.flow import Allowed, Models
    from llmpy.apps.flow.starting import serve_flows

    runs = words[:1] == ("run",)
    paths = words[runs:]
    if len(paths) > 1 or (runs and not paths):
        raise click.UsageError("expected llmpy flow [FILE], or llmpy flow run FILE")
    if not runs and (values or as_json or cache):
        raise click.UsageError("--set, --json and --cache are for llmpy flow run FILE")
    allowed = Allowed(files or Path.cwd(), allow_python, hosts)
    models = Models(model, embedder, **({} if n_ctx is None else {"n_ctx": n_ctx}))
    if runs:
        _run(Path(paths[0]), models, allowed, _values(values), cache, as_json)
        return
    browser = not page.pop("no_browser")
    file = Path(paths[0]) if paths else None
    serve_flows(file, models, allowed, browser=browser, say=note, **page)


def _run(
    file: Path, models: Any, allowed: Any, values: dict[str, str], cache: Path | None, as_json: bool
) -> None:
    """Run a flow and print its outputs; on a terminal, stderr says what runs."""
    from llmpy import chains
    from llmpy.apps.flow.starting import run_file

    def tell(event: Event) -> None:
        if sys.stderr.isatty() and event.kind in ("running", "cached", "skipped", "error"):
            note(cleaned(f"{event.node}: {event.kind}"))

    try:
        found = run_file(file, models, allowed, values=values, cache=cache, tell=tell)
    finally:
        models.close()
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for name, value in found.items():
        title = f"{name}:\n" if len(found) > 1 else ""
        click.echo(for_terminal(title + chains.as_text(value), sys.stdout))


def _values(settings: tuple[str, ...]) -> dict[str, str]:
    values = {}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign or not name:
            raise click.UsageError(f"--set: expected NAME=VALUE, found {setting!r}")
        values[name] = text_of(Path(value[1:])) if value.startswith("@") else value
    return values
