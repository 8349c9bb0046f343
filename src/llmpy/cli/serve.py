"""`llmpy serve`: models over HTTP."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from llmpy.cli.options import (
    PATH,
    chosen_template,
    compute_options,
    gpu_options,
    kv_dtype_option,
    n_ctx_option,
    template_option,
)
from llmpy.cli.streams import note


@click.command(name="serve")
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    metavar="[NAME=]MODEL",
    help="A model, and the name by which clients ask for it; may be given several times.  [all]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535),
              help="The port; 0: one that is free.")  # fmt: skip
@click.option("--api-key", "keys", multiple=True, envvar="LLMPY_API_KEY",
              help="A key that clients must send; may be given several times.")  # fmt: skip
@click.option("--api-key-file", type=PATH, help="A file of keys, one per line.")
@click.option("--insecure", is_flag=True, help="Allow other machines to connect without a key.")
@click.option("--allow-origin", "allow_origins", multiple=True, metavar="ORIGIN",
              help="An origin whose web pages may use the server; *: any.")  # fmt: skip
@click.option("--allow-host", "allow_hosts", multiple=True, metavar="NAME",
              help="A name of this machine in the Host header; *: any.")  # fmt: skip
@n_ctx_option
@click.option("--parallel", "n_parallel", default=32, show_default=True, type=click.IntRange(1),
              help="Number of texts generated at the same time.")  # fmt: skip
@click.option("--queue", "n_queue", default=256, show_default=True, type=click.IntRange(0),
              help="Texts that may wait; more are rejected.")  # fmt: skip
@click.option("--max-body", default=8 << 20, show_default=True, type=click.IntRange(1),
              help="Largest request in bytes.")  # fmt: skip
@click.option("--max-total-tokens", type=click.IntRange(1),
              help="Tokens in the KV caches of all texts of a model.  [any number]")  # fmt: skip
@click.option("--keep-alive", type=click.FloatRange(0), metavar="SECONDS",
              help="Unload a model that was not used for so long.  [never]")  # fmt: skip
@click.option("--memory", type=click.FloatRange(0), metavar="GB",
              help="Memory for models; the least recently used are unloaded.  [any]")  # fmt: skip
@click.option("--access-log", default="-", metavar="FILE", show_default=True,
              help="Where a line of JSON for each request goes; -: stderr.")  # fmt: skip
@template_option
@kv_dtype_option
@compute_options
@gpu_options
def command(
    models: tuple[str, ...],
    keys: tuple[str, ...],
    api_key_file: Path | None,
    memory: float | None,
    access_log: str,
    template: str | None,
    **settings: Any,
) -> None:
    """Serve models over HTTP, for clients of the APIs of OpenAI, Anthropic and Ollama.

    The first model is loaded now, the others when a client requests them. Ctrl-C stops the server
    once the running answers have ended; a second one stops it at once.
    """
    import llmpy

    if api_key_file is not None:
        keys += tuple(filter(None, map(str.strip, api_key_file.read_text("utf-8").splitlines())))
    with contextlib.ExitStack() as opened:
        log = None
        if access_log == "-":
            log = sys.stderr
        elif access_log:
            log = opened.enter_context(open(access_log, "a", encoding="utf-8"))
        llmpy.serve(
            *models,
            keys=keys,
            log=log,
            template=chosen_template(template),
            memory=None if memory is None else int(memory * 1e9),
            ready=lambda url: note(f"llmpy: serving on {url}"),
            **settings,
        )
