"""`llmpy app`: chats with local models in the browser."""

from __future__ import annotations

from pathlib import Path

import click

from llmpy.cli.options import PATH
from llmpy.cli.streams import note
from llmpy.cli.tooling import tools_in


@click.command(name="app")
@click.option("-m", "--model", "models", multiple=True, metavar="[NAME=]MODEL",
              help="A model besides those that are installed; the first one is used.")  # fmt: skip
@click.option("--host", help="The address to listen on.  [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535),
              help="The port; 0: one that is free.  [8765]")  # fmt: skip
@click.option("--api-key", "keys", multiple=True, envvar="LLMPY_API_KEY",
              help="A key that the page asks for; may be given several times.")  # fmt: skip
@click.option("--data", "folder", type=PATH, metavar="FOLDER",
              help="Where chats and settings are kept.  [the user's folder for data]")  # fmt: skip
@click.option("--tools", type=PATH, metavar="FILE.py",
              help="Models may call the functions that this file defines.")  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Open no browser; print the address.")
@click.option("--install", is_flag=True, help="Add the app to the menu of this system, and end.")
def command(
    models: tuple[str, ...],
    host: str | None,
    port: int | None,
    keys: tuple[str, ...],
    folder: Path | None,
    tools: Path | None,
    no_browser: bool,
    install: bool,
) -> None:
    """Chat with local models in the browser.

    The page is served to this machine alone, unless --host and --api-key say otherwise. Chats are
    kept on the disk. Ctrl-C ends it.
    """
    from llmpy.apps.webapp import install as install_app
    from llmpy.apps.webapp import run_app

    if install:
        for path in install_app():
            click.echo(str(path))
        return
    run_app(
        *models,
        folder=folder,
        host=host,
        port=port,
        keys=keys,
        browser=not no_browser,
        tools=tools_in(tools, "auto") or (),
        say=note,
    )
