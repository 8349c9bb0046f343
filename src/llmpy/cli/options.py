"""Options that several commands share, and loading with progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    import llmpy

__all__ = ["load", "load_options", "model_option", "quoted", "utf8"]

F = TypeVar("F", bound=Callable[..., Any])

model_option = click.option(
    "-m",
    "--model",
    "path",
    required=True,
    type=click.Path(path_type=Path),
    help="The model file (GGUF).",
)


def load_options(function: F) -> F:
    """Add -m, -c, -t and --backend."""
    for option in reversed(
        [
            model_option,
            click.option(
                "-c", "--n-ctx", type=click.IntRange(1), help="Tokens of context.  [model's own]"
            ),
            click.option(
                "-t", "--n-threads", type=click.IntRange(1), help="Threads.  [all CPUs allowed]"
            ),
            click.option(
                "--backend",
                type=click.Choice(["auto", "cpu", "reference"]),
                default="auto",
                show_default=True,
                help="Where to compute.",
            ),
        ]
    ):
        function = option(function)
    return function


def quoted(text: str) -> str:
    """Text out of a file in quotes, without what a terminal would obey or could not show."""
    whole = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    written = json.dumps(whole, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in written)


def utf8(data: bytes, name: str) -> str:
    """Text that came from outside; `name` says whence."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.ClickException(
            f"{name}: expected UTF-8 text, found byte 0x{data[error.start]:02x} at {error.start}"
        ) from error


def load(path: Path, n_ctx: int | None, n_threads: int | None, backend: str) -> llmpy.Model:
    """Load the model; on a terminal, stderr shows how far it is."""
    import llmpy

    show = sys.stderr.isatty()

    def progress(event: llmpy.LoadEvent) -> None:
        if show and event.seconds > 0.3:
            part = event.bytes_done / max(1, event.bytes_total)
            click.echo(f"\rloading {path.name}: {part:4.0%}", err=True, nl=False)

    model = llmpy.load(path, n_ctx=n_ctx, n_threads=n_threads, backend=backend, progress=progress)
    if show:
        click.echo("\r\x1b[K", err=True, nl=False)
    return model
