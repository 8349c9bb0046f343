"""`llmpy anywhere`: completion at the cursor of any program."""

from __future__ import annotations

from pathlib import Path

import click

from llmpy.cli.options import config_option
from llmpy.cli.streams import note


@click.command(name="anywhere")
@config_option("anywhere")
@click.option("--check", is_flag=True, help="Check the configuration, and do not start.")
@click.option("--once", is_flag=True, help="Run a command now, and end.")
@click.option(
    "--clipboard", is_flag=True, help="With --once: answer the text of the clipboard, there."
)
@click.option("--command", "name", metavar="NAME", help="The command of --once.  [the first]")
def command(path: Path, check: bool, once: bool, clipboard: bool, name: str | None) -> None:
    """Complete the text at the cursor of any program, when keys are pressed.

    The first start writes the configuration: keys, and what they do. --once is for keys that the
    desktop's own settings bind.
    """
    if (clipboard or name is not None) and not once:
        raise click.UsageError("--clipboard and --command need --once")
    from llmpy.apps import anywhere

    if not path.exists():
        anywhere.write_example(path)
        note(f"wrote {path}: keys and commands are set there")
    given = anywhere.read_config(path)
    if check:
        names = ", ".join(f"{one} {command.name}" for one, command in given.chords().items())
        note(f"{path} is fine: {names}")
        return
    if once:
        anywhere.run_once(given, note, name, clipboard)
    else:
        anywhere.run(given, note)
