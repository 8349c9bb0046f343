"""Conversations in files: messages, settings, and a session that need not read them again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import llmpy

QUESTION = "Name a colour."
AGAIN = "And another one."


def test_a_loaded_chat_goes_on_as_the_saved_one(smol: llmpy.Model, tmp_path: Path) -> None:
    saved = smol.chat(system="Be brief.", seed=4, overflow="drop_oldest")
    saved.ask(QUESTION, max_tokens=12)
    saved.save(tmp_path / "c")
    loaded = smol.load_chat(tmp_path / "c")
    assert loaded.messages == saved.messages
    assert loaded.session.seen == saved.session.seen
    assert (loaded.overflow, loaded.think) == (saved.overflow, saved.think)
    assert loaded.ask(AGAIN, max_tokens=12) == saved.ask(AGAIN, max_tokens=12)
    assert loaded.stats is not None
    assert saved.stats is not None
    assert loaded.stats.n_reused == saved.stats.n_reused > 0
    assert loaded.messages == saved.messages


def test_a_template_of_ones_own_is_saved_and_another_may_be_given(
    smol: llmpy.Model, tmp_path: Path
) -> None:
    own = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
    saved = smol.chat(template=own, sampler=llmpy.greedy())
    saved.ask(QUESTION, max_tokens=5)
    saved.save(tmp_path / "c")
    assert smol.load_chat(tmp_path / "c").template.source == own
    assert smol.load_chat(tmp_path / "c", template="chatml").template.source != own


def test_a_chat_is_saved_from_a_loop_of_asyncio(smol: llmpy.Model, tmp_path: Path) -> None:
    async def both() -> list[str]:
        chat = smol.chat(sampler=llmpy.greedy())
        await chat.aask(QUESTION, max_tokens=5)
        await chat.asave(tmp_path / "c")
        session = await smol.aload_session(tmp_path / "c")
        return [session.text, chat.session.text]

    texts = asyncio.run(both())
    assert texts[0] == texts[1]


def test_a_session_without_a_conversation_is_no_chat(smol: llmpy.Model, tmp_path: Path) -> None:
    session = smol.session()
    session.feed(QUESTION)
    session.save(tmp_path / "s")
    with pytest.raises(llmpy.SnapshotError, match="chat: expected a conversation"):
        smol.load_chat(tmp_path / "s")
