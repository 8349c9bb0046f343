"""Write the pages of docs/ that follow from the code: ops.md and cli.md.

python tools/generate_docs.py           write them
python tools/generate_docs.py --check   only say which are out of date (exit code 1)
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

import click

from llmpy.backends.reference import OPERATIONS
from llmpy.cli import group
from llmpy.graph import OPS

DOCS = Path(__file__).parents[1] / "docs"
NOTE = "<!-- Written by tools/generate_docs.py: change the code, then run it again. -->"


def operations() -> str:
    """docs/ops.md: the operation table, and what the reference backend says of each."""
    lines = [
        "# Operations",
        "",
        NOTE,
        "",
        "What a graph is made of. Arrays are `[T, ...]`, T the tokens of the batch; `x` are",
        "values, `w` weights. `src/llmpy/graph/ops.py` has the shapes, and",
        "`src/llmpy/backends/reference.py` the definition of each in NumPy; every other backend is",
        "tested against it.",
        "",
        "| operation | values | formula | meaning |",
        "|---|---|---|---|",
    ]
    for name, op in OPS.items():
        doc = inspect.getdoc(OPERATIONS[name]) or ""
        meaning = " ".join(doc.split("\n\n")[0].split())
        lines.append(f"| `{name}` | {op.inputs} | `{_cell(op.meaning)}` | {_cell(meaning)} |")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """docs/cli.md: each command with its options."""
    lines = [
        "# The command line",
        "",
        NOTE,
        "",
        "Results go to stdout, progress and stats to stderr. Exit codes: 0 success, 1 failure,",
        "2 wrong usage, 130 interrupted by Ctrl-C.",
    ]
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        arguments = [p for p in command.params if isinstance(p, click.Argument)]
        usage = " ".join(["llmpy", name, "[OPTIONS]", *(str(a.name).upper() for a in arguments)])
        lines += ["", f"## {usage}", "", *inspect.cleandoc(command.help or "").splitlines(), ""]
        lines += ["| option | value | meaning |", "|---|---|---|"]
        lines += [_option(p) for p in command.params if isinstance(p, click.Option)]
    return "\n".join(lines) + "\n"


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    words = [option.help or ""]
    if option.required:
        words.append("Required.")
    elif option.show_default:
        words.append(f"Default: {option.default}.")
    return (
        f"| {names} | {'' if option.is_flag else _kind(option.type)} | {_cell(' '.join(words))} |"
    )


def _kind(kind: click.ParamType) -> str:
    if isinstance(kind, click.Choice):
        return " or ".join(f"`{choice}`" for choice in kind.choices)
    if isinstance(kind, click.IntRange):
        return f"integer, {kind.min} or more" if kind.max is None else "integer"
    return {"float": "number", "path": "path"}.get(kind.name, kind.name)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


PAGES: dict[str, Callable[[], str]] = {"ops.md": operations, "cli.md": commands}


def stale() -> list[str]:
    """Names of the pages that are not what they would be written as."""
    return [
        name
        for name, page in PAGES.items()
        if not (DOCS / name).is_file() or (DOCS / name).read_text(encoding="utf-8") != page()
    ]


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description="Write docs/ops.md and docs/cli.md.")
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    names = stale()
    if parser.parse_args().check:
        for name in names:
            print(f"docs/{name} is out of date: run python tools/generate_docs.py")
        return 1 if names else 0
    for name in names:
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8", newline="\n")
        print(f"wrote docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
