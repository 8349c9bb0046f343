"""What a sampler may be where one is taken, and the parameters of the usual one by name."""

from __future__ import annotations

import pytest

import llmpy

PROMPT = "Once upon a time"


def test_parameters_by_name_are_those_of_the_usual_chain(fast_stories: llmpy.Model) -> None:
    with fast_stories.session(temperature=0.5, top_k=7) as session:
        assert str(session.sampler) == str(llmpy.default_chain(temperature=0.5, top_k=7))
    chat = fast_stories.chat(temperature=0.0, template="chatml")
    assert str(chat.session.sampler) == "greedy"
    chat.close()
    assert str(fast_stories.generate(PROMPT, max_tokens=5, temperature=0.0)) == str(
        fast_stories.generate(PROMPT, max_tokens=5, sampler=llmpy.greedy())
    )


def test_a_file_recommends_what_nobody_says(
    fast_stories: llmpy.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_stories, "recommended_sampling", {"top_k": 3, "temperature": 0.6})
    with fast_stories.session(temperature=1.0) as session:
        assert "top-k:k=3" in str(session.sampler)
        assert "temperature" not in str(session.sampler)


@pytest.mark.parametrize("how", ["session", "chat", "generate"])
def test_a_wrong_name_is_named(fast_stories: llmpy.Model, how: str) -> None:
    call = {
        "session": lambda: fast_stories.session(temprature=1.0),  # type: ignore[call-arg]
        "chat": lambda: fast_stories.chat(template="chatml", temprature=1.0),  # type: ignore[call-arg]
        "generate": lambda: fast_stories.generate(PROMPT, temprature=1.0),  # type: ignore[call-overload]
    }[how]
    with pytest.raises(TypeError, match="'temprature'; did you mean 'temperature'"):
        call()


def test_a_sampler_and_parameters_are_one_too_many(fast_stories: llmpy.Model) -> None:
    with pytest.raises(TypeError, match="found both: temperature"):
        fast_stories.session(sampler="greedy", temperature=1.0)


def test_a_string_is_a_sampler_everywhere(fast_stories: llmpy.Model) -> None:
    with fast_stories.session(sampler="top-k:1") as session:
        session.feed(PROMPT)
        with session.fork(sampler="greedy") as fork:
            assert fork.next_token() == session.next_token()
            assert (str(session.sampler), str(fork.sampler)) == ("top-k:k=1", "greedy")
    with pytest.raises(llmpy.SamplerError, match="did you mean 'greedy'"):
        fast_stories.session(sampler="greddy")


def test_texts_are_tokens_of_the_model(fast_stories: llmpy.Model) -> None:
    tokenizer = fast_stories.tokenizer
    text = tokenizer.piece(tokenizer.encode("Once upon")[1]).decode()
    (token,) = tokenizer.encode(text, bos=False, start=False)
    sampler = llmpy.chain(llmpy.logit_bias({text: 1000.0}), "greedy")
    with fast_stories.session(sampler=sampler) as session:
        session.infer(PROMPT, max_tokens=3)
        assert session.tokens[-3:] == [token] * 3
        assert session.sampler is sampler


def test_a_text_need_not_end(fast_stories: llmpy.Model) -> None:
    ends = dict.fromkeys(fast_stories.tokenizer.end_ids, 1000.0)
    with fast_stories.session(sampler=llmpy.chain(llmpy.logit_bias(ends), "greedy")) as session:
        assert session.infer(PROMPT, max_tokens=3).finish_reason == "end"
    chain = llmpy.chain(llmpy.logit_bias(ends), "ignore-eos/greedy")
    with fast_stories.session(sampler=chain) as session:
        assert session.infer(PROMPT, max_tokens=3).finish_reason == "length"


def test_what_happened_is_explained(stories: llmpy.Model) -> None:
    sampler = "top-k:k=5/top-p:p=0.8/temperature:0.7"
    with (
        stories.session(sampler=sampler, seed=1) as one,
        stories.session(sampler=sampler, seed=1) as two,
    ):
        pieces = list(one.stream(PROMPT, max_tokens=6, explain=2, logprobs=0))
        two.infer(PROMPT, max_tokens=6)
        assert one.tokens == two.tokens
        for piece in pieces:
            if piece.kind != "generated":
                assert piece.stages == ()
                continue
            assert [stage.step for stage in piece.stages] == sampler.split("/")
            first, second, third = piece.stages
            assert (first.n_before, first.n_after) == (stories.n_vocab, 5)
            assert first.after == second.before
            assert second.after == third.before
            assert sum(one.probability for one in second.after) <= 1.0 + 1e-9
            assert third.n_after > 2 or piece.token in [one.token for one in third.after]
            assert piece.logprobs is not None


@pytest.mark.parametrize("explain", [-1, 2.5, "x"])
def test_a_wrong_number_of_candidates_is_refused(
    fast_stories: llmpy.Model, explain: object
) -> None:
    with fast_stories.session() as session, pytest.raises((TypeError, ValueError), match="explain"):
        session.infer(PROMPT, explain=explain)  # type: ignore[arg-type]
