"""The options --schema, --regex, --grammar and --choices, and --logprobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from llmpy.cli.options import PATH, quoted, text_of
from llmpy.cli.streams import note

if TYPE_CHECKING:
    import llmpy

__all__ = ["check_whole", "constraint_options", "note_logprobs", "written_logprobs"]

F = TypeVar("F", bound=Callable[..., Any])
OPTIONS = ("schema", "regex", "grammar", "choices")


def constraint_options(function: F) -> F:
    """Add the options, of which the function gets `constrain` and `logprobs`."""

    @wraps(function)
    def command(
        schema: Path | None,
        regex: str | None,
        grammar: Path | None,
        choices: str | None,
        **others: Any,
    ) -> Any:
        given = (schema, regex, grammar, choices)
        return function(constrain=_constraint(*given), **others)

    for option in reversed(
        [
            click.option(
                "--schema",
                type=PATH,
                metavar="FILE",
                help="The answer is JSON that is valid by the JSON schema in this file.",
            ),
            click.option(
                "--regex", metavar="PATTERN", help="The answer matches this regular expression."
            ),
            click.option(
                "--grammar",
                type=PATH,
                metavar="FILE",
                help="The answer follows the grammar in this file (Lark, or GBNF).",
            ),
            click.option("--choices", metavar="A,B,...", help="The answer is one of these texts."),
            click.option(
                "--logprobs",
                type=click.IntRange(0),
                metavar="N",
                help="Print the log-probability of each token, and the N most likely, on stderr.",
            ),
        ]
    ):
        command = option(command)
    return command  # type: ignore[return-value]


def _constraint(
    schema: Path | None, regex: str | None, grammar: Path | None, choices: str | None
) -> llmpy.Constraint | None:
    """Return the constraint that was given; UsageError for several, and for one with mistakes."""
    given = (schema, regex, grammar, choices)
    names = [f"--{n}" for n, value in zip(OPTIONS, given, strict=True) if value is not None]
    if not names:
        return None
    if len(names) > 1:
        raise click.UsageError(f"expected one of {', '.join(names)}, found {len(names)}")
    import llmpy

    try:
        if schema is not None:
            return llmpy.json_schema(_json(schema))
        if regex is not None:
            return llmpy.regex(regex)
        if grammar is not None:
            return llmpy.grammar(text_of(grammar))
        assert choices is not None
        return llmpy.choices(choice.strip() for choice in choices.split(","))
    except (llmpy.ConstraintError, TypeError) as error:
        raise click.UsageError(f"{names[0]}: {error}") from error


def _json(file: Path) -> Any:
    try:
        return json.loads(text_of(file))
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"--schema: {file}: expected JSON: {error}") from error


def check_whole(constrain: llmpy.Constraint | None, reason: str) -> None:
    """Raise ClickException where a constrained answer ended before it was whole."""
    causes = {"length": "-n was reached", "context": "the context is full", "stop": "--stop came"}
    if constrain is not None and reason in causes:
        raise click.ClickException(f"the answer is not whole: {causes[reason]}")


def written_logprobs(
    tokenizer: llmpy.Tokenizer, pieces: Iterable[llmpy.Piece]
) -> dict[str, list[dict[str, Any]]]:
    """Return what `--json` prints of the log-probabilities of tokens; nothing without any."""

    def entry(token: int, logprob: float) -> dict[str, Any]:
        return {"token": token, "text": tokenizer.token(token), "logprob": logprob}

    found = [
        {
            **entry(piece.token, piece.logprobs.chosen),
            "top": [entry(*t) for t in piece.logprobs.top],
        }
        for piece in pieces
        if piece.logprobs is not None and piece.token is not None
    ]
    return {"logprobs": found} if found else {}


def note_logprobs(tokenizer: llmpy.Tokenizer, pieces: Iterable[llmpy.Piece]) -> None:
    """Print the log-probabilities of generated tokens on stderr, a token a line."""
    for one in written_logprobs(tokenizer, pieces).get("logprobs", ()):
        top = "  ".join(f"{quoted(t['text'])} {t['logprob']:.3f}" for t in one["top"])
        note(f"{one['logprob']:9.3f}  {quoted(one['text'])}" + (f"   {top}" if top else ""))
