"""The bot against a server that speaks Discord's protocols: answers, buttons, replies, limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import llmpy
from llmpy.apps.discord import answering
from llmpy.apps.discord.bot import Bot
from llmpy.apps.discord.config import Allow, Config
from llmpy.apps.discord.splitting import split
from tests.apps.discord.conftest import Scenario, online, served
from tests.apps.discord.server import CHANNEL, GUILD, FakeDiscord

Play = Callable[[Scenario], None]


async def answered(server: FakeDiscord, token: str) -> str:
    """The text of a complete answer, without the question above it."""
    await server.until(lambda: server.is_done(token))
    text: str = "\n".join(message["content"] for message in server.shown(token))
    return text.partition("\n")[2]


def first(server: FakeDiscord, token: str) -> int:
    """The id of the first message of an answer."""
    return int(server.shown(token)[0]["id"])


async def replied(server: FakeDiscord, user: int, to: int, text: str) -> dict[str, Any]:
    """The complete answer to a reply."""
    await server.until(server.is_idle)
    message = await server.reply(user, to, text)

    def done() -> Any:
        found = server.replies(int(message["id"]))
        return found and not found[0]["components"] and found[0]

    answer: dict[str, Any] = await server.until(done)
    return answer


def asked(model: llmpy.Model, *questions: str, **options: Any) -> str:
    """What a chat answers to the last of some questions."""
    given = {"template": "alpaca", "temperature": 0.0, **options}
    with model.chat(**given) as chat:
        return [chat.ask(question, max_tokens=12) for question in questions][-1]


def test_a_command_is_answered_as_a_chat_answers(play: Play) -> None:
    async def scenario(server: FakeDiscord, bot: Bot) -> None:
        text = await answered(server, await server.slash(1, "ask", "Name a city."))
        assert text == asked(await bot.model(""), "Name a city.")

    play(scenario)


def test_the_commands_of_the_configuration_are_published(play: Play) -> None:
    async def scenario(server: FakeDiscord, _bot: Bot) -> None:
        assert [command["name"] for command in server.commands] == ["ask", "story"]
        prompt, seed = server.commands[0]["options"]
        assert (prompt["name"], prompt["type"], prompt["required"]) == ("prompt", 3, True)
        assert (seed["name"], seed["type"], seed["required"]) == ("seed", 4, False)

    play(scenario)


def test_the_seed_makes_an_answer_repeatable(play: Play) -> None:
    async def scenario(server: FakeDiscord, _bot: Bot) -> None:
        tokens = [await server.slash(i, "story", "upon", seed) for i, seed in enumerate((5, 5, 6))]
        same, again, other = [await answered(server, token) for token in tokens]
        assert same == again != other

    play(scenario)


def test_an_answer_grows_while_it_is_written(play: Play) -> None:
    async def scenario(server: FakeDiscord, _bot: Bot) -> None:
        token = await server.slash(1, "story", "upon a time", 1)
        await answered(server, token)
        versions = server.shown(token)[0]["versions"]
        assert len(versions) >= 2  # how many is a matter of speed
        assert sorted(versions[1:], key=len) == versions[1:]

    play(scenario)


def test_a_long_answer_is_split_into_messages(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "split", partial(split, limit=200))

    async def scenario(server: FakeDiscord, _bot: Bot) -> None:
        token = await server.slash(1, "story", "upon a time", 1)
        await server.until(lambda: server.is_done(token))
        shown = [message["content"] for message in server.shown(token)]
        assert len(shown) > 3
        assert all(len(content) <= 200 for content in shown)
        parents = server.interactions[token]["messages"]
        assert parents == sorted(parents)
        whole = " ".join(" ".join(shown).split())
        assert whole.startswith("> upon a time")
        assert "context is full" in whole

    play(scenario)


def test_mentions_are_disabled_in_every_message(play: Play) -> None:
    async def scenario(server: FakeDiscord, _bot: Bot) -> None:
        token = await server.slash(1, "ask", "@everyone <@1> hello")
        await answered(server, token)
        await replied(server, 1, first(server, token), "@here again")
        assert len(server.payloads) >= 2  # of both answers
        assert all(payload["allowed_mentions"]["parse"] == [] for payload in server.payloads)
        assert not any(p["allowed_mentions"].get("replied_user") for p in server.payloads)

    play(scenario)


def test_the_requester_cancels_and_nobody_else(play: Play, config: Config) -> None:
    config.limits.edit_seconds = 0.01

    async def scenario(server: FakeDiscord, _bot: Bot) -> None:
        token = await server.slash(1, "story", "upon a time", 1)
        message = await server.until(lambda: server.shown(token) and server.shown(token)[0])
        await server.press(2, message)
        await server.press(1, message)
        text = await answered(server, token)
        assert text.endswith("*Cancelled.*")
        told = await server.until(lambda: server.private and server.private[0])
        assert (told["user"], told["content"]) == (2, "Only <@1> can cancel this answer.")

    play(scenario)


def test_a_button_of_before_a_restart_goes_away(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def whole() -> None:
        async with served(monkeypatch) as server:
            async with online(server, config, tmp_path):
                token = await server.slash(1, "ask", "Name a city.")
                await answered(server, token)
            message = server.shown(token)[0]
            button = {"type": 2, "custom_id": "llmpy-cancel-7"}
            message["components"] = [{"type": 1, "components": [button]}]
            async with online(server, config, tmp_path):
                await server.press(1, message)
                await server.until(lambda: not message["components"])

    asyncio.run(whole())


def test_a_reply_continues_the_conversation(play: Play) -> None:
    async def scenario(server: FakeDiscord, bot: Bot) -> None:
        token = await server.slash(1, "ask", "Name a city.")
        await answered(server, token)
        answer = await replied(server, 2, first(server, token), "<@1000> And another?")
        expected = asked(await bot.model(""), "Name a city.", "And another?")
        assert answer["content"] == expected
        third = await replied(server, 1, int(answer["id"]), "Why?")
        questions = "Name a city.", "And another?", "Why?"
        assert third["content"] == asked(await bot.model(""), *questions)

    play(scenario)


def test_two_replies_to_one_answer_are_two_conversations(play: Play) -> None:
    async def scenario(server: FakeDiscord, bot: Bot) -> None:
        token = await server.slash(1, "ask", "Name a city.")
        await answered(server, token)
        for question in ("And another?", "Where is it?"):
            answer = await replied(server, 1, first(server, token), question)
            assert answer["content"] == asked(await bot.model(""), "Name a city.", question)

    play(scenario)


def test_conversations_are_there_after_a_restart(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def whole() -> None:
        async with served(monkeypatch) as server:
            async with online(server, config, tmp_path):
                token = await server.slash(1, "ask", "Name a city.")
                await answered(server, token)
            async with online(server, config, tmp_path) as bot:
                answer = await replied(server, 1, first(server, token), "And another?")
                model = await bot.model("")
                assert answer["content"] == asked(model, "Name a city.", "And another?")

    asyncio.run(whole())


def test_a_forgotten_answer_is_not_continued(play: Play, config: Config) -> None:
    config.limits.answers = 1

    async def scenario(server: FakeDiscord, _bot: Bot) -> None:
        tokens = []
        for i in range(2):
            tokens.append(await server.slash(1, "ask", f"Name city {i}."))
            await answered(server, tokens[-1])
            await server.until(server.is_idle)
        n = len(server.messages)
        await server.reply(1, first(server, tokens[0]), "And another?")
        await replied(server, 1, first(server, tokens[1]), "And another?")
        assert len(server.messages) == n + 3

    play(scenario)


def test_chats_beyond_the_most_are_closed_and_made_again(play: Play, config: Config) -> None:
    config.limits.chats = 1

    async def scenario(server: FakeDiscord, bot: Bot) -> None:
        tokens = [await server.slash(i, "ask", f"Name city {i}.") for i in range(3)]
        for token in tokens:
            await answered(server, token)
        await server.until(server.is_idle)
        for i, token in enumerate(tokens):
            answer = await replied(server, 9, first(server, token), "Why?")
            assert answer["content"] == asked(await bot.model(""), f"Name city {i}.", "Why?")

    play(scenario)


def test_a_reply_without_a_ping_is_told_why(play: Play) -> None:
    async def scenario(server: FakeDiscord, _bot: Bot) -> None:
        token = await server.slash(1, "ask", "Name a city.")
        await answered(server, token)
        await server.until(server.is_idle)
        message = await server.reply(1, first(server, token), "secret", ping=False)
        told = await server.until(lambda: server.replies(int(message["id"])))
        assert told[0]["content"].startswith("I see replies only if they ping me")

    play(scenario)


def test_a_reply_to_a_running_answer_is_told_to_wait(play: Play) -> None:
    async def scenario(server: FakeDiscord, _bot: Bot) -> None:
        token = await server.slash(1, "story", "upon a time", 1)
        await server.until(lambda: server.shown(token))
        message = await server.reply(2, first(server, token), "What then?")
        told = await server.until(lambda: server.replies(int(message["id"])))
        assert told[0]["content"] == "That answer is not complete yet."

    play(scenario)


@pytest.mark.parametrize(
    ("allow", "allowed"),
    [
        (Allow(users=[1]), True),
        (Allow(users=[2]), False),
        (Allow(servers=[GUILD], channels=[CHANNEL]), True),
        (Allow(servers=[1]), False),
        (Allow(channels=[1]), False),
    ],
)
def test_only_those_who_are_allowed_are_answered(
    play: Play, config: Config, allow: Allow, allowed: bool
) -> None:
    config.allow = allow

    async def scenario(server: FakeDiscord, _bot: Bot) -> None:
        token = await server.slash(1, "ask", "Name a city.")
        if allowed:
            assert await answered(server, token)
        else:
            told = await server.until(lambda: server.private)
            assert told[0]["content"] == "You may not use this bot here."
            assert server.messages == {}

    play(scenario)


def test_a_user_has_so_many_answers_at_once_and_in_an_hour(play: Play, config: Config) -> None:
    config.limits.per_hour_per_user = 3

    async def scenario(server: FakeDiscord, _bot: Bot) -> None:
        tokens = [await server.slash(1, "story", "upon a time", i) for i in range(3)]
        told = await server.until(lambda: server.private)
        assert told[0]["content"].startswith("You have 2 answers running")
        for token in tokens[:2]:
            await answered(server, token)
        await server.until(server.is_idle)
        await answered(server, await server.slash(1, "ask", "A city?"))
        await server.until(server.is_idle)
        await server.slash(1, "ask", "A city?")
        told = await server.until(lambda: len(server.private) == 2 and server.private)
        assert told[1]["content"].startswith("You have asked 3 times within an hour")
        assert await answered(server, await server.slash(2, "ask", "A city?"))

    play(scenario)


def test_an_answer_ends_after_its_longest_time(play: Play, config: Config) -> None:
    config.limits.seconds = 0.05

    async def scenario(server: FakeDiscord, _bot: Bot) -> None:
        text = await answered(server, await server.slash(1, "story", "upon a time", 1))
        assert text.endswith("*Stopped after 0.05 seconds.*")

    play(scenario)


def test_errors_are_shown(play: Play) -> None:
    async def scenario(server: FakeDiscord, _bot: Bot) -> None:
        text = await answered(server, await server.slash(1, "ask", "word " * 600))
        assert text == "*This conversation is too long for the model: begin a new one.*"

    play(scenario)


def test_what_there_is_stays_when_the_bot_stops(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def whole() -> None:
        async with served(monkeypatch) as server:
            async with online(server, config, tmp_path):
                token = await server.slash(1, "story", "upon a time", 1)
                await server.until(lambda: server.shown(token))
            message = server.shown(token)[-1]
            assert message["content"].endswith("*The bot was stopped.*")
            assert not message["components"]

    asyncio.run(whole())


def test_a_deleted_answer_is_not_written_on(play: Play) -> None:
    async def scenario(server: FakeDiscord, _bot: Bot) -> None:
        token = await server.slash(1, "story", "upon a time", 1)
        await server.until(lambda: server.shown(token))
        del server.messages[first(server, token)]
        await server.until(server.is_idle)

    play(scenario)
