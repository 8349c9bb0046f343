"""`llmpy discord`: a Discord bot that answers with models on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from llmpy.cli.options import config_option
from llmpy.cli.streams import note


@click.command(name="discord")
@config_option("discord")
@click.option("--check", is_flag=True, help="Check the configuration, and do not start.")
def command(path: Path, check: bool) -> None:
    """Run a Discord bot with the slash commands of its configuration.

    The first start writes the configuration, which is to be filled in. Conversations are kept
    beside it.
    """
    try:
        import discord as _library  # noqa: F401
    except ImportError as error:
        raise click.ClickException("the bot needs: pip install 'llmpy[discord]'") from error
    from llmpy.apps import discord

    if not path.exists():
        discord.write_example(path)
        note(f"wrote {path}: fill in the token as it says there, then start llmpy discord again")
        return
    given = discord.read_config(path)
    if check:
        names = ", ".join(f"/{one.name}" for one in given.commands)
        note(f"{path} is fine: {names}")
        return
    discord.run(given, path.parent, note)
