"""A Discord bot: slash commands answered by models on one's own machine, `llmpy discord`."""

from llmpy.apps.discord.config import Command, Config, read_config, write_example
from llmpy.apps.discord.running import run

__all__ = ["Command", "Config", "read_config", "run", "write_example"]
