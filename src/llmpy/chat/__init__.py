"""Chats with instruct models: templates, turns, and what a model thinks before it answers."""

from llmpy.chat.conversation import Chat
from llmpy.chat.draft import ChatDraft
from llmpy.chat.named import NAMED
from llmpy.chat.template import ChatTemplate, chosen_template

__all__ = ["NAMED", "Chat", "ChatDraft", "ChatTemplate", "chosen_template"]
