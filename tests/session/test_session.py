"""What a session promises: agreement of tokens and memory, events, rewinding, ending."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import llmpy
from tests.threads import finish

PROMPT = "Once upon a time, there was a little girl named"


def greedy_text(model: llmpy.Model, prompt: str, n: int = 20) -> str:
    session = model.session(sampler=llmpy.greedy())
    return "".join(p.text for p in session.stream(prompt, max_tokens=n))


def test_pieces_of_the_prompt_come_first_and_an_end_last(fast_stories: llmpy.Model) -> None:
    pieces = list(fast_stories.session(seed=1).stream(PROMPT, max_tokens=3))
    kinds = [p.kind for p in pieces]
    n = kinds.count("prompt")
    assert kinds == ["prompt"] * n + ["generated"] * 3 + ["end"]
    assert pieces[-1].finish_reason == "length"


def test_text_of_the_prompt_comes_back_whole(fast_stories: llmpy.Model) -> None:
    pieces = fast_stories.session(seed=1).stream(PROMPT, max_tokens=0)
    assert "".join(p.text for p in pieces) == PROMPT


def test_the_same_seed_gives_the_same_text(fast_stories: llmpy.Model) -> None:
    texts = {
        "".join(p.text for p in fast_stories.session(seed=5).stream(PROMPT, max_tokens=40))
        for _ in range(3)
    }
    assert len(texts) == 1


def test_another_seed_gives_another_text(fast_stories: llmpy.Model) -> None:
    texts = {
        "".join(p.text for p in fast_stories.session(seed=s).stream(PROMPT, max_tokens=40))
        for s in range(3)
    }
    assert len(texts) == 3


def test_feeding_in_parts_equals_feeding_at_once(fast_stories: llmpy.Model) -> None:
    ids = fast_stories.tokenizer.encode(PROMPT, bos=True)
    session = fast_stories.session(sampler=llmpy.greedy())
    for token in ids:
        session.feed([token])
    rest = "".join(p.text for p in session.stream([], max_tokens=20))
    assert PROMPT + rest == greedy_text(fast_stories, PROMPT)


def test_text_fed_as_it_is_typed_is_the_text(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session()
    for part in ("Once upon", " a time,", " there", " was"):
        session.feed(part)
    assert session.text == "Once upon a time, there was"


def test_next_token_is_the_loop_of_stream(stories: llmpy.Model) -> None:
    session = stories.session(sampler=llmpy.greedy())
    session.feed(PROMPT)
    ids = [session.next_token() for _ in range(10)]
    other = stories.session(sampler=llmpy.greedy())
    assert ids == [p.token for p in other.stream(PROMPT, max_tokens=10) if p.kind == "generated"]


@pytest.mark.parametrize("leave_after", [1, 3, 9, 14])
def test_leaving_the_stream_keeps_tokens_and_memory_in_agreement(
    stories: llmpy.Model, leave_after: int
) -> None:
    session = stories.session(sampler=llmpy.greedy())
    seen = []
    for piece in session.stream(PROMPT, max_tokens=30):
        seen.append(piece.token)
        if len(seen) == leave_after:
            break
    assert session.tokens == seen
    assert session.seen <= len(seen)
    fresh = stories.session(sampler=llmpy.greedy())
    fresh.feed(seen)
    assert [session.next_token() for _ in range(5)] == [fresh.next_token() for _ in range(5)]


def test_stop_from_a_callback_ends_the_inference(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session(sampler=llmpy.greedy())
    stats = session.infer(PROMPT, lambda p: llmpy.STOP if "," in p.text else None)
    assert stats.finish_reason == "callback"
    assert session.text.endswith("time,")


def test_stop_string_across_tokens_is_not_shown(fast_stories: llmpy.Model) -> None:
    whole = greedy_text(fast_stories, PROMPT, 30)
    target = whole[len(PROMPT) + 7 : len(PROMPT) + 12]
    session = fast_stories.session(sampler=llmpy.greedy())
    pieces = list(session.stream(PROMPT, max_tokens=30, stop=target))
    text = "".join(p.text for p in pieces)
    assert text == whole[: whole.index(target, len(PROMPT))]
    assert pieces[-1].finish_reason == "stop"


def test_stats_count_prompt_and_generated_apart(fast_stories: llmpy.Model) -> None:
    stats = fast_stories.session(seed=1).infer(PROMPT, max_tokens=7)
    assert stats.n_prompt == len(fast_stories.tokenizer.encode(PROMPT)) + 1
    assert stats.n_generated == 7
    assert stats.prompt_seconds > 0
    assert stats.generate_seconds > 0
    assert stats.finish_reason == "length"


def test_logprobs_are_those_of_the_model(stories: llmpy.Model) -> None:
    session = stories.session(sampler=llmpy.greedy())
    pieces = list(session.stream(PROMPT, max_tokens=2, logprobs=3))
    found = next(p for p in pieces if p.kind == "generated")
    assert found.logprobs is not None
    assert found.logprobs.top[0] == (found.token, found.logprobs.chosen)
    assert len(found.logprobs.top) == 3
    assert sum(np.exp(p) for _, p in found.logprobs.top) <= 1 + 1e-6


def test_a_full_context_ends_the_text_and_says_so(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("weights/stories260K/stories260K.gguf")
    with llmpy.load(path, n_ctx=20) as model:
        session = model.session(sampler=llmpy.greedy())
        pieces = list(session.stream("Once upon a time"))
        assert pieces[-1].finish_reason == "context"
        assert len(session.tokens) == 20
        with pytest.raises(llmpy.ContextFull, match="holds 20 tokens and 21 are needed"):
            session.next_token()


def test_a_prompt_beyond_the_context_is_refused_whole(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session()
    with pytest.raises(llmpy.ContextFull):
        session.feed([5] * (fast_stories.n_ctx + 1))
    assert session.tokens == []


def test_rewinding_forgets_exactly_the_rest(stories: llmpy.Model) -> None:
    session = stories.session(sampler=llmpy.greedy())
    session.feed(PROMPT)
    mark = len(session)
    first = [session.next_token() for _ in range(70)]
    session.rewind(mark)
    assert [session.next_token() for _ in range(70)] == first


def test_a_fork_goes_its_own_way(stories: llmpy.Model) -> None:
    session = stories.session(sampler=llmpy.greedy())
    session.feed(PROMPT)
    fork = session.fork()
    fork.feed(" Tom. He")
    other = stories.session(sampler=llmpy.greedy())
    other.feed(fork.tokens)
    for _ in range(70):
        fork.next_token()
    expected = greedy_text(stories, PROMPT, 70)
    assert PROMPT + "".join(p.text for p in session.stream([], max_tokens=70)) == expected
    assert [other.next_token() for _ in range(70)] == fork.tokens[-70:]


def test_a_closed_session_refuses(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session()
    session.close()
    session.close()
    with pytest.raises(llmpy.SessionClosed):
        session.next_token()


def test_a_closed_model_refuses(shared_data: Callable[[str], Path]) -> None:
    model = llmpy.load(shared_data("weights/stories260K/stories260K.gguf"))
    session = model.session()
    session.feed("Once")
    model.close()
    for use in (session.next_token, model.session, lambda: session.feed("x")):
        with pytest.raises(llmpy.SessionClosed):
            use()


def test_pages_return_when_sessions_end(fast_stories: llmpy.Model) -> None:
    gc.collect()
    before = fast_stories._engine.pool.in_use
    session = fast_stories.session()
    session.feed([5] * 200)
    fork = session.fork()
    fork.feed([6] * 5)
    assert fast_stories._engine.pool.in_use == before + 4 + 1
    session.close()
    del fork
    gc.collect()
    assert fast_stories._engine.pool.in_use == before


def test_a_session_in_a_cycle_returns_its_pages_whole(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session()
    session.feed(PROMPT)
    (page,) = session.transcript.sequence.cache.pages  # type: ignore[union-attr]
    kept = page.id
    del page
    session.itself = session  # type: ignore[attr-defined]
    del session
    gc.collect()
    pool = fast_stories._engine.pool
    assert kept in {page.id for page in pool._free}
    assert len(pool.kv.pages.read(kept)) == pool.kv.pages.n_bytes


def test_token_ids_outside_the_vocabulary_are_refused(fast_stories: llmpy.Model) -> None:
    for bad in (-1, fast_stories.n_vocab, 2**40):
        with pytest.raises(ValueError, match=r"prompt: token id \d: expected 0 to 511"):
            fast_stories.session().feed([bad])


def test_sessions_in_several_threads_do_not_disturb_each_other(
    fast_stories: llmpy.Model,
) -> None:
    prompts = ["Once upon a time", "The dog", "Lily and Tom", "One day"]
    alone = [greedy_text(fast_stories, p, 60) for p in prompts]
    together: dict[int, str] = {}

    def tell(i: int) -> None:
        together[i] = greedy_text(fast_stories, prompts[i], 60)

    threads = [threading.Thread(target=tell, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    finish(*threads)
    assert [together[i] for i in range(4)] == alone


def test_a_python_callable_is_a_sampler(fast_stories: llmpy.Model) -> None:
    def only_seven(logits: np.ndarray, session: llmpy.Session) -> np.ndarray:
        assert session.tokens
        masked = np.full_like(logits, -np.inf)
        masked[7] = 0
        return masked

    session = fast_stories.session(sampler=only_seven)
    session.feed("Once")
    assert [session.next_token() for _ in range(3)] == [7, 7, 7]


def test_an_error_in_a_sampler_leaves_the_session_usable(fast_stories: llmpy.Model) -> None:
    calls = []

    def fails_once(logits: np.ndarray, session: llmpy.Session) -> np.ndarray:
        calls.append(len(session.tokens))
        if len(calls) == 1:
            raise KeyError("mine")
        return logits

    session = fast_stories.session(sampler=llmpy.chain(fails_once, llmpy.greedy()))
    session.feed(PROMPT)
    with pytest.raises(KeyError, match="mine"):
        session.next_token()
    rest = "".join(p.text for p in session.stream([], max_tokens=20))
    assert PROMPT + rest == greedy_text(fast_stories, PROMPT)


def test_bos_says_whether_the_token_comes_first(fast_stories: llmpy.Model) -> None:
    text = fast_stories.tokenizer.encode("Once")
    begin = [fast_stories.tokenizer.bos]

    def fed(*prompts: str | list[int], **options: bool | None) -> list[int]:
        session = fast_stories.session()
        for prompt in prompts:
            session.feed(prompt, **options)
        return session.tokens

    assert fed("Once") == fed("Once", bos=None) == fed("Once", bos=True) == begin + text
    assert fed("Once", bos=False) == fed(text) == text
    assert fed(text, bos=True) == begin + text
    assert fed("Once", "Once", bos=True).count(begin[0]) == 2
    for session in (fast_stories.session(), fast_stories.session()):
        session.infer("Once", max_tokens=0, bos=False)
        assert session.tokens == text
    assert [p.token for p in fast_stories.session().stream("Once", max_tokens=0, bos=False)][
        :-1
    ] == text
    with pytest.raises(ValueError, match="empty prompt"):
        fast_stories.session().feed("", bos=False)


def test_the_token_that_begins_a_text_is_not_doubled(fast_stories: llmpy.Model) -> None:
    once = fast_stories.session()
    once.feed("<s>Once", special=True)
    assert once.tokens == fast_stories.tokenizer.encode("Once", bos=True)
    assert fast_stories.tokenizer.encode("<s>Once", special=True, bos=None) == once.tokens


@pytest.mark.parametrize("prompts", [("", "<s>Once"), ([1, 1],), ([1], [1]), ("<s><s>",)])
def test_two_tokens_that_begin_a_text_are_warned_of(
    fast_stories: llmpy.Model, prompts: tuple[str | list[int], ...]
) -> None:
    session = fast_stories.session()
    *before, last = prompts
    for prompt in before:
        session.feed(prompt, special=True)
    with pytest.warns(RuntimeWarning, match="two begin-of-text tokens"):
        session.feed(last, special=True)
    assert session.tokens[:2] == [1, 1]


def test_bos_that_was_asked_for_before_one_in_the_text_is_warned_of(fast_stories: llmpy.Model):
    with pytest.warns(RuntimeWarning, match="bos=False"):
        fast_stories.session().feed("<s>Once", special=True, bos=True)
