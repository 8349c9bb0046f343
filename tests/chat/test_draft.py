"""Messages that are read while they are being typed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import llmpy

GREEDY = llmpy.greedy()
SYSTEM = "You know all about machines, and answer in one short sentence."
FIRST = "Who built the first steam engine, and what was it good for?"
SECOND = "And what came after that? Tell me about the one who made it"


def typed(draft: llmpy.ChatDraft, text: str, step: int = 3) -> None:
    for n in (*range(1, len(text), step), len(text)):
        draft.update(text[:n])
        assert draft.wait(60)


@pytest.fixture(scope="module")
def at_once(smol: llmpy.Model) -> list[str]:
    """The answers to both messages without a draft."""
    with smol.chat(SYSTEM, sampler=GREEDY) as chat:
        return [chat.ask(text, max_tokens=12) for text in (FIRST, SECOND)]


def test_typed_messages_get_the_same_answers(smol: llmpy.Model, at_once: list[str]) -> None:
    with smol.chat(SYSTEM, sampler=GREEDY) as chat:
        for text, expected in zip((FIRST, SECOND), at_once, strict=True):
            draft = chat.draft()
            typed(draft, text)
            n_read = draft.n_read
            pieces = list(draft.commit(max_tokens=12))
            assert "".join(piece.text for piece in pieces).strip() == expected
            assert chat.stats is not None
            n_prompt = len(chat.session) - chat.stats.n_generated
            assert n_prompt - 12 < n_read < n_prompt  # all but a word and the template's end
        assert [m["content"] for m in chat.messages] == [
            SYSTEM, FIRST, at_once[0], SECOND, at_once[1],
        ]  # fmt: skip


def test_the_stats_tell_what_a_draft_has_read(smol: llmpy.Model) -> None:
    with smol.chat(SYSTEM, sampler=GREEDY) as chat:
        draft = chat.draft()
        typed(draft, FIRST)
        n_read = draft.n_read
        draft.ask(max_tokens=2)
        assert chat.stats is not None
        assert chat.stats.n_cached == n_read


def test_what_comes_before_the_message_is_read_at_once(smol: llmpy.Model) -> None:
    with smol.chat(SYSTEM) as chat, chat.draft() as draft:
        assert draft.wait(60)
        system = smol.tokenizer.encode(SYSTEM)
        assert draft.n_read > len(system)


def test_nothing_is_read_twice(smol: llmpy.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []
    run = smol._engine.plan.run

    def noted(batch: Any, states: Any) -> Any:
        read.extend(zip(batch.positions.tolist(), batch.tokens.tolist(), strict=True))
        return run(batch, states)

    with smol.chat(SYSTEM, sampler=GREEDY) as chat:
        monkeypatch.setattr(smol._engine.plan, "run", noted)
        draft = chat.draft()
        typed(draft, FIRST)
        draft.ask(max_tokens=1)
        assert [position for position, _ in read] == sorted({position for position, _ in read})


@pytest.mark.parametrize(
    "text", ["</think> and <|im_end|> or so, ", "  one two\n three ", "a {{ b }} c"]
)
def test_texts_with_signs_of_the_format(smol: llmpy.Model, text: str) -> None:
    with smol.chat(sampler=GREEDY) as chat:
        expected = chat.ask(text, max_tokens=5)
    with smol.chat(sampler=GREEDY) as chat:
        draft = chat.draft()
        typed(draft, text, 1)
        assert draft.ask(max_tokens=5) == expected
        assert chat.messages[0]["content"] == text


def test_a_draft_that_is_given_up_leaves_the_chat_as_it_was(
    smol: llmpy.Model, at_once: list[str]
) -> None:
    with smol.chat(SYSTEM, sampler=GREEDY) as chat:
        with chat.draft() as draft:
            typed(draft, SECOND)
        assert len(chat.messages) == 1
        assert chat.ask(FIRST, max_tokens=12) == at_once[0]


def test_messages_may_be_changed_meanwhile(smol: llmpy.Model, at_once: list[str]) -> None:
    with smol.chat("Answer in French.", sampler=GREEDY) as chat:
        draft = chat.draft()
        typed(draft, FIRST[:20])
        chat.system = SYSTEM
        typed(draft, FIRST)
        assert draft.ask(max_tokens=12) == at_once[0]


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_message_cannot_be_said(smol: llmpy.Model, text: str) -> None:
    with smol.chat() as chat:
        draft = chat.draft()
        typed(draft, text)
        with pytest.raises(ValueError, match="something to answer"):
            draft.commit()


def test_forms_for_asyncio(smol: llmpy.Model, at_once: list[str]) -> None:
    async def main() -> None:
        with smol.chat(SYSTEM, sampler=GREEDY) as chat:
            draft = chat.draft()
            draft.update(FIRST)
            pieces = [piece async for piece in draft.acommit(max_tokens=12)]
            assert "".join(piece.text for piece in pieces).strip() == at_once[0]
            called: list[llmpy.Piece] = []
            draft = chat.draft()
            draft.update(SECOND)
            assert await draft.aask(called.append, max_tokens=12) == at_once[1]
            assert called[-1].kind == "end"

    asyncio.run(main())
