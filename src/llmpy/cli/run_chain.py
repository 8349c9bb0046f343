"""`llmpy run-chain`: run a chain of a YAML file, streaming what its last step writes."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from llmpy.cli.options import PATH, n_ctx_option, stdin_text, text_of
from llmpy.cli.streams import note
from llmpy.cli.terminal import cleaned, for_terminal
from llmpy.cli.tooling import functions_in


@click.command(name="run-chain")
@click.option(
    "-m", "--model", metavar="MODEL", help="The model of steps that name none.  [the default model]"
)
@click.option("--embedder", metavar="MODEL", help="The model that embeds texts, for searches.")
@n_ctx_option
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A value that the chain reads; @FILE in place of VALUE reads it from that file.",
)
@click.option(
    "--functions",
    type=PATH,
    metavar="FILE.py",
    help="The chain may call the functions that this file defines; the file is run.",
)
@click.option("--cache", type=PATH, metavar="FILE", help="Keep results in this file, and use them.")
@click.option("--trace", type=PATH, metavar="FILE", help="Append what happens as lines of JSON.")
@click.option(
    "--memory", type=PATH, metavar="FILE", help="Conversations go on from this JSON file, into it."
)
@click.option("--show", is_flag=True, help="Print the chain with its types, and do not run it.")
@click.option("--json", "as_json", is_flag=True, help="Print the value of the chain as JSON.")
@click.argument("file", metavar="CHAIN.yaml", type=PATH)
@click.argument("text", metavar="[TEXT]", required=False)
def command(
    model: str | None,
    embedder: str | None,
    n_ctx: int | None,
    settings: tuple[str, ...],
    functions: Path | None,
    cache: Path | None,
    trace: Path | None,
    memory: Path | None,
    show: bool,
    as_json: bool,
    file: Path,
    text: str | None,
) -> None:
    """Run a chain; TEXT is its value `text` ("-": what stdin holds)."""
    from llmpy import chains

    chain = chains.load(file)
    if show:
        click.echo(chain)
        return
    values = _values(chain, settings, text)
    kept = json.loads(text_of(memory)) if memory is not None and memory.exists() else {}
    runner = chains.Runner(
        model,
        embedder=embedder,
        functions=functions_in(functions, "--functions") if functions is not None else (),
        cache=cache,
        trace=trace,
        memory=kept,
        **({} if n_ctx is None else {"n_ctx": n_ctx}),
    )
    with runner, closing(runner.stream(chain, **values)) as events:
        value = _shown(events, chain, as_json)
    if memory is not None:
        memory.write_text(json.dumps(kept, ensure_ascii=False, indent=1), encoding="utf-8")
    if as_json:
        click.echo(chains.value_json(value))


def _shown(events: Any, chain: Any, as_json: bool) -> Any:
    """Print the text of the last step as it comes, and on a terminal the steps before it."""
    steps = getattr(chain, "steps", ())
    last = f"{len(steps)} {steps[-1].kind}" if steps else chain.kind
    written, value = "", None
    for event in events:
        value = event.value
        if event.kind == "text" and event.path == last and not as_json:
            written += event.text
            sys.stdout.write(for_terminal(event.text, sys.stdout))
            sys.stdout.flush()
        elif event.kind in ("start", "cached") and sys.stderr.isatty():
            note(cleaned(f"{event.path}: {event.kind}"))
    if not as_json:
        from llmpy import chains

        text = chains.as_text(value)
        rest = text[len(written) :] if text.startswith(written) else f"\n{text}"
        click.echo(for_terminal(rest, sys.stdout))
    return value


def _values(chain: Any, settings: tuple[str, ...], text: str | None) -> dict[str, Any]:
    """Return the inputs of the chain; UsageError for what it lacks."""
    values: dict[str, Any] = {}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign or not name:
            raise click.UsageError(f"--set: expected NAME=VALUE, found {setting!r}")
        values[name] = text_of(Path(value[1:])) if value.startswith("@") else value
    if text is not None:
        values["text"] = stdin_text() if text == "-" else text
    if missing := [name for name in chain.needs if name not in values]:
        raise click.UsageError(
            f"the chain reads {', '.join(chain.needs)}: give "
            + ", ".join("TEXT" if name == "text" else f"--set {name}=VALUE" for name in missing)
        )
    if unread := [name for name in values if name not in chain.needs]:
        reads = ", ".join(chain.needs) or "nothing"
        raise click.UsageError(f"the chain reads {reads}, found a value for {unread[0]!r}")
    return values
