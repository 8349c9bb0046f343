"""`llmpy quantize`: a model file to a smaller one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmpy.cli.options import PATH, architecture_option, quoted
from llmpy.cli.streams import note

if TYPE_CHECKING:
    import llmpy


@click.command(name="quantize")
@click.argument("model", type=PATH)
@click.argument("out", type=PATH)
@click.argument("kind")
@click.option(
    "--imatrix",
    "importance",
    type=PATH,
    help="An importance matrix, as `llmpy imatrix` collects it.",
)
@click.option(
    "--keep",
    multiple=True,
    metavar="PATTERN=TYPE",
    help="Type of the tensors whose names fit (norms and other small ones: their whole name); may "
    "be repeated, the first that fits decides.",
)
@click.option("--pure", is_flag=True, help="Use the same type for all tensors, no mixture.")
@click.option(
    "-t", "--n-threads", type=click.IntRange(1), help="Number of threads.  [all CPUs allowed]"
)
@click.option(
    "--allow-requantize", is_flag=True, help="Requantize tensors that are quantized already."
)
@click.option("--allow-same", is_flag=True, help="Write the file even if no tensor changes.")
@click.option("--in-place", is_flag=True, help="Allow OUT to be MODEL itself.")
@architecture_option
@click.option("--json", "as_json", is_flag=True, help="Print each event as a JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing on stderr.")
def command(
    model: Path,
    out: Path,
    kind: str,
    importance: Path | None,
    keep: tuple[str, ...],
    pure: bool,
    n_threads: int | None,
    allow_requantize: bool,
    allow_same: bool,
    in_place: bool,
    architecture: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Quantize MODEL to the GGUF file OUT.

    KIND is a mixture (q4_k_m, q5_k_s, ...) or a plain type (q8_0, iq4_xs, f16, ...). OUT appears
    when it is complete; what was there before stays until then.
    """
    import llmpy

    def progress(event: llmpy.QuantizeEvent) -> None:
        if as_json:
            click.echo(json.dumps(asdict(event)))
        elif not quiet and (line := _line(event)):
            note(line)

    llmpy.quantize(
        model,
        out,
        kind,
        importance=importance,
        keep=dict(_pair(text) for text in keep),
        pure=pure,
        architecture=architecture,
        n_threads=n_threads,
        allow_requantize=allow_requantize,
        allow_same=allow_same,
        allow_in_place=in_place,
        progress=progress,
    )


def _pair(text: str) -> tuple[str, str]:
    pattern, equals, dtype = text.rpartition("=")
    if not equals or not pattern:
        raise click.UsageError(f"--keep: expected PATTERN=TYPE, found {text!r}")
    return pattern, dtype


def _line(event: llmpy.QuantizeEvent) -> str:
    """Return the line that an event is shown as."""
    at = f"[{event.done}/{event.total}] {_name(event.name)}"
    sizes = f"{event.bytes_before / 1e6:.2f} -> {event.bytes_after / 1e6:.2f} MB"
    if event.kind == "quantized":
        types = f"{event.source} -> {event.target}"
        return f"{at}: {types}, {sizes}, error {event.error or 0:.3%}"
    if event.kind == "skipped":
        return f"{at}: {event.source}, {event.reason}"
    if event.kind == "finished":
        return f"wrote {event.name}: {sizes} in {event.seconds:.1f} s"
    return ""


def _name(text: str) -> str:
    """As it is, or in quotes where it holds what a terminal would obey."""
    return text if text.isprintable() else quoted(text)
