"""The options --tools, functions of a Python file that the model may call, and --tool-choice."""

from __future__ import annotations

import inspect
import json
import runpy
from collections.abc import Callable, Generator
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from llmpy.cli.options import PATH

if TYPE_CHECKING:
    import llmpy

__all__ = ["functions_in", "steps", "tools_in", "tools_option"]

F = TypeVar("F", bound=Callable[..., Any])
MODULE = "llmpy_tools"
EXCLUDED = ("constrain", "logprobs", "explain")
LONGEST = 200  # characters of a result that are shown


def tools_option(function: F) -> F:
    """Add the options, of which the function gets `calling`: tools and choice for `Chat.run`."""

    @wraps(function)
    def command(tools: Path | None, tool_choice: str, **others: Any) -> Any:
        excluded = [name for name in EXCLUDED if others.get(name) not in (None, False)]
        if tools is not None and excluded:
            raise click.UsageError("--tools excludes constraints of the answer and --logprobs")
        found = tools_in(tools, tool_choice)
        calling = None if found is None else {"tools": found, "tool_choice": tool_choice}
        return function(calling=calling, **others)

    for option in (
        click.option(
            "--tool-choice",
            default="auto",
            show_default=True,
            metavar="CHOICE",
            help="Whether the model calls a tool first: auto, required, none, or a name.",
        ),
        click.option(
            "--tools",
            type=PATH,
            metavar="FILE.py",
            help="The model may call the functions that this file defines; each needs a docstring. "
            "Calls are shown on stderr.",
        ),
    ):
        command = option(command)
    return command  # type: ignore[return-value]


def tools_in(file: Path | None, choice: str) -> list[llmpy.Tool] | None:
    """Return the functions that a file defines, as tools; UsageError where there are none."""
    if file is None:
        if choice not in ("auto", "none"):
            raise click.UsageError("--tool-choice needs --tools")
        return None
    import llmpy

    functions = functions_in(file, "--tools")
    try:
        tools = [llmpy.Tool.of(function) for function in functions]
    except (TypeError, ValueError) as error:  # ConstraintError is one of these
        raise click.UsageError(f"--tools: {file}: {error}") from error
    known = ["auto", "required", "none", *(tool.name for tool in tools)]
    if choice not in known:
        raise click.UsageError(f"--tool-choice: expected {', '.join(known)}, found {choice!r}")
    return tools


def functions_in(file: Path, option: str) -> list[Callable[..., Any]]:
    """Run a file, and return the functions that it defines; UsageError where there are none.

    Its `__all__`, if it has one, says which functions are meant; else they are those whose names do
    not begin with "_".
    """
    try:
        names = runpy.run_path(str(file), run_name=MODULE)
    except Exception as error:
        raise click.UsageError(f"{option}: {file}: {type(error).__name__}: {error}") from error
    chosen = names.get("__all__")
    functions: list[Callable[..., Any]] = [
        value
        for name, value in names.items()
        if inspect.isfunction(value)
        and (name in chosen if chosen is not None else value.__module__ == MODULE)
        and (chosen is not None or not name.startswith("_"))
    ]
    if not functions:
        raise click.UsageError(f"{option}: {file}: expected functions, found none")
    return functions


def steps(pieces: Generator[llmpy.Piece]) -> Generator[llmpy.Piece]:
    """Give the pieces of `Chat.run`, with calls and their results as thinking, a line each."""
    with closing(pieces):
        for piece in pieces:
            call = piece.tool_call
            if call is None:
                yield piece
            elif piece.kind == "tool_call":
                values = (f"{k}={json.dumps(v)}" for k, v in call.arguments.items())
                text = f"{call.name}({', '.join(values)})\n"
                yield piece._replace(kind="thinking", text=text)
            else:
                shown = " ".join(piece.text.split())
                shown = shown if len(shown) <= LONGEST else shown[: LONGEST - 3] + "..."
                yield piece._replace(kind="thinking", text=f"-> {shown}\n")
