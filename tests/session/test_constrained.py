"""Constraints in sessions: generated text matches, whoever samples, forks, rewinds or batches."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from llmpy.constraints import state

PHRASE = r"(red|green|blue), [0-9]{2,5} (apples|pears)\."
NUMBERS = llmpy.regex(r"[0-9]{3} [0-9]{3} [0-9]{3}")


def own_step(logits: Any, _: Any) -> Any:
    """A step in Python that changes nothing."""
    return logits


def generated(session: llmpy.Session, prompt: str = "", **options: Any) -> tuple[str, str]:
    """The generated text, and why it ended."""
    text, reason = "", ""
    for piece in session.stream(prompt, **options):
        text += piece.text if piece.kind != "prompt" else ""
        reason = piece.finish_reason or reason
    return text, reason


@pytest.mark.parametrize("seed", range(4))
def test_what_is_generated_matches_and_ends_by_itself(stories: llmpy.Model, seed: int) -> None:
    with stories.session(seed=seed) as session:
        text, reason = generated(session, "Once", constrain=llmpy.regex(PHRASE))
    assert re.fullmatch(PHRASE, text.lstrip())
    assert reason == "end"


def test_samplers_in_python_are_constrained_as_native_ones(stories: llmpy.Model) -> None:
    texts = set()
    for steps in ((llmpy.greedy(),), (own_step, llmpy.greedy())):
        with stories.session(sampler=llmpy.chain(*steps)) as session:
            texts.add(generated(session, "Once", constrain=NUMBERS)[0])
    assert len(texts) == 1


def test_forced_tokens_take_no_steps_of_their_own(
    fast_stories: llmpy.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = fast_stories._engine.plan
    sizes = []
    run = plan.run
    monkeypatch.setattr(
        plan, "run", lambda batch, caches: sizes.append(len(batch.tokens)) or run(batch, caches)
    )
    with fast_stories.session(seed=1) as session:
        stats = session.infer("Once", constrain=llmpy.regex("The little girl said (yes|no)"))
    assert stats.n_generated > 5
    assert len(sizes) <= 3  # the forced beginning is read with the prompt
    assert max(sizes) > 5


def test_a_complete_answer_ends_without_an_end_token(fast_stories: llmpy.Model) -> None:
    with fast_stories.session() as session:
        session.infer("Once", constrain=llmpy.choices(["a", "the"]))
        assert not session.ended
        assert session.text.endswith(("a", "the"))


def test_logprobs_are_those_of_the_model_itself(fast_stories: llmpy.Model) -> None:
    with fast_stories.session(seed=2) as session:
        pieces = list(session.stream("Once upon", constrain=NUMBERS, logprobs=3, max_tokens=4))
    tokens = fast_stories.tokenizer.encode("Once upon", bos=None)
    for piece in pieces:
        if piece.kind == "generated":
            (logits,) = fast_stories.logits(tokens, len(tokens) - 1)
            expected = logits[0] - np.logaddexp.reduce(logits[0].astype(np.float64))
            assert piece.logprobs is not None
            assert piece.logprobs.chosen == pytest.approx(expected[piece.token], abs=1e-4)
            assert piece.logprobs.top[0][0] == int(np.argmax(expected))
            assert piece.token is not None
            tokens.append(piece.token)


def test_a_fork_goes_on_where_the_stream_is(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session(seed=3)
    stream = session.stream("Once", constrain=NUMBERS)
    begun = ""
    for piece in stream:
        begun += piece.text if piece.kind == "generated" else ""
        if len(begun) >= 4:
            break
    forks = [session.fork(seed=i) for i in range(3)]
    stream.close()
    ends = [begun + generated(fork)[0] for fork in forks]
    assert all(re.fullmatch("[0-9 ]{11}", end) and end.startswith(begun) for end in ends)
    assert session.constraint is None
    assert forks[0].constraint == NUMBERS


def test_rewind_goes_back_in_the_constraint(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session(seed=4)
    n = session.feed("Once")
    session.constraint = NUMBERS
    tokens = [session.next_token() for _ in range(6)]
    session.rewind(n + 2)
    _, reason = generated(session)
    assert reason == "end"
    whole = fast_stories.tokenizer.decode([*session.tokens[:n], *session.tokens[n:]])
    assert re.search("[0-9]{3} [0-9]{3} [0-9]{3}$", whole)
    assert session.tokens[n : n + 2] == tokens[:2]
    session.rewind(n)
    assert generated(session)[1] == "end"


def test_a_constraint_of_a_session_begins_anew_behind_what_is_fed(
    fast_stories: llmpy.Model,
) -> None:
    session = fast_stories.session(seed=5)
    session.constraint = llmpy.regex("[0-9]{2}")
    for _ in range(3):
        assert re.fullmatch("[0-9]{2}", generated(session, " then ")[0].strip())
    session.constraint = None
    assert generated(session, "", max_tokens=3)[1] == "length"


def test_a_mark_keeps_the_constraint(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session(seed=6)
    session.feed("Once")
    session.constraint = NUMBERS
    for _ in range(3):
        session.next_token()
    mark = session.mark()
    first = generated(session)[0]
    session.rewind_to(mark)
    second = generated(session)[0]
    assert len(first.strip()) == len(second.strip()) > 3


def test_constrained_and_free_sessions_share_steps(stories: llmpy.Model) -> None:
    def sessions() -> list[llmpy.Session]:
        made = [stories.session(seed=i) for i in range(4)]
        for i, session in enumerate(made):
            session.feed("Once upon a time")
            if i % 2:
                session.constraint = llmpy.regex("[0-9]{40}")
        return made

    alone = [[session.next_token() for _ in range(12)] for session in sessions()]
    together = sessions()
    steps = [llmpy.next_tokens(together) for _ in range(12)]
    assert [list(tokens) for tokens in zip(*steps, strict=True)] == alone


def test_threads_of_constrained_and_free_sessions(fast_stories: llmpy.Model) -> None:
    def one(i: int) -> str:
        with fast_stories.session(seed=i) as session:
            constrain = llmpy.regex("[0-9]{20}") if i % 2 else None
            return generated(session, "Once", constrain=constrain, max_tokens=20)[0]

    alone = [one(i) for i in range(8)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one, range(8))) == alone
    assert all(re.fullmatch("[0-9]{20}", text.strip()) for text in alone[1::2])


def test_a_stream_that_is_left_leaves_no_constraint(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session(seed=7)
    next(session.stream("Once", constrain=NUMBERS))
    session.feed(" upon")  # which ends the stream
    assert session.constraint is None
    assert generated(session, max_tokens=5)[1] in ("length", "end")


def test_a_token_that_is_not_allowed_is_an_error(fast_stories: llmpy.Model) -> None:
    session = fast_stories.session()
    session.feed("Once")
    session.constraint = NUMBERS
    transcript = session.transcript
    transcript.sequence.tokens.add(fast_stories.tokenizer.encode("girl")[-1])
    with pytest.raises(llmpy.ConstraintError, match="not allowed here"):
        session.next_token()


def test_a_sampler_that_removes_all_allowed_tokens_is_an_error(fast_stories: llmpy.Model) -> None:
    def only_first(logits: Any, _: Any) -> Any:
        logits[1:] = -np.inf
        return logits

    with (
        fast_stories.session(sampler=only_first) as session,
        pytest.raises(llmpy.SamplerError, match="only -inf"),
    ):
        session.infer("Once", constrain=NUMBERS)


def test_shifted_contexts_keep_the_constraint(shared_data: Any) -> None:
    path = shared_data("weights/stories260K/stories260K.gguf")
    with (
        llmpy.load(path, n_ctx=64) as model,
        model.session(seed=1, overflow="shift") as session,
        pytest.warns(llmpy.ContextWarning),
    ):
        text, reason = generated(
            session, "Once upon a time", constrain=llmpy.regex("[0-9]{100}"), max_tokens=150
        )
    assert reason == "end"
    assert re.fullmatch("[0-9]{100}", text.strip())


def test_masks_that_take_long_are_computed_by_another_thread(
    fast_stories: llmpy.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def text() -> str:
        with fast_stories.session(seed=9) as session:
            return generated(session, "Once", constrain=NUMBERS)[0]

    here = text()
    threads: list[Any] = []
    monkeypatch.setattr(state, "WORTH_A_THREAD", -1.0)
    thread = state._thread
    monkeypatch.setattr(state, "_thread", lambda: threads.append(1) or thread())
    assert text() == here
    assert len(threads) > 3


def test_a_full_context_is_an_error_and_leaves_the_session(shared_data: Any) -> None:
    path = shared_data("weights/stories260K/stories260K.gguf")
    with llmpy.load(path, n_ctx=64) as model, model.session(seed=1) as session:
        session.feed("Once upon a time")
        before = session.tokens
        with pytest.raises(llmpy.AnswerError, match="context is full") as caught:
            session.parse(" there were", {"type": "string", "minLength": 200})
        assert caught.value.finish_reason == "context"
        assert len(caught.value.text) > 20
        assert session.tokens == before
        assert session.constraint is None
        assert session.parse(" there were", bool) in (True, False)


def test_a_cancelled_answer_is_an_error(fast_stories: llmpy.Model) -> None:
    with fast_stories.session(seed=1) as session:
        answers = session.parse("Once", {"type": "string", "minLength": 200}, stream=True)
        next(answers)
        session.cancel()
        with pytest.raises(llmpy.AnswerError, match="cancelled"):
            list(answers)
        assert session.tokens == []


def test_an_answer_that_is_left_leaves_what_was_seen(fast_stories: llmpy.Model) -> None:
    with fast_stories.session(seed=1) as session:
        answers = session.parse("Once", {"type": "string", "minLength": 200}, stream=True)
        for partial in answers:
            if len(partial.text) > 10:
                break
        answers.close()
        assert session.constraint is None
        assert session.text.endswith(partial.text)


def test_mistakes_are_found_before_anything_is_read(fast_stories: llmpy.Model) -> None:
    with fast_stories.session() as session:
        for wrong in ({"uniqueItems": True}, {"minimum": 3, "maximum": 2, "type": "integer"}):
            with pytest.raises(llmpy.ConstraintError):
                session.parse("Once", wrong)
        with pytest.raises(TypeError):
            session.stream("Once", constrain=b"bytes")
        with pytest.raises(llmpy.ConstraintError):
            session.stream("Once", constrain=llmpy.grammar("start: nobody"))
        assert session.tokens == []


def test_details_of_an_answer(fast_stories: llmpy.Model) -> None:
    schema = {"type": "array", "prefixItems": [{"enum": [1, 2]}, {"const": "girl"}], "minItems": 2}
    with fast_stories.session(seed=1) as session:
        parsed = session.parse("Once", {**schema, "maxItems": 2}, details=True)
    assert parsed.value[1] == "girl"
    assert parsed.probabilities.keys() == {"/0", "/1"}
    assert parsed.probabilities["/1"] == 1.0
    assert 0.0 < parsed.probabilities["/0"] < 1.0
    assert parsed.probability == pytest.approx(parsed.probabilities["/0"], rel=1e-3)
    assert parsed.n_forced == parsed.n_tokens - 1
    assert parsed.stats is not None
    assert parsed.stats.n_generated == parsed.n_tokens


def test_a_session_with_a_constraint_is_not_saved_without_it(
    fast_stories: llmpy.Model, tmp_path: Path
) -> None:
    with fast_stories.session(seed=1) as session:
        session.constraint = llmpy.regex("[a-z ]+")
        session.infer("Once", max_tokens=5)
        with pytest.raises(llmpy.SnapshotError, match=r"constraint: .*session\.constraint = None"):
            session.save(tmp_path / "s")
        assert not (tmp_path / "s").exists()
        session.constraint = None
        session.save(tmp_path / "s")
        assert fast_stories.load_session(tmp_path / "s").tokens == session.tokens
