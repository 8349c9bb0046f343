"""Options that several commands share, and loading with progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import click

if TYPE_CHECKING:
    import llmpy

__all__ = [
    "KvDtype",
    "architecture_option",
    "compute_options",
    "load",
    "load_options",
    "model_option",
    "quoted",
    "show_windows",
    "text_of",
    "text_options",
    "utf8",
]

F = TypeVar("F", bound=Callable[..., Any])
KvDtype = Literal["f16", "f32", "q8_0"]

model_option = click.option(
    "-m",
    "--model",
    "path",
    required=True,
    type=click.Path(path_type=Path),
    help="The model: a GGUF file, or the folder of a checkpoint.",
)

architecture_option = click.option(
    "--architecture",
    metavar="NAME",
    help="What a GGML, GGMF or GGJT file is: llama, gptj, ...  [other files say it]",
)


def load_options(function: F) -> F:
    """Add -m, -c, -t, --backend and --kv-dtype."""
    n_ctx = click.option(
        "-c", "--n-ctx", type=click.IntRange(1), help="Tokens of context.  [model's own]"
    )
    kv_dtype = click.option(
        "--kv-dtype",
        type=click.Choice(get_args(KvDtype)),
        default="f16",
        show_default=True,
        help="How keys and values are stored.",
    )
    return model_option(n_ctx(compute_options(kv_dtype(function))))


def compute_options(function: F) -> F:
    """Add -t and --backend."""
    for option in reversed(
        [
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


def text_options(function: F) -> F:
    """Add -f and --windows."""
    for option in reversed(
        [
            click.option(
                "-f",
                "--file",
                "source",
                required=True,
                type=click.Path(path_type=Path),
                help="The text to read (UTF-8).",
            ),
            click.option("--windows", type=click.IntRange(1), help="Windows of it to read.  [all]"),
        ]
    ):
        function = option(function)
    return function


def text_of(source: Path) -> str:
    """What is in a text file."""
    return utf8(source.read_bytes(), str(source))


def show_windows(estimate: str) -> Callable[[llmpy.MeasureEvent], None]:
    """Progress for a terminal: how many windows are read, and the estimate by that name, if any."""

    def progress(event: llmpy.MeasureEvent) -> None:
        if sys.stderr.isatty():
            so_far = f", {estimate} {event.estimate:.4f}" if estimate else ""
            end = "\r\x1b[K" if event.window == event.total else ""
            said = f"\r\x1b[Kwindow {event.window} of {event.total}{so_far}{end}"
            click.echo(said, err=True, nl=False)

    return progress


def quoted(text: str) -> str:
    """Text out of a file in quotes, without what a terminal would obey or could not show."""
    whole = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    written = json.dumps(whole, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in written)


def utf8(data: bytes, name: str) -> str:
    """Text that came from outside; `name` says whence."""
    try:
        return data.decode("utf-8").removeprefix("\ufeff")  # editors' byte order mark
    except UnicodeDecodeError as error:
        raise click.ClickException(
            f"{name}: expected UTF-8 text, found byte 0x{data[error.start]:02x} at {error.start}"
        ) from error


def load(
    path: Path,
    n_ctx: int | None,
    n_threads: int | None,
    backend: str,
    kv_dtype: KvDtype,
    architecture: str | None = None,
) -> llmpy.Model:
    """Load the model; on a terminal, stderr shows how far it is."""
    import llmpy

    show = sys.stderr.isatty()

    def progress(event: llmpy.LoadEvent) -> None:
        if show and event.seconds > 0.3:
            part = event.bytes_done / max(1, event.bytes_total)
            click.echo(f"\rloading {path.name}: {part:4.0%}", err=True, nl=False)

    model = llmpy.load(
        path,
        architecture=architecture,
        n_ctx=n_ctx,
        n_threads=n_threads,
        backend=backend,
        kv_dtype=kv_dtype,
        progress=progress,
    )
    if show:
        click.echo("\r\x1b[K", err=True, nl=False)
    return model
