"""A bot and the server that it talks to, in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import discord
import pytest
import yarl
from discord.gateway import DiscordWebSocket

import llmpy
from llmpy.apps.discord.bot import Bot
from llmpy.apps.discord.config import Command, Config, Limits
from tests.apps.discord.server import TOKEN, FakeDiscord

Scenario = Callable[[FakeDiscord, Bot], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def served(patch: pytest.MonkeyPatch) -> AsyncIterator[FakeDiscord]:
    """A server, in the place of Discord."""
    server = FakeDiscord()
    await server.start()
    patch.setattr(discord.http.Route, "BASE", f"http://{server.url}/api/v10")
    address = yarl.URL(f"ws://{server.url}/gateway")
    patch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", address)
    try:
        yield server
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def online(server: FakeDiscord, config: Config, folder: Path) -> AsyncIterator[Bot]:
    """A bot that is online until the end of the block."""
    bot = Bot(config, folder, lambda _line: None)
    bot._connection.guild_ready_timeout = 0.05  # 2 s that discord.py waits for more guilds
    async with bot:
        running = asyncio.create_task(bot.start(config.token))
        server.client, server.is_idle = running, lambda: not bot._answers
        await server.until(bot.is_ready)
        yield bot
        server.client = None
        await bot.close()
        await running


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 400 pieces of an answer a second: a tiny model ends before anybody can cancel it."""
    fast = llmpy.Chat.asay

    async def asay(chat: llmpy.Chat, *arguments: Any, **options: Any) -> AsyncIterator[llmpy.Piece]:
        async with contextlib.aclosing(fast(chat, *arguments, **options)) as pieces:
            async for piece in pieces:
                yield piece
                await asyncio.sleep(0.0025)

    monkeypatch.setattr(llmpy.Chat, "asay", asay)


@pytest.fixture
def config(shared_data: Callable[[str], Path]) -> Config:
    """A bot with a tiny model, one command for short answers, one for endless ones."""
    ask = Command("ask", max_tokens=12, temperature=0.0, template="alpaca")
    endless = "ignore-eos/top-k:k=40/temperature:0.9"
    story = Command("story", sampler=endless, template="alpaca", prompt="Once {{PROMPT}}")
    limits = Limits(edit_seconds=0.05, running_per_user=2, running=16)
    model = str(shared_data("weights/stories260K/stories260K.gguf"))
    return Config(TOKEN, model, 512, False, limits, commands=[ask, story])


@pytest.fixture
def play(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Scenario], None]:
    """Runs a scenario with a server and a bot."""

    def run(scenario: Scenario) -> None:
        async def whole() -> None:
            async with served(monkeypatch) as server, online(server, config, tmp_path) as bot:
                await scenario(server, bot)

        asyncio.run(whole())

    return run
