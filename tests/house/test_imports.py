"""What importing the package costs, in modules: what is not needed is not loaded."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from llmpy.cli import COMMANDS, group


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh Python has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_llmpy_loads_no_command_line_and_no_framework() -> None:
    heavy = {"click", "rich", "torch", "jinja2", "llguidance", "pydantic"}
    assert loaded_by("import llmpy; llmpy.load").isdisjoint(heavy)


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"convert", "serve"}))
def test_a_command_loads_nothing_heavy_before_it_runs(command: str) -> None:
    loaded = loaded_by(f"import llmpy.cli.{command.replace('-', '_')}")
    assert "click" in loaded
    assert loaded.isdisjoint({"numpy", "tokenizers", "rich", "prompt_toolkit", "jinja2"})


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_by(
        "import contextlib, io\n"
        "from llmpy.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main(['chat', '--help'])\n"
    )
    assert "click" in loaded
    assert loaded.isdisjoint({"numpy", "tokenizers", "rich", "prompt_toolkit", "jinja2"})


def test_the_list_of_commands_loads_no_network() -> None:
    loaded = loaded_by(
        "import contextlib, io\n"
        "from llmpy.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main(['--help'])\n"
    )
    assert "click" in loaded
    assert loaded.isdisjoint({"asyncio", "email", "http", "numpy", "ssl"})


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_command_is_listed_with_the_first_sentence_of_its_help(command: str) -> None:
    found = group.get_command(click.Context(group), command)
    assert found is not None
    assert COMMANDS[command] == found.get_short_help_str(1000)
