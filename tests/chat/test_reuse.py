"""Whatever a chat has read before, it answers as a session that reads the conversation afresh."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llmpy
from llmpy.chat.reuse import reusable
from tests.arch import checkpoints
from tests.chat.conftest import byte_tokenizer

GREEDY = llmpy.greedy()
TEXTS = [
    "Once",
    "  upon a",
    "time.\n",
    "\u00e9\U0001f980",
    "</s>",
    "\n\n",
    "### Response:\n",
    "xxx",
]
TURNS = (
    "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}\n"
    "{% endfor %}assistant:"
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "undo", "edit", "retry", "fork", "pop", "leave"]),
        st.sampled_from(TEXTS),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=12,
)


def step(chats: list[llmpy.Chat], what: str, text: str, n: int) -> None:
    """One change of one of the chats, or an answer, which is checked."""
    chat = chats[n % len(chats)]
    if what == "undo":
        chat.undo()
    elif what == "edit" and chat.messages:
        chat.edit(n % len(chat.messages), text)
    elif what == "pop" and chat.messages:
        chat.messages.pop(n % len(chat.messages))
    elif what == "fork":
        chats.append(chat.fork())
    elif what == "leave":
        for _ in chat.say(f"{text}!", max_tokens=n):
            break
    elif what == "ask" or any(m["role"] == "user" for m in chat.messages):
        pieces = chat.say(f"{text}!", max_tokens=n) if what == "ask" else chat.retry(max_tokens=n)
        shown = "".join(piece.text for piece in pieces)
        assert chat.messages[-1]["content"] == shown.strip()
        check(chat, n)


def check(chat: llmpy.Chat, max_tokens: int) -> None:
    """The prompt is the template's text, and the answer is what follows it."""
    assert chat.stats is not None
    tokenizer, ids = chat.session.tokenizer, chat.session.tokens
    n_prompt = chat.stats.n_prompt + chat.stats.n_reused
    asked = chat.template.encode(chat.messages[:-1])
    read = tokenizer.decode(ids[:n_prompt], special=True)
    assert read == tokenizer.decode(asked, special=True)
    with chat.session.fork(sampler=GREEDY) as fresh:
        fresh.rewind(0)
        pieces = fresh.stream(ids[:n_prompt], max_tokens=max_tokens, bos=False)
        generated = [p.token for p in pieces if p.kind != "prompt" and p.token is not None]
    assert ids[n_prompt:] == generated[: len(ids) - n_prompt]
    if chat.stats.finish_reason != "stop":
        assert len(ids) == n_prompt + len(generated)


def check_all(model: llmpy.Model, template: str, steps: list[tuple[str, str, int]]) -> None:
    chats = [model.chat(template=template, sampler=GREEDY)]
    for what, text, n in steps:
        step(chats, what, text, n)
    for chat in chats:
        chat.close()


@pytest.mark.parametrize("template", ["alpaca", "llama2", TURNS])
@given(steps=STEPS)
@settings(max_examples=15)
def test_a_chat_answers_as_if_it_read_everything_afresh(
    fast_stories: llmpy.Model, template: str, steps: list[tuple[str, str, int]]
) -> None:
    check_all(fast_stories, template, steps)


@pytest.fixture(scope="module", params=["mamba", "falcon_h1"])
def recurrent(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[llmpy.Model]:
    """Tiny models whose memory cannot be cut."""
    golden = checkpoints.load_golden(request.param)
    folder: Path = tmp_path_factory.mktemp("recurrent") / request.param
    weights = golden.weights(checkpoints.spec(request.param))
    checkpoints.write(folder, golden.about["config"], weights)
    with llmpy.load(folder, n_ctx=1024, n_batch=16) as loaded:
        yield loaded


@given(steps=STEPS)
@settings(max_examples=10)
def test_so_does_one_with_recurrent_memory(
    recurrent: llmpy.Model, steps: list[tuple[str, str, int]]
) -> None:
    check_all(recurrent, "alpaca", steps)


def test_a_token_that_says_nothing_is_no_part_of_a_text() -> None:
    tokenizer = byte_tokenizer(["<s>", "</s>", "<unk>"])
    a, b, unknown = tokenizer.id("a"), tokenizer.id("b"), tokenizer.id("<unk>")
    assert a is not None
    assert b is not None
    assert unknown is not None
    assert reusable([a, b], ["ab"], tokenizer) == (2, [])
    assert reusable([a, unknown, b], ["ab"], tokenizer) == (1, [b])
