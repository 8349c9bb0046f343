"""`llmpy repl`: prompts answered one by one, each without those before it."""

from __future__ import annotations

from typing import Any

import click

from llmpy.cli.chat import chat_options, run_chat


@click.command(name="repl")
@chat_options
def command(**options: Any) -> int:
    """Answer prompts one by one, each with a fresh context.

    The options and commands are those of `llmpy chat`. A prelude of {{PROMPT}} alone lets a base
    model go on with what is written.
    """
    return run_chat(options, fresh=True)
