"""Write the pages of docs/ that follow from code: ops.md, cli.md, models.md, api/, parts of others

python tools/generate_docs.py           write them
python tools/generate_docs.py --check   only say which are out of date (exit code 1)
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from llmpy.arch.base import architectures
from llmpy.backends.gpu.device import KERNELS
from llmpy.backends.gpu.tensors import TYPES
from llmpy.backends.reference.backend import OPERATIONS
from llmpy.cli import group
from llmpy.cli.chatting.commands import COMMANDS, Command
from llmpy.constraints.schema.document import UNSUPPORTED
from llmpy.constraints.schema.formats import FORMATS, REFUSED_FORMATS
from llmpy.constraints.schema.formula import KEYWORDS
from llmpy.constraints.schema.keywords import LIMITS
from llmpy.graph import OPS

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.arch import checkpoints  # noqa: E402
from tools import api_docs, app_docs, server_docs  # noqa: E402

DOCS = ROOT / "docs"
NOTE = "<!-- Written by tools/generate_docs.py: change the code, then run it again. -->"
KEYWORDS_BEGIN = "<!-- keywords: written by tools/generate_docs.py -->\n"
KEYWORDS_END = "<!-- end of keywords -->"
KERNELS_BEGIN = "<!-- kernels: written by tools/generate_docs.py -->\n"
KERNELS_END = "<!-- end of kernels -->"
INTRODUCTION = """\
What runs, by the name in `general.architecture` of a GGUF file. A checkpoint of Hugging Face is
known by the `model_type` of its config.json. Each architecture has tiny models with random
weights in `tests/arch`, on which it is compared: `transformers` is the largest difference of
logits to that implementation in float32, on both of our backends, all tokens at once and one
after another; `llama.cpp` the largest difference of its logits, on the GGUF file that we wrote,
to those same. Both are parts of the largest logit. llama.cpp looks the GELU up in a table of
float16, which alone makes up to 4e-4."""


def operations() -> str:
    """docs/ops.md: the operation table, and what the reference backend says of each."""
    lines = [
        "# Operations",
        "",
        NOTE,
        "",
        "What a graph is made of. Arrays are `[T, ...]`, T the tokens of the batch; `x` are",
        "values, `w` weights. `src/llmpy/graph/shapes.py` has the shapes, and",
        "`src/llmpy/backends/reference/ops.py` the definition of each in NumPy; every other",
        "backend is tested against it.",
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
        usage = " ".join(
            ["llmpy", name, "[OPTIONS]", *(str(a.metavar or a.name).upper() for a in arguments)]
        )
        lines += ["", f"## {usage}", "", *inspect.cleandoc(command.help or "").splitlines(), ""]
        lines += ["| option | value | meaning |", "|---|---|---|"]
        lines += [_option(p) for p in command.params if isinstance(p, click.Option)]
        if name == "chat":
            lines += ["", "In the conversation:", "", "| command | meaning |", "|---|---|"]
            lines += [_command(found) for found in COMMANDS.values()]
    return "\n".join(lines) + "\n"


def _command(command: Command) -> str:
    written = f"/{command.name} {command.argument}".strip()
    return f"| `{_cell(written)}` | {_cell(command.help)} |"


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


def models() -> str:
    """docs/models.md: each architecture, and how far it is from other implementations."""
    measured = {name: _about(name) for name in checkpoints.goldens()}
    lines = ["# Models", "", NOTE, "", *INTRODUCTION.splitlines(), ""]
    lines += ["| architecture | what it is | model_type | transformers | llama.cpp | features |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, kind in architectures().items():
        rows = [row for row in measured.values() if row.get("architecture") == name]
        lines.append(
            f"| `{name}` | {_subject(kind)} | {_types(name, kind)} | {_original(rows)} "
            f"| {_peer(rows)} | {_features(rows)} |"
        )
    return "\n".join(lines + _remarks(measured)) + "\n"


def _about(name: str) -> dict[str, Any]:
    """What the golden of a tiny model keeps of measurements, and of llama.cpp's verdict."""
    about = checkpoints.load_golden(name).about
    found = {k: about[k] for k in ("original",) if k in about} | about.get("measured", {})
    peer, why = about.get("peer") or {}, checkpoints.spec(name).peer
    if "unknown" in peer:
        found["llama.cpp"] = "unknown"
    elif why:
        found["llama.cpp"] = why
    elif "difference" in peer:
        found["llama.cpp"] = float(f"{peer['difference']:.0e}")
    return found


def _subject(kind: type[Any]) -> str:
    doc = inspect.cleandoc(sys.modules[kind.__module__].__doc__ or "")
    return " ".join(doc.split("\n\n")[0].split()).removesuffix(".")


def _types(name: str, kind: type[Any]) -> str:
    recipes = [c for c in getattr(kind, "checkpoints", ()) if c.name == name]
    return ", ".join(f"`{t}`" for recipe in recipes for t in recipe.model_types)


