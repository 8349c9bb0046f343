"""The configuration: written on the first start, read strictly, its errors in one line."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llmpy.apps import discord as app
from llmpy.apps.discord import Command, Config, read_config, write_example
from tests.apps.discord.conftest import served
from tests.cli.conftest import Result, run

__all__ = ["run"]  # the fixture of commands

START = 'token = "a.b.c"\n'


def test_the_example_is_read_once_the_token_is_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"
    write_example(path)
    path.write_text(path.read_text().replace('token = ""', 'token = "a.b.c"'))
    config = read_config(path)
    assert [command.name for command in config.commands] == ["ask", "translate"]
    assert config.commands[1].text("Hallo") == "Translate this text to English:\n\nHallo"
    assert config.commands[1].sampling() == {"temperature": 0.0}
    assert config.limits == Config().limits


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_only_the_owner_reads_the_example(tmp_path: Path) -> None:
    write_example(tmp_path / "config.toml")
    assert os.stat(tmp_path / "config.toml").st_mode & 0o077 == 0


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("mine")
    with pytest.raises(FileExistsError):
        write_example(tmp_path / "config.toml")


def test_the_token_may_be_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMPY_DISCORD_TOKEN", " a.b.c\n")
    (tmp_path / "config.toml").write_text("")
    config = read_config(tmp_path / "config.toml")
    assert (config.token, config.commands) == ("a.b.c", [Command("ask")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "token: expected the token of your bot, found none: copy it from https://discord.com"),
        ("token = ", "Invalid value"),
        (START + "tokens = 1", "unknown field `tokens`"),
        (START + "n_ctx = 'a'", r"Expected `int`, got `str` - at `\$.n_ctx`"),
        (START + "n_ctx = 0", "n_ctx: expected more than 0, found 0"),
        (START + "[limits]\nrunning = -1", "limits.running: expected more than 0, found -1"),
        (START + "[limits]\nseconds = 900", "limits.seconds: expected at most 840"),
        (START + "commands = []", "commands: expected 1 to 100, found 0"),
        (START + "[[commands]]\nname = 'A b'", "expected 1 to 32 small letters.*found 'A b'"),
        (START + "[[commands]]\nname = 'a'\n[[commands]]\nname = 'a'", "each name once"),
        (START + "[[commands]]\nname = 'a'\ndescription = ''", "expected 1 to 100 characters"),
        (START + "[[commands]]\nname = 'a'\nprompt = 'x'", r"prompt: expected \{\{PROMPT\}\}"),
        (START + "[[commands]]\nname = 'a'\nsampler = 'greedy'\ntop_k = 1", "the whole sampler"),
        (START + "[allow]\nusers = ['a']", r"Expected `int`, got `str` - at `\$.allow.users"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_config(tmp_path / "config.toml")
    assert str(error.value).startswith(str(tmp_path))
    assert "\n" not in str(error.value)


def test_the_first_start_writes_the_file_and_says_what_to_do(
    run: Callable[..., Result],
    tmp_path: Path,
) -> None:
    path = tmp_path / "config.toml"
    first = run("discord", "--config", path)
    assert (first.code, first.err.count("\n")) == (0, 1)
    assert f"wrote {path}: fill in the token" in first.err
    second = run("discord", "--config", path)
    assert (second.code, second.err.count("\n")) == (1, 1)
    assert "token: expected the token of your bot, found none" in second.err


def test_check_starts_nothing(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(START)
    result = run("discord", "--config", tmp_path / "config.toml", "--check")
    assert (result.code, result.err) == (0, f"{tmp_path / 'config.toml'} is fine: /ask\n")


def test_without_the_library_the_error_names_the_extra(
    run: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "discord", None)
    result = run("discord", "--config", tmp_path / "config.toml")
    assert (result.code, result.err) == (1, "llmpy: the bot needs: pip install 'llmpy[discord]'\n")


def failing(
    config: Config, folder: Path, patch: pytest.MonkeyPatch, *, allowed: int | None = None
) -> str:
    """Why a bot cannot start beside a server."""

    async def whole() -> str:
        async with served(patch) as server:
            if allowed is not None:
                server.allowed_intents = allowed
            with pytest.raises(RuntimeError) as error:
                await app.running._run(config, folder, lambda _line: None)
            return str(error.value)

    return asyncio.run(whole())


def test_a_wrong_token_says_where_to_get_one(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.token = "a.wrong.token"
    assert failing(config, tmp_path, monkeypatch).startswith("Discord refuses the token: copy it")


def test_an_intent_that_is_not_granted_is_named(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.message_content = True
    assert '"Message Content Intent": turn it on' in failing(config, tmp_path, monkeypatch)


def test_a_missing_model_is_named(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def whole() -> None:
        async with served(monkeypatch):
            for model, message in (("nowhere.gguf", "nowhere.gguf"), ("", "llmpy pull smollm2")):
                config.model = model
                with pytest.raises(ValueError, match=message):
                    await app.running._run(config, tmp_path, lambda _line: None)

    asyncio.run(whole())


def test_without_a_network_the_error_says_so(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # a port where nobody answers
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/api/v10"
        monkeypatch.setattr("discord.http.Route.BASE", address)
        with pytest.raises(RuntimeError, match="Discord cannot be reached: check the network"):
            app.run(config, tmp_path, lambda _line: None)
