"""`llmpy plan`: how much memory a model will take, before it is loaded."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from llmpy.cli.options import (
    PATH,
    architecture_option,
    backend_option,
    gpu_options,
    kv_dtype_option,
    n_ctx_option,
    named_or_default,
)


def _chosen(ctx: click.Context, _argument: click.Parameter, path: Path | None) -> Path | None:
    return path if ctx.resilient_parsing else named_or_default(path)


@click.command(name="plan")
@click.argument("path", metavar="[MODEL]", required=False, type=PATH, callback=_chosen)
@architecture_option
@n_ctx_option
@click.option(
    "-s",
    "--sessions",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of sessions.",
)
@click.option(
    "-b",
    "--n-batch",
    type=click.IntRange(1),
    default=512,
    show_default=True,
    help="Largest number of tokens in a step.",
)
@kv_dtype_option
@backend_option
@gpu_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    path: Path,
    architecture: str | None,
    n_ctx: int | None,
    sessions: int,
    n_batch: int,
    as_json: bool,
    **where: Any,
) -> int:
    """Print the memory that MODEL needs with full sessions, by part.

    The exit code is 1 where more is needed than is free.
    """
    import llmpy

    plan = llmpy.plan_memory(
        path,
        architecture=architecture,
        n_ctx=n_ctx,
        sessions=sessions,
        n_batch=n_batch,
        **where,
    )
    if as_json:
        places = [{**asdict(place), "total": place.total} for place in plan.places]
        found = {**asdict(plan), "total": plan.total, "fits": plan.fits, "places": places}
        click.echo(json.dumps(found))
    else:
        click.echo(str(plan))
    return 0 if plan.fits else 1
