"""The configuration of the bot: a TOML file, written with comments on the first start."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from llmpy.apps.configs import ModelCommand, read_toml, write_new

__all__ = ["EXAMPLE", "Command", "Config", "Limits", "read_config", "write_example"]

NAME = re.compile(r"[-_a-z0-9]{1,32}")
EXAMPLE = """\
# The Discord bot of llmpy. Fill in the token, then start `llmpy discord` again.
#
# The token: https://discord.com/developers/applications, New Application, then Bot, Reset Token.
# Invite the bot with OAuth2, URL Generator: scopes "bot" and "applications.commands",
# permissions "Send Messages" and "Send Messages in Threads".

token = ""                # or the environment variable LLMPY_DISCORD_TOKEN
model = ""                # a name of `llmpy ls`, or a file; "": the default model
n_ctx = 4096              # context of each conversation, in tokens
message_content = false   # true: replies without a ping are answered too; needs "Message Content
                          # Intent" on the page of the bot

[limits]
running = 8               # answers that are generated at once, in one batch
running_per_user = 2      # answers of one user that wait or run
per_hour_per_user = 60
seconds = 600             # longest time for an answer; Discord allows 840 at most
edit_seconds = 1.2        # time between two edits of a message
chats = 16                # conversations whose KV caches are kept in memory
answers = 20000           # answers that can be replied to; the least recently used are forgotten

[allow]                   # ids; an empty list allows everyone
users = []
servers = []
channels = []

[[commands]]
name = "ask"
description = "Ask the model"
max_tokens = 1000

[[commands]]
name = "translate"
description = "Translate a text to English"
prompt = "Translate this text to English:\\n\\n{{PROMPT}}"
system = "You are a translator. Reply with the translation only."
temperature = 0.0
# model = "another-model"
# template = "alpaca"     # a named chat template, for models that have none
# top_k, top_p, min_p, repeat_penalty, seed, or the whole sampler as a string:
# sampler = "top-k:k=40/temperature:0.7"
"""


class Limits(msgspec.Struct, forbid_unknown_fields=True):
    """The most that the bot does at once, and for how long."""

    running: int = 8
    running_per_user: int = 2
    per_hour_per_user: int = 60
    seconds: float = 600
    edit_seconds: float = 1.2
    chats: int = 16
    answers: int = 20000


class Allow(msgspec.Struct, forbid_unknown_fields=True):
    """The ids of those that may use the bot; an empty list allows everyone."""

    users: list[int] = []
    servers: list[int] = []
    channels: list[int] = []

    def allows(self, user: int, server: int | None, channel: int | None) -> bool:
        """Return whether a user may ask in that place."""
        given = ((self.users, user), (self.servers, server), (self.channels, channel))
        return all(not listed or one in listed for listed, one in given)


class Command(ModelCommand, forbid_unknown_fields=True):
    """A slash command."""

    description: str = "Ask the model"


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file."""

    token: str = ""
    model: str = ""
    n_ctx: int = 4096
    message_content: bool = False
    limits: Limits = msgspec.field(default_factory=Limits)
    allow: Allow = msgspec.field(default_factory=Allow)
    commands: list[Command] = msgspec.field(default_factory=lambda: [Command("ask")])


def write_example(path: Path) -> None:
    """Write a configuration to be filled in, which only its owner can read."""
    write_new(path, EXAMPLE)


def read_config(path: Path) -> Config:
    """Read the file; ValueError says in one line what is wrong with it and what to do."""
    config = read_toml(path, Config)
    config.token = (config.token or os.environ.get("LLMPY_DISCORD_TOKEN", "")).strip()
    if not config.token:
        raise ValueError(
            f"{path}: token: expected the token of your bot, found none: copy it from "
            "https://discord.com/developers/applications (Bot, Reset Token)"
        )
    try:
        _check(config)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return config


def _check(config: Config) -> None:
    numbers = {
        f"limits.{name}": value for name, value in msgspec.structs.asdict(config.limits).items()
    }
    for name, value in {"n_ctx": config.n_ctx, **numbers}.items():
        if not value > 0:
            raise ValueError(f"{name}: expected more than 0, found {value}")
    if config.limits.seconds > 840:
        raise ValueError(
            f"limits.seconds: expected at most 840, as long as Discord allows to edit an answer, "
            f"found {config.limits.seconds:g}"
        )
    names = [command.name for command in config.commands]
    if not names or len(names) > 100:
        raise ValueError(f"commands: expected 1 to 100, found {len(names)}")
    for command in config.commands:
        if not NAME.fullmatch(command.name) or names.count(command.name) > 1:
            raise ValueError(
                f"commands: name: expected 1 to 32 small letters, digits, '-' and '_', each name "
                f"once, found {command.name!r}"
            )
        if not 1 <= len(command.description) <= 100:
            raise ValueError(
                f"commands: {command.name}: description: expected 1 to 100 characters, found "
                f"{len(command.description)}"
            )
        command.check()
