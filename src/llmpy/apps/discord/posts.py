"""The places an answer goes to: the response to a slash command, or replies to a message."""

from __future__ import annotations

from typing import Any, Protocol

import discord

__all__ = [
    "CANCEL",
    "NOBODY",
    "InteractionPost",
    "Message",
    "Post",
    "ReplyPost",
    "cancel_view",
]

NOBODY = discord.AllowedMentions.none()
CANCEL = "llmpy-cancel-"


class Message(Protocol):
    """A message that was sent and can be edited."""

    id: int

    async def edit(self, *, content: str, view: Any, allowed_mentions: Any) -> Any:
        """Replace the text and the buttons."""

    async def delete(self) -> Any:
        """Delete the message."""


class Post(Protocol):
    """A place for the messages of one answer."""

    async def begin(self) -> None:
        """Announce the answer."""

    async def send(self, i: int, content: str, view: discord.ui.View | None) -> Message:
        """Send message `i`, with the buttons of the view."""
        ...


class InteractionPost:
    """The response to a slash command, and what follows it; Discord takes edits for 15 minutes."""

    def __init__(self, interaction: discord.Interaction[Any]) -> None:
        self._interaction = interaction

    async def begin(self) -> None:
        """Tell Discord, within its 3 seconds, that there will be an answer."""
        if not self._interaction.response.is_done():
            await self._interaction.response.defer(thinking=True)

    async def send(self, i: int, content: str, view: discord.ui.View | None) -> Message:
        """Send message `i`; the first one takes the place of "is thinking"."""
        if i == 0:
            return await self._interaction.edit_original_response(
                content=content, view=view, allowed_mentions=NOBODY
            )
        given: dict[str, Any] = {} if view is None else {"view": view}
        return await self._interaction.followup.send(
            content, wait=True, allowed_mentions=NOBODY, **given
        )


class ReplyPost:
    """Replies to a message; a nonce keeps Discord from taking one twice."""

    def __init__(self, message: discord.Message) -> None:
        self._message = message

    async def begin(self) -> None:
        """Do nothing: a reply needs no announcement."""

    async def send(self, i: int, content: str, view: discord.ui.View | None) -> Message:
        """Send message `i`."""
        given: dict[str, Any] = {} if view is None else {"view": view}
        if i == 0:
            given["reference"] = self._message.to_reference(fail_if_not_exists=False)
        return await self._message.channel.send(
            content,
            nonce=f"{self._message.id}-{i}"[-25:],
            mention_author=False,
            allowed_mentions=NOBODY,
            **given,
        )


def cancel_view(number: int) -> discord.ui.View:
    """Return the button that cancels answer `number`; the bot hears it in `on_interaction`."""
    view = discord.ui.View(timeout=None)
    view.add_item(discord.ui.Button(label="Cancel", custom_id=f"{CANCEL}{number}"))
    view.stop()  # the bot itself dispatches
    return view
