"""`llmpy doctor`: what this machine and installation can do, and what to do about the rest."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from llmpy.cli.terminal import cleaned


@click.command(name="doctor")
@click.option("--no-measure", is_flag=True, help="Measure nothing: takes a moment less.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(no_measure: bool, as_json: bool) -> None:
    """Say what limits models on this machine, and what to do about it.

    Processor, instruction set, memory and its speed, limits of containers, backends, models and
    versions. Reports of problems should come with it.
    """
    import llmpy

    found = llmpy.diagnose(measure=not no_measure)
    if as_json:
        weaknesses = [asdict(weakness) for weakness in found.weaknesses]
        click.echo(json.dumps({**asdict(found), "weaknesses": weaknesses}))
    else:
        click.echo("\n".join(cleaned(line) for line in str(found).split("\n")))
