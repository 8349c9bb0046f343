"""What importing the package costs, in modules: what is not needed is not loaded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from llmpy.cli import COMMANDS, group

HEAVY = {"numpy", "tokenizers", "rich", "prompt_toolkit", "jinja2"}
NETWORK = {"asyncio", "email", "http", "ssl"}
# What a program that loads a GGUF file and generates text has no use for.
UNUSED = {
    "asyncio", "click", "email", "http", "jinja2", "llguidance", "pydantic", "rich", "shutil",
    "socket", "ssl", "subprocess", "tempfile", "torch", "urllib.request",
    "llmpy.chat", "llmpy.checkpoint.folder", "llmpy.checkpoint.huggingface",
    "llmpy.checkpoint.vocabulary", "llmpy.constraints", "llmpy.format.ggml",
    "llmpy.format.safetensors", "llmpy.hub.finding", "llmpy.hub.pulling", "llmpy.hub.store",
    "llmpy.hub.web", "llmpy.quantization", "llmpy.server", "llmpy.session.saved",
    "llmpy.session.snapshot", "llmpy.tools",
}  # fmt: skip


def loaded_by(statement: str) -> set[str]:
    """Modules that a statement loads in a fresh Python."""
    code = f"import sys\nbefore = set(sys.modules)\n{statement}\nprint(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_llmpy_loads_no_numpy_and_nothing_of_its_own() -> None:
    loaded = loaded_by("import llmpy")
    assert {name for name in loaded if name.startswith("llmpy.")} == set()
    assert loaded.isdisjoint({"numpy", "typing", "dataclasses"})


def test_load_imports_only_what_loading_needs() -> None:
    assert loaded_by("import llmpy; llmpy.load") & UNUSED == set()


def test_loading_a_file_and_generating_import_only_what_they_need(
    shared_data: Callable[[str], Path],
) -> None:
    path = shared_data("weights/stories260K/stories260K.gguf")
    program = (
        "import llmpy\n"
        f"session = llmpy.load({str(path)!r}, n_threads=1).session(seed=1)\n"
        "session.infer('Once', max_tokens=3)"
    )
    assert loaded_by(program) & UNUSED == set()


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"convert", "serve"}))
def test_a_command_loads_nothing_heavy_before_it_runs(command: str) -> None:
    loaded = loaded_by(f"import llmpy.cli.{command.replace('-', '_')}")
    assert "click" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize(
    ("arguments", "unused"), [(["chat", "--help"], HEAVY), (["--help"], HEAVY | NETWORK)]
)
def test_help_loads_nothing_heavy(arguments: list[str], unused: set[str]) -> None:
    loaded = loaded_by(
        "import contextlib, io\n"
        "from llmpy.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    main({arguments})\n"
    )
    assert "click" in loaded
    assert loaded.isdisjoint(unused)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_command_is_listed_with_the_first_sentence_of_its_help(command: str) -> None:
    found = group.get_command(click.Context(group), command)
    assert found is not None
    assert COMMANDS[command] == found.get_short_help_str(1000)