def _original(rows: list[dict[str, Any]]) -> str:
    own = [row for row in rows if "original" not in row]
    return _largest([row.get(b) for row in own for b in ("reference", "cpu")])


def _peer(rows: list[dict[str, Any]]) -> str:
    """Where it has no say in one model, another may; where it made the golden, that is compared."""
    made = [row.get(b) for row in rows if "original" in row for b in ("reference", "cpu")]
    theirs = [row.get("llama.cpp") for row in rows]
    numbers = [x for x in (*made, *theirs) if isinstance(x, float)]
    return _largest(numbers) if numbers else "unknown to it" if "unknown" in theirs else ""


def _largest(numbers: list[Any]) -> str:
    known = [number for number in numbers if number is not None]
    return f"{max(known):.0e}".replace("e-0", "e-") if known else ""


def _features(rows: list[dict[str, Any]]) -> str:
    return ", ".join(dict.fromkeys(word for row in rows for word in row["features"]))


def _remarks(measured: dict[str, Any]) -> list[str]:
    """Where llama.cpp computes something else on purpose."""
    theirs = {name: row.get("llama.cpp") for name, row in measured.items()}
    others = {k: v for k, v in theirs.items() if isinstance(v, str) and v != "unknown"}
    lines = ["", "Of these models llama.cpp is no judge:", ""] if others else []
    lines += [f"- {name}: {why}" for name, why in others.items()]
    return lines


def typed() -> str:
    """docs/typed.md: the page as it is, with the tables of keywords and formats anew."""
    page = (DOCS / "typed.md").read_text(encoding="utf-8")
    before, _, rest = page.partition(KEYWORDS_BEGIN)
    _, _, after = rest.partition(KEYWORDS_END)
    lines = ["", "| keyword | supported |", "|---|---|"]
    lines += [f"| `{name}` | {_cell(LIMITS.get(name, 'yes'))} |" for name in KEYWORDS]
    lines += [f"| `{name}` | no: {hint} |" for name, hint in UNSUPPORTED.items()]
    lines += ["", "Other keywords say nothing about values. Formats that are checked, each value"]
    lines += ["of which is one of that format: " + _listed(FORMATS) + "."]
    lines += ["Formats that are refused: " + _listed(sorted(REFUSED_FORMATS)) + "; others say"]
    lines += ["nothing.", ""]
    return before + KEYWORDS_BEGIN + "\n".join(lines) + KEYWORDS_END + after


def gpu() -> str:
    """docs/gpu.md: the page as it is, with the tables of kernels and types anew."""
    page = (DOCS / "gpu.md").read_text(encoding="utf-8")
    before, _, rest = page.partition(KERNELS_BEGIN)
    _, _, after = rest.partition(KERNELS_END)
    lines = ["| kernel | computes | an item is |", "|---|---|---|"]
    for name, kernel in KERNELS.items():
        item = f"a workgroup of {kernel.lanes}" if kernel.lanes else "an invocation"
        lines.append(f"| `{name}` | {_cell(kernel.meaning)} | {item} |")
    lines += ["", f"Weight types: {_listed(TYPES)} as they are; others become `F16`."]
    return before + KERNELS_BEGIN + "\n".join(lines) + "\n" + KERNELS_END + after


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


PAGES: dict[str, Callable[[], str]] = {
    "typed.md": typed,
    "gpu.md": gpu,
    "ops.md": operations,
    "cli.md": commands,
    "models.md": models,
    "server-fields.md": lambda: server_docs.fields(NOTE),
    "app.md": lambda: app_docs.page((DOCS / "app.md").read_text(encoding="utf-8")),
}


def pages() -> dict[str, str]:
    """The text of each page by its path under docs/."""
    return {**{name: page() for name, page in PAGES.items()}, **api_docs.pages(NOTE)}


def stale() -> list[str]:
    """Names of the pages that are not what they would be written as, or should not be there."""
    made = pages()
    there = {path.relative_to(DOCS).as_posix() for path in (DOCS / "api").glob("*.md")}
    return [name for name in {**made, **dict.fromkeys(there)} if _text(name) != made.get(name)]


def write() -> None:
    """Write the pages that are not up to date."""
    made = pages()
    for name in stale():
        path = DOCS / name
        if name not in made:
            path.unlink()
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(made[name], encoding="utf-8", newline="\n")
        print(f"wrote docs/{name}")


def _text(name: str) -> str | None:
    path = DOCS / name
    return path.read_text(encoding="utf-8") if path.is_file() else None


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description="Write the pages of docs/ that follow from code.")
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    if not parser.parse_args().check:
        write()
        return 0
    names = stale()
    for name in names:
        print(f"docs/{name} is out of date: run python tools/generate_docs.py")
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
