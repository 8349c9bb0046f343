"""`llmpy info`: what is in a model file."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

import click

from llmpy.cli.options import any_model_option, architecture_option, quoted
from llmpy.cli.terminal import cleaned


@click.command(name="info")
@any_model_option
@architecture_option
@click.option("-t", "--tensors", is_flag=True, help="List the tensors: type, shape, bytes, name.")
@click.option("-k", "--tokens", is_flag=True, help="List the tokens of the vocabulary.")
@click.option("--program", is_flag=True, help="Print the operations that a step runs instead.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    path: Path,
    architecture: str | None,
    tensors: bool,
    tokens: bool,
    program: bool,
    as_json: bool,
) -> None:
    """Print the metadata of a model file."""
    import llmpy

    if program:
        if tensors or tokens or as_json:
            raise click.UsageError("--program goes with none of --tensors, --tokens and --json")
        click.echo(cleaned(llmpy.program_text(path, architecture=architecture)))
        return
    with llmpy.open_model(path, architecture=architecture) as file:
        if as_json:
            found = _as_object(file, tensors, tokens) | {"license": _license(path, file)}
            click.echo(json.dumps(found, allow_nan=False))
            return
        types = Counter(str(info.dtype) for info in file.tensors.values())
        counts = ", ".join(f"{n} {name}" for name, n in types.most_common())
        click.echo(f"file: {file.path} ({file.size / 1e6:.1f} MB, {file.format})")
        click.echo(f"licence: {_license(path, file) or 'unknown'}")
        click.echo(f"tensors: {len(file.tensors)} ({counts})" if types else "tensors: 0")
        click.echo(f"parameters: {file.parameters:,}")
        for key, value in file.metadata.items():
            click.echo(f"{_name(key)}: {_short(value)}")
        if tensors:
            for info in file.tensors.values():
                shape = " x ".join(map(str, info.shape))
                click.echo(f"{info.dtype.name:<8} {shape:<24} {info.size:>12}  {_name(info.name)}")
        if tokens:
            for i, token in enumerate(file.get("tokenizer.ggml.tokens", list, [])):
                click.echo(f"{i:>7}  {quoted(str(token))}")


def _license(path: Path, file: Any) -> str | None:
    """Return the licence that the source of a named model states, else that of its file."""
    import llmpy

    stated = None if os.path.lexists(path) else llmpy.find_model(str(path)).license
    license_ = file.metadata.get("general.license")
    return stated or (quoted(license_)[1:-1] if isinstance(license_, str) and license_ else None)


def _name(text: str) -> str:
    """As it is, or in quotes where it holds what a terminal would obey."""
    return text if text.isprintable() else quoted(text)


def _short(value: Any) -> str:
    if isinstance(value, str):
        text = quoted(value)
        return text if len(text) <= 200 else f"{text[:197]}... ({len(value)} characters)"
    if hasattr(value, "__len__"):
        return f"{len(value)} values: {', '.join(str(_item(v)) for v in value[:6])}" + (
            ", ..." if len(value) > 6 else ""
        )
    return str(value)


def _item(value: Any) -> Any:
    return quoted(value) if isinstance(value, str) else value


def _as_object(file: Any, tensors: bool, tokens: bool) -> dict[str, Any]:
    """Long arrays are left out, but for the tokens where they were asked for."""
    metadata: dict[str, Any] = {}
    for key, value in file.metadata.items():
        if isinstance(value, float) and not math.isfinite(value):
            metadata[key] = str(value)  # JSON has no such numbers
        elif isinstance(value, str | int | float):
            metadata[key] = value
        else:
            metadata[key] = {"length": len(value)}
    result: dict[str, Any] = {
        "path": str(file.path),
        "format": file.format,
        "bytes": file.size,
        "parameters": file.parameters,
        "metadata": metadata,
    }
    if tensors:
        result["tensors"] = [
            {"name": i.name, "type": str(i.dtype), "shape": list(i.shape), "bytes": i.size}
            for i in file.tensors.values()
        ]
    if tokens:
        result["tokens"] = file.get("tokenizer.ggml.tokens", list, [])
    return result
