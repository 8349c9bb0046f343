"""Starting the bot, and what can be wrong then, in one line each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import aiohttp
import discord

from llmpy.apps.discord.bot import Bot
from llmpy.apps.discord.config import Config

__all__ = ["run"]


class _Lines(logging.Handler):
    """Says what the library logs, without tracebacks."""

    def __init__(self, say: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Say a record in one line."""
        error = record.exc_info[1] if record.exc_info else None
        cause = f": {type(error).__name__}: {error}" if error is not None else ""
        self._say(" ".join(f"{record.getMessage()}{cause}".split()))


def run(config: Config, folder: Path, say: Callable[[str], object]) -> None:
    """Run the bot until it is interrupted; RuntimeError says why it cannot start.

    `folder` is where conversations are kept; `say` is told what happens, a line each.
    """
    lines = _Lines(say)
    loggers = [logging.getLogger(name) for name in ("discord", "llmpy.discord")]
    for logger in loggers:
        logger.addHandler(lines)
        logger.propagate = False
    try:
        asyncio.run(_run(config, folder, say))
    finally:
        for logger in loggers:
            logger.removeHandler(lines)
            logger.propagate = True


async def _run(config: Config, folder: Path, say: Callable[[str], object]) -> None:
    for warning in ("warn_nacl", "warn_dave"):  # about voice, which is not used
        setattr(discord.VoiceClient, warning, False)
    try:
        async with Bot(config, folder, say) as bot:
            await bot.start(config.token)
    except discord.LoginFailure as error:
        raise RuntimeError(
            "Discord refuses the token: copy it again from https://discord.com/developers/"
            "applications (Bot, Reset Token) into the configuration"
        ) from error
    except discord.PrivilegedIntentsRequired as error:
        raise RuntimeError(
            'message_content = true needs "Message Content Intent": turn it on in https://'
            "discord.com/developers/applications (Bot), or set message_content = false"
        ) from error
    except (aiohttp.ClientConnectionError, discord.GatewayNotFound) as error:
        raise RuntimeError(f"Discord cannot be reached: check the network ({error})") from error
    except discord.HTTPException as error:
        raise RuntimeError(f"Discord refuses a request: {error}") from error
