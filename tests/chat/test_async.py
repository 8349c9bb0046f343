"""asyncio: the same generators, cancellable, many at once."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import llmpy

CAPITAL = "What is the capital of France? Answer in one sentence."


def run(main: Callable[[], Any]) -> Any:
    return asyncio.run(main())


def test_an_async_client_hears_of_paris(smol: llmpy.Model) -> None:
    async def main() -> str:
        with smol.chat(sampler=llmpy.greedy()) as chat:
            return await chat.aask(CAPITAL)

    assert "Paris" in run(main)


def test_asay_gives_the_pieces_of_say(smol: llmpy.Model) -> None:
    async def main() -> list[llmpy.Piece]:
        with smol.chat(seed=3) as chat:
            return [piece async for piece in chat.asay(CAPITAL, max_tokens=8)]

    with smol.chat(seed=3) as chat:
        assert list(chat.say(CAPITAL, max_tokens=8)) == run(main)


def test_aretry_answers_again(smol: llmpy.Model) -> None:
    async def main() -> tuple[str, str]:
        with smol.chat(sampler=llmpy.greedy()) as chat:
            first = await chat.aask(CAPITAL)
            return first, "".join([piece.text async for piece in chat.aretry()])

    first, second = run(main)
    assert first == second.strip()


def test_a_session_streams_feeds_and_infers(smol: llmpy.Model) -> None:
    async def main() -> tuple[list[str], int, int, llmpy.Stats]:
        with smol.session(seed=1) as session:
            texts = [p.text async for p in session.astream("Once", max_tokens=4)]
            n = await session.afeed(" upon a time")
            token = await session.anext_token()
            seen = []
            stats = await session.ainfer(" and", seen.append, max_tokens=3)
            assert len(seen) == 1 + 3 + 1
            return texts, n, token, stats

    texts, n, token, stats = run(main)
    with smol.session(seed=1) as session:
        assert texts == [p.text for p in session.stream("Once", max_tokens=4)]
        assert (n, token) == (session.feed(" upon a time"), session.next_token())
        same = session.infer(" and", max_tokens=3)
    assert (stats.n_prompt, stats.n_generated, stats.finish_reason) == (
        same.n_prompt,
        same.n_generated,
        same.finish_reason,
    )


def test_many_chats_run_at_once(smol: llmpy.Model) -> None:
    async def main() -> list[str]:
        chats = [smol.chat(sampler=llmpy.greedy()) for _ in range(6)]
        return await asyncio.gather(*(chat.aask(CAPITAL) for chat in chats))

    answers = run(main)
    assert len(set(answers)) == 1
    assert "Paris" in answers[0]


def test_a_stream_takes_one_thread_for_all_its_tokens(smol: llmpy.Model) -> None:
    threads = set()

    def sampler(logits: Any, _session: Any) -> Any:
        threads.add(threading.get_ident())
        return logits

    async def main() -> None:
        with smol.chat(sampler=sampler) as chat:
            await chat.aask("Tell me a story.", max_tokens=30)

    run(main)
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_cancelling_stops_an_answer_and_leaves_the_chat_usable(smol: llmpy.Model) -> None:
    async def main() -> None:
        with smol.chat(sampler=llmpy.greedy()) as chat:
            begun = asyncio.Event()
            task = asyncio.create_task(
                chat.aask("Write a very long story.", lambda _: begun.set(), max_tokens=1500)
            )
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(chat.session) < 1000
            assert "Paris" in await chat.aask(CAPITAL, max_tokens=40)

    run(main)


def test_cancelling_while_the_prompt_is_read_takes_it_back(smol: llmpy.Model) -> None:
    async def main() -> None:
        with smol.chat(sampler=llmpy.greedy()) as chat:
            begun = asyncio.Event()
            loop = asyncio.get_running_loop()

            def progress(*_: int) -> None:
                loop.call_soon_threadsafe(begun.set)

            task = asyncio.create_task(chat.aask("word " * 1800, progress=progress, max_tokens=9))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert chat.messages == []
            assert "Paris" in await chat.aask(CAPITAL)

    run(main)


def test_a_cancelled_feed_is_taken_back(smol: llmpy.Model) -> None:
    async def main() -> None:
        with smol.session() as session:
            await session.afeed("Hello")
            before = session.tokens
            task = asyncio.create_task(session.afeed("word " * 1800))
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert session.tokens == before

    run(main)


def test_a_stream_may_outlive_its_loop(smol: llmpy.Model) -> None:
    complaints: list[Any] = []

    async def main() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
        chat, session = smol.chat(), smol.session()
        streams = chat.asay(CAPITAL), session.astream("Once")
        for stream in streams:
            await anext(stream)
        return streams

    run(main)
    assert complaints == []


def test_samplers_see_the_context_variables_of_the_task(smol: llmpy.Model) -> None:
    name = contextvars.ContextVar("name", default="none")
    seen = set()

    def sampler(logits: Any, _session: Any) -> Any:
        seen.add(name.get())
        return logits

    async def main() -> None:
        name.set("Ada")
        with smol.chat(sampler=sampler) as chat:
            await chat.aask("Hello", max_tokens=2)

    run(main)
    assert seen == {"Ada"}


def test_the_loop_is_free_while_a_model_works(smol: llmpy.Model) -> None:
    async def main() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        with smol.session(seed=1) as session:
            await session.afeed("word " * 1500)
        ticking.cancel()
        return ticks

    assert run(main) > 5


def test_errors_arrive_where_they_are_awaited(smol: llmpy.Model) -> None:
    async def main() -> None:
        with smol.chat() as chat:
            with pytest.raises(ValueError, match="empty"):
                await chat.aask(" ")
            with pytest.raises(ValueError, match="max_tokens"):
                await chat.aask("Hello", max_tokens=-1)
            assert chat.messages == []

    run(main)


def test_a_model_is_loaded_and_embeds(smollm2: Path) -> None:
    events: list[llmpy.LoadEvent] = []

    async def main() -> None:
        with await llmpy.aload(smollm2, n_ctx=64, progress=events.append) as model:
            assert (await model.aembed("Hello") == model.embed("Hello")).all()

    run(main)
    assert events[-1].kind == "done"


def test_a_load_can_be_cancelled(smollm2: Path) -> None:
    async def main() -> None:
        begun, loop = asyncio.Event(), asyncio.get_running_loop()
        task = asyncio.create_task(
            llmpy.aload(smollm2, progress=lambda _: loop.call_soon_threadsafe(begun.set))
        )
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)


def test_agenerate_continues_prompts(smol: llmpy.Model) -> None:
    async def main() -> list[llmpy.Completion]:
        return await smol.agenerate(["One", "Two"], max_tokens=3, seed=1)

    found = run(main)
    same = smol.generate(["One", "Two"], max_tokens=3, seed=1)
    assert [c.text for c in found] == [c.text for c in same]


def test_a_cancelled_agenerate_stops(smol: llmpy.Model) -> None:
    async def main() -> None:
        task = asyncio.create_task(smol.agenerate(["One"] * 8, max_tokens=1500, n_parallel=2))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)
