"""Sessions of models whose memory cannot be cut: however they came to their tokens, they go on as
a session that reads everything afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import llmpy
from llmpy import ffi
from llmpy.backends.base import Batch
from tests.arch import checkpoints

NAMES = ["mamba", "lfm2", "falcon_h1"]  # recurrent alone, convolution and attention, all in one
IDS = [int(token) for token in checkpoints.prompt(264, 90)]
Fail = Callable[..., Any]


@pytest.fixture(scope="module", params=[f"{n} {b}" for n in NAMES for b in ("reference", "cpu")])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[llmpy.Model]:
    """Tiny models, read in steps of at most 16 tokens."""
    name, backend = request.param.split()
    if backend == "cpu" and not ffi.available():
        pytest.skip(f"the compiled library is not installed: {ffi.library_path()}")
    golden = checkpoints.load_golden(name)
    folder = tmp_path_factory.mktemp("recurrent") / name
    checkpoints.write(folder, golden.about["config"], golden.weights(checkpoints.spec(name)))
    with llmpy.load(folder, backend=backend, n_ctx=256, n_batch=16) as loaded:
        yield loaded


def tokens_after(model: llmpy.Model, ids: list[int], n: int = 5) -> list[int]:
    """What a new session says after these tokens."""
    return going_on(model.session(sampler=llmpy.greedy()), ids, n)


def going_on(session: llmpy.Session, ids: list[int], n: int = 5) -> list[int]:
    if ids:
        session.feed(ids)
    return [session.next_token() for _ in range(n)]


def test_parts_and_whole_give_the_same_tokens(model: llmpy.Model) -> None:
    session = model.session(sampler=llmpy.greedy())
    for token in IDS:
        session.feed([token])
    assert going_on(session, []) == tokens_after(model, IDS)


def test_memory_of_recurrent_layers_alone_needs_no_pages(model: llmpy.Model) -> None:
    session = model.session()
    session.feed(IDS)
    assert session.transcript.sequence.cache is not None
    assert (session.transcript.sequence.cache.pages == []) == (model.graph.caches == [])


def test_going_back_reads_again(model: llmpy.Model) -> None:
    session = model.session(sampler=llmpy.greedy())
    session.feed(IDS)
    session.rewind(40)
    assert (len(session), session.seen) == (40, 0)
    assert going_on(session, IDS[50:60]) == tokens_after(model, IDS[:40] + IDS[50:60])


def test_going_back_to_all_that_was_read_loses_nothing(model: llmpy.Model) -> None:
    session = model.session(sampler=llmpy.greedy())
    session.feed(IDS[:40])
    session.rewind(39)  # the last token was not read yet
    assert session.seen == 39
    assert going_on(session, IDS[50:60]) == tokens_after(model, IDS[:39] + IDS[50:60])


def test_no_token_is_applied_twice_when_its_logits_are_gone(model: llmpy.Model) -> None:
    session = model.session(sampler=llmpy.greedy())
    session.feed(IDS[:40])
    session.rewind(39)
    assert going_on(session, []) == tokens_after(model, IDS[:39])


def test_going_back_to_nothing(model: llmpy.Model) -> None:
    session = model.session(sampler=llmpy.greedy())
    session.feed(IDS)
    session.rewind(0)
    assert going_on(session, IDS[:7]) == tokens_after(model, IDS[:7])


def test_generated_tokens_can_be_taken_back(model: llmpy.Model) -> None:
    session = model.session(sampler=llmpy.greedy())
    first = going_on(session, IDS[:30], 8)
    session.rewind(30)
    assert going_on(session, [], 8) == first


def test_forks_go_separate_ways(model: llmpy.Model) -> None:
    origin = model.session(sampler=llmpy.greedy())
    origin.feed(IDS[:40])
    branch, other = origin.fork(), origin.fork()
    assert going_on(branch, IDS[50:60]) == tokens_after(model, IDS[:40] + IDS[50:60])
    origin.close()
    assert going_on(other, IDS[60:80]) == tokens_after(model, IDS[:40] + IDS[60:80])
    branch.rewind(45)
    assert going_on(branch, []) == tokens_after(model, IDS[:40] + IDS[50:55])


def before(_: Fail) -> Fail:
    def fail(*_: Any) -> Any:
        raise KeyboardInterrupt

    return fail


def after(run: Fail) -> Fail:
    def fail(*arguments: Any) -> Any:
        run(*arguments)
        raise KeyboardInterrupt

    return fail


def half(run: Fail) -> Fail:
    """All of the memory is changed, as if only a part of the step had been done."""

    def fail(batch: Any, states: Any) -> Any:
        part = Batch(
            batch.tokens[:3], batch.positions[:3], batch.sessions[:3], batch.output_rows[:0]
        )
        run(part, states)
        raise KeyboardInterrupt

    return fail


@pytest.mark.parametrize("failing", [before, after, half])
@pytest.mark.parametrize("already", [0, 20])
def test_a_step_that_fails_leaves_tokens_and_memory_in_agreement(
    failing: Callable[[Fail], Fail], already: int, model: llmpy.Model
) -> None:
    session = model.session(sampler=llmpy.greedy())
    if already:
        session.feed(IDS[:already])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model._engine.plan, "run", failing(model._engine.plan.run), raising=False)
        with pytest.raises(KeyboardInterrupt):
            session.feed(IDS[already:60])
    tokens = session.tokens
    assert tokens == IDS[: len(tokens)]
    assert session.seen <= len(session)
    assert going_on(session, IDS[len(tokens) : 70]) == tokens_after(model, IDS[:70])


def test_memory_that_does_not_fit_is_refused(
    model: llmpy.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmpy.backends.space.available_memory", lambda: 1000)
    with pytest.raises(llmpy.OutOfMemory, match="the weights and the recurrent state need"):
        llmpy.load(model.path, backend="reference")


def test_sessions_do_not_disturb_each_other(model: llmpy.Model) -> None:
    first, second = (model.session(sampler=llmpy.greedy()) for _ in range(2))
    first.feed(IDS[:20])
    second.feed(IDS[30:60])
    assert going_on(first, IDS[20:25]) == tokens_after(model, IDS[:25])
    assert going_on(second, []) == tokens_after(model, IDS[30:60])


def test_closing_gives_memory_back(model: llmpy.Model) -> None:
    session = model.session()
    session.feed(IDS)
    state = session.transcript.sequence.cache
    assert state is not None
    session.close()
    assert state.recurrent is None
    assert state.pages == []


def test_sessions_in_one_batch_say_what_each_says_alone(model: llmpy.Model) -> None:
    sessions = [model.session(sampler=llmpy.greedy()) for _ in range(3)]
    for session, n in zip(sessions, (40, 7, 23), strict=True):
        session.feed(IDS[:n])
    sessions[1].rewind(5)  # reads again, beside the others
    tokens = [llmpy.next_tokens(sessions) for _ in range(5)]
    alone = [tokens_after(model, IDS[:n]) for n in (40, 5, 23)]
    assert [list(row) for row in zip(*tokens, strict=True)] == alone


def test_a_mark_holds_the_memory_of_its_text(model: llmpy.Model) -> None:
    session = model.session(sampler=llmpy.greedy())
    session.feed(IDS[:40])
    mark = session.mark()
    session.feed(IDS[50:80])
    session.rewind(20)
    session.rewind_to(mark)
    assert session.seen == 39
    assert going_on(session, []) == tokens_after(model, IDS[:40])


def test_an_edit_goes_on_as_a_fresh_session(model: llmpy.Model) -> None:
    session = model.session(sampler=llmpy.greedy())
    session.feed(IDS[:40])
    session.edit(20, IDS[60:70], end=25)
    assert going_on(session, []) == tokens_after(model, IDS[:20] + IDS[60:70] + IDS[25:40])


def test_going_back_costs_at_most_a_page(
    model: llmpy.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [int(token) for token in checkpoints.prompt(264, 230)]
    session = model.session(sampler=llmpy.greedy())
    session.feed(ids)
    computed: list[int] = []
    run = model._engine.plan.run

    def noted(batch: Any, caches: Any) -> Any:
        computed.extend(batch.positions.tolist())
        return run(batch, caches)

    monkeypatch.setattr(model._engine.plan, "run", noted, raising=False)
    for n in (200, 129, 128, 70):
        computed.clear()
        session.rewind(n)
        session.feed(ids[:3])
        assert computed == list(range((n + 1) // 64 * 64 if n > 64 else 0, n + 2)), n
    monkeypatch.undo()
    assert going_on(session, []) == tokens_after(model, ids[:70] + ids[:3])


def test_a_second_session_begins_at_the_last_page(model: llmpy.Model) -> None:
    ids = [int(token) for token in checkpoints.prompt(264, 150)][::-1]
    with model.session() as first:
        first.feed(ids)
    second = model.session(sampler=llmpy.greedy())
    assert second.infer([*ids, 7], max_tokens=0).n_cached == 128
    found = going_on(second, [])
    options: dict[str, Any] = {"n_ctx": 256, "n_batch": 16, "prefix_cache_bytes": 0}
    backend = "cpu" if hasattr(model._engine.plan, "generate") else "reference"
    with llmpy.load(model.path, backend=backend, **options) as plain:
        assert found == tokens_after(plain, [*ids, 7])


def test_many_prompts_go_on_as_alone(model: llmpy.Model) -> None:
    prompts = [IDS[:n] for n in (1, 40, 7, 90, 16)]
    found: list[list[int]] = [[] for _ in prompts]
    for step in model.batch_steps(prompts, n_parallel=3):
        tokens = step.logits.argmax(1).tolist()
        for number, token in zip(step.numbers, tokens, strict=True):
            found[number].append(token)
        step.choose(
            [-1 if len(found[i]) == 5 else t for i, t in zip(step.numbers, tokens, strict=True)]
        )
    assert found == [tokens_after(model, prompt) for prompt in prompts]
