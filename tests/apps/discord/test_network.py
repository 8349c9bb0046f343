"""What networks do: many users at once, cut connections, storms of 429; none lost, none twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from discord.backoff import ExponentialBackoff

import llmpy
from llmpy.apps.discord.bot import Bot
from llmpy.apps.discord.config import Config
from tests.apps.discord.conftest import Scenario
from tests.apps.discord.server import FakeDiscord

Play = Callable[[Scenario], None]
N = 50


async def check(server: FakeDiscord, bot: Bot, tokens: dict[int, str]) -> None:
    """Every user has one answer: what the model gives alone."""
    for token in tokens.values():
        await server.until(lambda token=token: server.is_done(token))
    await server.until(server.is_idle)
    model = await bot.model("")
    for user, token in tokens.items():
        (message,) = server.shown(token)
        with model.chat(template="alpaca", temperature=0.0) as chat:
            text = chat.ask(f"Name city {user}.", max_tokens=12)
        assert message["content"] == f"> Name city {user}.\n{text}"
    assert len(server.messages) == len(tokens)
    assert set(server.deferred.values()) == {1}


def test_fifty_users_at_once_are_answered_once_each(play: Play) -> None:
    async def scenario(server: FakeDiscord, bot: Bot) -> None:
        tokens = {i: await server.slash(i, "ask", f"Name city {i}.") for i in range(1, N + 1)}
        await check(server, bot, tokens)

    play(scenario)


def test_a_dropped_connection_is_resumed_and_nothing_is_lost(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExponentialBackoff, "delay", lambda _self: 0.05)

    async def scenario(server: FakeDiscord, bot: Bot) -> None:
        tokens = {}
        for i in range(1, 31):
            tokens[i] = await server.slash(i, "ask", f"Name city {i}.")
            if i % 10 == 0:
                await server.until(lambda: server.gateway)  # what comes now is sent, or kept
                await server.drop()
        await check(server, bot, tokens)
        assert server.identified == 1
        assert server.resumed == 3

    play(scenario)


def test_a_session_that_is_gone_is_begun_again(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExponentialBackoff, "delay", lambda _self: 0.05)

    async def scenario(server: FakeDiscord, bot: Bot) -> None:
        server.session = "another"
        await server.drop()
        await server.until(lambda: server.identified == 2)
        await check(server, bot, {1: await server.slash(1, "ask", "Name city 1.")})

    play(scenario)


def test_a_command_that_comes_too_late_is_dropped(play: Play) -> None:
    async def scenario(server: FakeDiscord, bot: Bot) -> None:
        server.patience = -1.0
        await server.slash(1, "ask", "Name city 1.")
        await server.until(lambda: any(status == 404 for _, _, status in server.requests))
        await server.until(server.is_idle)
        server.patience = 100.0
        server.interactions.clear()
        await check(server, bot, {2: await server.slash(2, "ask", "Name city 2.")})

    play(scenario)


def test_an_event_that_comes_twice_is_answered_once(play: Play) -> None:
    async def scenario(server: FakeDiscord, bot: Bot) -> None:
        token = await server.slash(1, "ask", "Name city 1.")
        await server.dispatch("INTERACTION_CREATE", server.history[-1]["d"])
        await check(server, bot, {1: token})

    play(scenario)


def test_heartbeats_are_sent_while_answers_are_written(play: Play) -> None:
    async def scenario(server: FakeDiscord, _bot: Bot) -> None:
        n = server.heartbeats
        for i in range(8):
            await server.slash(i, "story", "upon a time", i)
        await server.until(lambda: server.heartbeats > n + 2)

    play(scenario)


def test_a_storm_of_429_delays_answers_and_loses_none(play: Play) -> None:
    seen: Counter[str] = Counter()

    def storm(method: str, path: str) -> float | None:
        """Refuse the first seven of each kind of request of an interaction: more than one retry."""
        kind = f"{method} {path.split('/')[2]} {path.split('/')[-1]}"
        seen[kind] += 1
        return 0.02 if "interaction-" in path and seen[kind] <= 7 else None

    async def scenario(server: FakeDiscord, bot: Bot) -> None:
        server.limit = storm
        tokens = {i: await server.slash(i, "ask", f"Name city {i}.") for i in range(1, 11)}
        await check(server, bot, tokens)
        assert sum(status == 429 for _, _, status in server.requests) >= 7 * 10
        assert server.too_early == []

    play(scenario)


def test_replies_in_a_storm_are_sent_once(play: Play) -> None:
    async def scenario(server: FakeDiscord, bot: Bot) -> None:
        token = await server.slash(1, "ask", "Name city 1.")
        await check(server, bot, {1: token})
        refused: Counter[str] = Counter()

        def storm(method: str, path: str) -> float | None:
            refused[f"{method} {path}"] += 1
            return 0.02 if refused[f"{method} {path}"] <= 6 else None

        server.limit = storm
        message = await server.reply(1, int(server.shown(token)[0]["id"]), "And another?")
        await server.until(lambda: server.replies(int(message["id"])))
        await server.until(server.is_idle)
        assert len(server.replies(int(message["id"]))) == 1
        assert not server.replies(int(message["id"]))[0]["components"]

    play(scenario)


def test_a_real_model_answers(play: Play, config: Config, smollm2: Path) -> None:
    config.model = str(smollm2)
    config.commands[0].template = None

    async def scenario(server: FakeDiscord, bot: Bot) -> None:
        token = await server.slash(1, "ask", "Name a city.")
        await server.until(lambda: server.is_done(token))
        model: llmpy.Model = await bot.model("")
        with model.chat(temperature=0.0) as chat:
            text = chat.ask("Name a city.", max_tokens=12)
        assert server.shown(token)[0]["content"] == f"> Name a city.\n{text}"

    play(scenario)
