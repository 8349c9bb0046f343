"""-s and --explain: sampler strings on the command line."""

from __future__ import annotations

import pytest

import llmpy
from llmpy.cli.chatting.settings import Settings

PROMPT = "Once upon a time"


@pytest.fixture
def plain(run, stories):  # type: ignore[no-untyped-def]
    """`llmpy infer` without options of the sampler."""
    return lambda *options: run("infer", "-m", stories, "-p", PROMPT, *options)


def test_a_sampler_string_is_the_sampler(plain) -> None:
    greedy = plain("-n", 12, "--temperature", 0)
    assert plain("-n", 12, "-s", "greedy").out == greedy.out
    assert plain("-n", 12, "-s", "top-k:k=1/temperature:0.7").out == greedy.out


def test_several_are_applied_in_their_order(plain, stories) -> None:
    found = plain("-n", 12, "--seed", 3, "-s", "top-k:4", "-s", "temp:2").out
    with llmpy.load(stories) as model, model.session(sampler="top-k:4/temp:2", seed=3) as session:
        session.infer(PROMPT, max_tokens=12)
        assert found.strip() == session.text.strip()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-s", "topk5"), "did you mean 'top-k'"),
        (("-s", "top-k:5", "--top-p", 0.5), "-s is the whole sampler: leave out --top-p"),
        (("-s", "top-k:5/mirostat2"), "leave out top-k:k=5"),
        (("-s", "top-p:7"), "top_p: expected"),
    ],
)
def test_wrong_ones_are_refused_before_the_model_is_read(plain, options, message: str) -> None:
    done = plain(*options)
    assert done.code == 2
    assert message in done.err


def test_explain_shows_what_each_sampler_left(plain) -> None:
    without = plain("-n", 3, "--seed", 1, "-s", "top-k:3/min-p:0.5")
    done = plain("-n", 3, "--seed", 1, "-s", "top-k:3/min-p:0.5", "--explain")
    assert done.out == without.out
    lines = done.err.splitlines()
    assert [line.split()[0] for line in lines] == ["->", "model", "top-k:k=3", "min-p:p=0.5"] * 3
    assert lines[1].split()[1] == "512:"
    assert lines[2].split()[1] == "3:"


def test_a_chat_takes_one(run, stories) -> None:
    done = run("repl", stories, PROMPT, "--template", "chatml", "-n", 4, "-s", "greedy")
    other = run("repl", stories, PROMPT, "--template", "chatml", "-n", 4, "--temperature", 0)
    assert (done.code, done.out) == (0, other.out)


def test_the_sampler_of_a_chat_can_be_set() -> None:
    settings = Settings(sampling={"temperature": 0.3})
    settings.set("sampler", "top_k:7")
    assert str(settings.sampler()) == "top-k:k=7"
    assert ("sampler", "top-k:k=7") in [row[:2] for row in settings.rows()]
    with pytest.raises(ValueError, match="the sampler is top-k:k=7: change that instead"):
        settings.set("temperature", "0.5")
    with pytest.raises(ValueError, match="did you mean 'top-k'"):
        settings.set("sampler", "top-kk:3")
    settings.set("sampler", "default")
    settings.set("temperature", "0.5")
    assert "temperature:0.5" in str(settings.sampler())
