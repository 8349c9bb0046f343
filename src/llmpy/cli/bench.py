"""`llmpy bench`: how fast a model reads and generates here, beside what the memory allows."""

from __future__ import annotations

import json
import statistics
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmpy.apps.speed import bytes_per_token, one_round, prompt
from llmpy.cli.options import any_model_option, load, load_options

if TYPE_CHECKING:
    import llmpy

N_PROMPT = 512  # tokens


@click.command(name="bench")
@partial(load_options, model=any_model_option)
@click.option(
    "-p",
    "--n-prompt",
    type=click.IntRange(1),
    help=f"Tokens of the prompt.  [{N_PROMPT}, or what the context holds]",
)
@click.option(
    "-n",
    "--n-generate",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Tokens to generate.",
)
@click.option(
    "-r",
    "--rounds",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Rounds to take the median of.",
)
@click.option("--ops", is_flag=True, help="Print the time of each operation.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    path: Path,
    loading: dict[str, Any],
    n_prompt: int | None,
    n_generate: int,
    rounds: int,
    ops: bool,
    as_json: bool,
) -> None:
    """Measure prefill (reading a prompt) and decode (generating), in tokens per second.

    Decode reads all weights for each token: GB/s is printed beside the memory read bandwidth of
    this machine, measured alternately within the same run.
    """
    import llmpy

    model = load(path, **loading)
    n_prompt = n_prompt or max(1, min(N_PROMPT, model.n_ctx - n_generate - 1))
    needed = n_prompt + n_generate + 1
    model.session().close()  # refuses what cannot generate
    if needed > model.n_ctx:
        raise click.UsageError(
            f"--n-prompt and --n-generate need {needed} tokens, and the context holds {model.n_ctx}"
        )
    model.warm_up()
    threads = loading["n_threads"] or llmpy.available_cpus()
    results: dict[str, list[float]] = {"prefill": [], "decode": [], "machine": []}
    for turn in range(rounds):
        if loading["backend"] != "reference":
            with suppress(llmpy.BackendError):  # nothing compiled: "auto" has warned of it
                results["machine"].append(llmpy.read_bandwidth(threads) / 1e9)
        prefill, decode = one_round(model, n_prompt, n_generate, turn)
        results["prefill"].append(prefill)
        results["decode"].append(decode)
    gigabytes = bytes_per_token(model) / 1e9
    summary: dict[str, Any] = {
        "model": str(path),
        "n_threads": threads,
        "n_prompt": n_prompt,
        "n_generate": n_generate,
        "prefill_tokens_per_second": statistics.median(results["prefill"]),
        "decode_tokens_per_second": statistics.median(results["decode"]),
        "decode_gigabytes_per_second": statistics.median(results["decode"]) * gigabytes,
        "machine_gigabytes_per_second": statistics.median(results["machine"] or [0.0]) or None,
        "rounds": results,
    }
    tables = operations(model, n_prompt, n_generate, rounds) if ops else {}
    if as_json:
        for part, trace in tables.items():
            summary[f"{part}_operations"] = [row._asdict() for row in trace.operations]
        click.echo(json.dumps(summary))
        return
    click.echo(in_words(summary))
    for part, trace in tables.items():
        click.echo(f"\n{part} of {n_prompt if part == 'prefill' else n_generate} tokens, {trace}")


def operations(
    model: llmpy.Model, n_prompt: int, n_generate: int, turn: int
) -> dict[str, llmpy.Trace]:
    """The times of the operations of one prefill and one decode."""
    import llmpy

    traces = {}
    with model.session(sampler=llmpy.greedy()) as session:
        with model.trace() as traces["prefill"]:
            session.feed(prompt(model, n_prompt, turn))
        with model.trace() as traces["decode"]:
            for _ in range(n_generate):
                session.next_token()
    return traces


def in_words(summary: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        f"threads: {summary['n_threads']}",
        f"prefill: {summary['prefill_tokens_per_second']:.1f} tokens/s "
        f"({summary['n_prompt']} tokens)",
        f"decode: {summary['decode_tokens_per_second']:.1f} tokens/s "
        f"({summary['n_generate']} tokens), {summary['decode_gigabytes_per_second']:.1f} GB/s",
    ]
    machine = summary["machine_gigabytes_per_second"]
    if machine:
        share = summary["decode_gigabytes_per_second"] / machine
        lines.append(f"memory: {machine:.1f} GB/s read by this machine; decode reached {share:.0%}")
    return "\n".join(lines)
