"""Texts that must not come: tokens are taken back, and another way is taken."""

from __future__ import annotations

import pytest

import llmpy

PROMPT = "Once upon a time, there was a"
BANNED = ("little girl", "Lily", "big")


def generated(session: llmpy.Session, **options: int) -> list[llmpy.Piece]:
    pieces = session.stream(PROMPT, **options)  # type: ignore[arg-type]
    return [piece for piece in pieces if piece.kind != "prompt"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rest", ["greedy", "top-k:40/temperature:0.9", "mirostat2:tau=3"])
def test_a_banned_text_never_comes(fast_stories: llmpy.Model, rest: str, seed: int) -> None:
    sampler = llmpy.chain(llmpy.banned_strings(*BANNED), rest)
    with fast_stories.session(sampler=sampler, seed=seed) as session:
        pieces = generated(session, max_tokens=60)
        text = "".join(piece.text for piece in pieces)
        assert not any(banned in text for banned in BANNED)
        assert session.text == PROMPT + text
        tokens = [piece.token for piece in pieces if piece.token is not None]
        assert session.tokens[-len(tokens) :] == tokens
        assert len(tokens) == 60 or pieces[-1].finish_reason == "end"


def test_without_it_the_texts_come(fast_stories: llmpy.Model) -> None:
    with fast_stories.session(sampler="greedy") as session:
        text = "".join(piece.text for piece in generated(session, max_tokens=60))
        assert "little girl" in text
        assert "Lily" in text


def test_the_text_before_a_banned_one_stays(fast_stories: llmpy.Model) -> None:
    with fast_stories.session(sampler="greedy") as free:
        plain = "".join(piece.text for piece in generated(free, max_tokens=40))
    sampler = llmpy.chain(llmpy.banned_strings("Lily"), "greedy")
    with fast_stories.session(sampler=sampler) as session:
        text = "".join(piece.text for piece in generated(session, max_tokens=40))
    same = plain[: plain.index("Lily")].rstrip()
    assert text.startswith(same)


def test_infer_says_what_a_stream_says(fast_stories: llmpy.Model) -> None:
    sampler = llmpy.chain(llmpy.banned_strings(*BANNED), "top-k:5")
    with (
        fast_stories.session(sampler=sampler, seed=1) as one,
        fast_stories.session(sampler=sampler, seed=1) as two,
    ):
        generated(one, max_tokens=30)
        stats = two.infer(PROMPT, max_tokens=30)
        assert one.tokens == two.tokens
        assert stats.n_generated == 30


def test_a_text_that_nothing_banned_follows_is_not_held_back(fast_stories: llmpy.Model) -> None:
    sampler = llmpy.chain(llmpy.banned_strings("qqqq"), "greedy")
    with (
        fast_stories.session(sampler="greedy") as plain,
        fast_stories.session(sampler=sampler) as session,
    ):
        assert [p.text for p in generated(session, max_tokens=20)] == [
            p.text for p in generated(plain, max_tokens=20)
        ]


def test_a_stream_that_is_left_ends_with_what_was_shown(fast_stories: llmpy.Model) -> None:
    sampler = llmpy.chain(llmpy.banned_strings("little girl named"), "greedy")
    with fast_stories.session(sampler=sampler) as session:
        shown = ""
        for piece in session.stream(PROMPT, max_tokens=30):
            shown += piece.text
            if piece.kind == "generated":
                break
        assert session.text == shown


def test_next_token_refuses_the_token_that_completes_it(fast_stories: llmpy.Model) -> None:
    sampler = llmpy.chain(llmpy.banned_strings(*BANNED), "greedy")
    with fast_stories.session(sampler=sampler) as session:
        session.feed(PROMPT)
        for _ in range(40):
            session.next_token()
        assert not any(banned in session.text for banned in BANNED)
    with fast_stories.session(sampler=sampler) as one, fast_stories.session(sampler=sampler) as two:
        for session in (one, two):
            session.feed(PROMPT)
        for _ in range(40):
            assert llmpy.next_tokens([one, two]) == [one.tokens[-1]] * 2
        assert not any(banned in one.text for banned in BANNED)


def test_log_probabilities_are_of_the_tokens_that_stay(fast_stories: llmpy.Model) -> None:
    sampler = llmpy.chain(llmpy.banned_strings(*BANNED), "greedy")
    with fast_stories.session(sampler=sampler) as session:
        pieces = [p for p in session.stream(PROMPT, max_tokens=12, logprobs=0) if p.logprobs]
        n = len(session) - len(pieces)
        score = fast_stories.score(session.tokens[n:], after=session.tokens[:n])
        assert [p.logprobs for p in pieces] == list(score.logprobs)


def test_a_stop_string_ends_it_still(fast_stories: llmpy.Model) -> None:
    sampler = llmpy.chain(llmpy.banned_strings("Lily"), "greedy")
    with fast_stories.session(sampler=sampler) as session:
        pieces = list(session.stream(PROMPT, max_tokens=40, stop="named"))
        assert pieces[-1].finish_reason == "stop"
        assert "named" not in "".join(piece.text for piece in pieces)


def test_where_nothing_else_may_come_it_is_an_error(fast_stories: llmpy.Model) -> None:
    two = [300, 301]
    texts = [fast_stories.tokenizer.piece(i).decode() for i in two]
    others = dict.fromkeys(set(range(fast_stories.n_vocab)) - set(two), -float("inf"))
    sampler = llmpy.chain(llmpy.banned_strings(*texts), llmpy.logit_bias(others))
    with fast_stories.session(sampler=sampler) as session:
        with pytest.raises(llmpy.SamplerError, match="found only -inf"):
            session.infer(PROMPT, max_tokens=3)
        assert len(session) == 0


@pytest.mark.parametrize("strings", [("",), (3,), ("a", "")])
def test_no_text_is_no_banned_text(strings: tuple[str, ...]) -> None:
    with pytest.raises(llmpy.SamplerError, match="banned_strings: expected non-empty strings"):
        llmpy.banned_strings(*strings)
