"""A Discord bot in one file; `llmpy discord` is the one with everything around it."""

import os
import sys

import discord

import llmpy

model = llmpy.load(sys.argv[1])
client = discord.Client(
    intents=discord.Intents.default(), allowed_mentions=discord.AllowedMentions.none()
)
tree = discord.app_commands.CommandTree(client)
client.setup_hook = tree.sync


@tree.command(description="Ask the model")
async def ask(interaction: discord.Interaction, prompt: str) -> None:
    """Answer once the text is complete."""
    await interaction.response.defer(thinking=True)
    answer = await model.chat().aask(prompt, max_tokens=400)  # many at once become one batch
    await interaction.edit_original_response(content=answer[:2000] or "(no text)")


if "DISCORD_TOKEN" in os.environ:
    client.run(os.environ["DISCORD_TOKEN"])
else:
    print("set DISCORD_TOKEN to the token of your bot: discord.com/developers/applications")
