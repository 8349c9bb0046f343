"""The bot: slash commands and replies become answers, within the limits of each user."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import discord
from discord import app_commands

import llmpy
from llmpy.apps.discord.answering import FAILURES, Answer, log
from llmpy.apps.discord.config import Command, Config
from llmpy.apps.discord.conversations import Chats, Conversations, messages_of
from llmpy.apps.discord.posts import CANCEL, NOBODY, InteractionPost, Post, ReplyPost

__all__ = ["Bot"]

HOUR = 3600.0
REMEMBERED = 10_000  # ids of events, which a resumed connection may repeat


class Bot(discord.Client):
    """A client of Discord with the commands of a configuration.

    `folder` is where conversations are kept; `say` is told what happens, a line each.
    """

    def __init__(self, config: Config, folder: Path, say: Callable[[str], object]) -> None:
        intents = discord.Intents.default()
        intents.message_content = config.message_content
        super().__init__(intents=intents, allowed_mentions=NOBODY)
        self.config, self.say = config, say
        self.commands = {command.name: command for command in config.commands}
        self.tree = app_commands.CommandTree(self)
        self.slots = asyncio.Semaphore(config.limits.running)
        self.conversations = Conversations(folder / "conversations.db", config.limits.answers)
        self.chats = Chats(config.limits.chats)
        self._models: dict[str, llmpy.Model] = {}
        self._loading = asyncio.Lock()
        self._answers: dict[int, tuple[Answer, asyncio.Task[None]]] = {}
        self._asked: dict[int, deque[float]] = defaultdict(deque)
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._n = 0
        for command in config.commands:
            self.tree.add_command(self._slash(command))

    async def setup_hook(self) -> None:
        """Load the models and publish the commands, before the bot is online."""
        for name in dict.fromkeys(command.model for command in self.config.commands):
            await self.model(name)
        await self.tree.sync()

    async def on_ready(self) -> None:
        """Say that the bot is online."""
        names = ", ".join(f"/{name}" for name in self.commands)
        self.say(f"online as {self.user}, in {len(self.guilds)} servers: {names}")

    async def on_message(self, message: discord.Message) -> None:
        """Continue the conversation that a message replies to."""
        reference = message.reference
        if message.author.bot or reference is None or reference.message_id is None:
            return
        turn = self.conversations.of_message(reference.message_id)
        running = any(reference.message_id in a.message_ids for a, _ in self._answers.values())
        if (turn is None and not running) or not self._is_new(message.id):
            return
        text = self._without_mention(message)
        why = self._refusal(message.author.id, message.guild, message.channel)
        if running:
            why = why or "That answer is not complete yet."
        elif not text:
            why = why or "I see replies only if they ping me: turn the ping on, and write again."
        if why or turn is None:
            await self._try(message.reply(why, mention_author=False, allowed_mentions=NOBODY))
            return
        name = self.conversations.path_to(turn)[-1].command
        command = self.commands.get(name, self.config.commands[0])
        self._start(message.author.id, command, text, ReplyPost(message), parent=turn)

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        """Hear the button that cancels an answer."""
        data: Any = interaction.data or {}
        pressed = str(data.get("custom_id", ""))
        if interaction.type is not discord.InteractionType.component or not pressed.startswith(
            CANCEL
        ):
            return
        number = pressed.removeprefix(CANCEL)
        answer, _ = self._answers.get(int(number) if number.isdecimal() else -1, (None, None))
        if answer is None:  # of before a restart
            await self._try(interaction.response.edit_message(view=None))
        elif answer.user != interaction.user.id:
            text = f"Only <@{answer.user}> can cancel this answer."
            await self._try(
                interaction.response.send_message(text, ephemeral=True, allowed_mentions=NOBODY)
            )
        else:
            answer.cancel()
            await self._try(interaction.response.defer())

    async def close(self) -> None:
        """End all answers, show what there is of them, and disconnect."""
        running = [task for _, task in self._answers.values()]
        for answer, _ in list(self._answers.values()):
            answer.cancel("The bot was stopped.")
        if running:
            await asyncio.wait(running, timeout=10)
        await super().close()
        self.chats.close()
        self.conversations.close()
        for model in self._models.values():
            model.close()

    async def model(self, name: str) -> llmpy.Model:
        """Return a model, loaded once; "" is that of the configuration, or the default model."""
        name = name or self.config.model
        async with self._loading:
            if name not in self._models:
                given = name
                if not given:
                    default = llmpy.default_model()
                    if default is None:
                        raise ValueError(
                            "model: none is named, and none is installed: llmpy pull smollm2, or "
                            "name one in the configuration"
                        )
                    given = default.name
                self.say(f"loading {given}")
                self._models[name] = await llmpy.aload(given, n_ctx=self.config.n_ctx)
        return self._models[name]

    async def chat(self, command: Command, turn: int | None, seed: int | None) -> llmpy.Chat:
        """Return the chat that goes on from a turn: the one that is kept, or a new one."""
        kept = self.chats.take(turn)
        if kept is not None:
            return kept
        messages = messages_of(self.conversations.path_to(turn))
        model = await self.model(command.model)
        return await asyncio.to_thread(  # the loop must be free for Discord's 3 seconds
            model.chat,
            command.system,
            messages=messages,
            template=command.template,
            think=command.think,
            seed=command.seed if seed is None else seed,
            overflow="drop_oldest",
            **command.sampling(),
        )

    def _slash(self, command: Command) -> app_commands.Command[Any, Any, Any]:
        """Return the slash command as Discord knows it."""

        @app_commands.describe(prompt="What to ask", seed="A number that makes answers repeatable")
        async def ask(
            interaction: discord.Interaction[Any],
            prompt: app_commands.Range[str, 1, 6000],
            seed: app_commands.Range[int, 0, 2**53 - 1] | None = None,
        ) -> None:
            if not self._is_new(interaction.id):
                return
            why = self._refusal(interaction.user.id, interaction.guild, interaction.channel)
            if why:
                await self._try(
                    interaction.response.send_message(why, ephemeral=True, allowed_mentions=NOBODY)
                )
                return
            post = InteractionPost(interaction)
            question = command.text(prompt)
            self._start(interaction.user.id, command, question, post, seed=seed, shown=prompt)

        return app_commands.Command(
            name=command.name, description=command.description, callback=ask
        )

    def _start(self, user: int, command: Command, question: str, post: Post, **more: Any) -> None:
        """Begin an answer in a task of its own."""
        self._n += 1
        self._asked[user].append(time.monotonic())
        answer = Answer(self, self._n, user, command, question, post, **more)
        self._answers[answer.number] = answer, asyncio.create_task(self._run(answer))

    async def _run(self, answer: Answer) -> None:
        try:
            await answer.run()
            answer.keep()
        except Exception as error:
            log.warning("an answer could not be sent: %s: %s", type(error).__name__, error)
        finally:
            del self._answers[answer.number]

    def _refusal(self, user: int, server: Any, channel: Any) -> str:
        """Return why a user may not ask now, "" if there is no reason."""
        limits = self.config.limits
        place = getattr(server, "id", None), getattr(channel, "id", None)
        if not self.config.allow.allows(user, *place):
            return "You may not use this bot here."
        asked, now = self._asked[user], time.monotonic()
        while asked and now - asked[0] > HOUR:
            asked.popleft()
        running = sum(answer.user == user for answer, _ in self._answers.values())
        if running >= limits.running_per_user:
            return f"You have {running} answers running: wait for one, or cancel one."
        if len(asked) >= limits.per_hour_per_user:
            minutes = int((HOUR - (now - asked[0])) // 60) + 1
            return (
                f"You have asked {len(asked)} times within an hour: try again in {minutes} minutes."
            )
        return ""

    def _without_mention(self, message: discord.Message) -> str:
        """Return the text of a message without the mention of the bot."""
        text = message.content
        for mention in (f"<@{self._id}>", f"<@!{self._id}>"):
            text = text.replace(mention, "")
        return text.strip()

    @property
    def _id(self) -> int:
        return 0 if self.user is None else self.user.id

    def _is_new(self, event: int) -> bool:
        """Return whether an event comes for the first time."""
        if event in self._seen:
            return False
        self._seen[event] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True

    async def _try(self, sending: Any) -> None:
        try:
            await sending
        except FAILURES as error:
            log.warning("a message could not be sent: %s", error)
