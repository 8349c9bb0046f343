"""/v1/completions, and the paths for texts and tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import llmpy
from tests.server.conftest import Running

PATH = "/v1/completions"
ONCE = "Once upon a time"


def request(**more: Any) -> dict[str, Any]:
    return {"prompt": ONCE, "seed": 3, "max_tokens": 12, **more}


def texts(answer: Any) -> list[str]:
    return [choice["text"] for choice in answer.json["choices"]]


def test_a_text_goes_on_as_the_model_has_it(server: Running, stories: Path) -> None:
    answer = server.post(PATH, request(temperature=0.7))
    with llmpy.load(stories, n_ctx=512) as model:
        chain = llmpy.default_chain(**{**model.recommended_sampling, "temperature": 0.7})
        expected = model.generate(ONCE, max_tokens=12, seed=3, sampler=chain)
        n_prompt = len(model.tokenizer.encode(ONCE, bos=None))
    assert texts(answer) == [expected.text]
    assert answer.json["usage"]["prompt_tokens"] == n_prompt
    assert answer.json["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("fields", "sampler"),
    [
        ({"typical_p": 0.9}, "top-k:40/locally-typical:0.9/top-p:0.95/min-p:0.05/temperature:0.7"),
        (
            {"tfs_z": 0.9, "top_n_sigma": 2, "min_p": 0},
            "top-n-sigma:2/top-k:40/tail-free:0.9/top-p:0.95/temperature:0.7",
        ),
        (
            {"xtc_probability": 1, "xtc_threshold": 0.05, "top_p": 1, "min_p": 0},
            "top-k:40/xtc:probability=1:threshold=0.05/temperature:0.7",
        ),
        ({"mirostat": 2, "mirostat_tau": 4}, "temperature:0.7/mirostat2:tau=4"),
        ({"mirostat": 1}, "temperature:0.7/mirostat1"),
        (
            {"dynatemp_range": 0.3, "top_p": 1, "min_p": 0},
            "top-k:40/dynamic-temperature:low=0.4:high=1",
        ),
        (
            {"dry_multiplier": 0.8, "dry_sequence_breakers": ["."], "temperature": 0},
            'dry:breakers=["."]/greedy',
        ),
    ],
    ids=str,
)
def test_samplers_of_llama_cpp(
    server: Running, stories: Path, fields: dict[str, Any], sampler: str
) -> None:
    answer = server.post(PATH, request(**{"temperature": 0.7, **fields}))
    with llmpy.load(stories, n_ctx=512) as model:
        expected = model.generate(ONCE, max_tokens=12, seed=3, sampler=sampler)
    assert texts(answer) == [expected.text]


def test_tokens_that_were_computed_before_are_counted(server: Running) -> None:
    prompt = [5 + i % 400 for i in range(150)]
    usages = [server.post(PATH, request(prompt=prompt)).json["usage"] for _ in range(2)]
    usages.append(server.post(PATH, request(prompt=prompt, n=2)).json["usage"])
    found = [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages]
    assert found == [0, 128, 128]


def test_several_prompts_are_answered_in_order(server: Running) -> None:
    prompts = [ONCE, "The dog", "A cat"]
    several = texts(server.post(PATH, request(prompt=prompts, n=2)))
    alone = [texts(server.post(PATH, request(prompt=prompt, n=2))) for prompt in prompts]
    assert several == [text for two in alone for text in two]


def test_token_ids_are_taken_as_they_are(server: Running) -> None:
    tokens = server.post("/tokenize", {"content": ONCE, "add_special": True}).json["tokens"]
    assert texts(server.post(PATH, request(prompt=tokens))) == texts(server.post(PATH, request()))
    two = server.post(PATH, request(prompt=[tokens, tokens[:3]]))
    assert texts(two)[0] == texts(server.post(PATH, request()))[0]


def test_a_stream_says_what_the_whole_answer_says(server: Running) -> None:
    whole = texts(server.post(PATH, request(n=2, echo=True)))
    asked = request(n=2, echo=True, stream=True, stream_options={"include_usage": True})
    events = server.post(PATH, asked).events
    for i in range(2):
        parts = [c["text"] for e in events for c in e["choices"] if c["index"] == i]
        assert "".join(parts) == whole[i]
        assert whole[i].startswith(ONCE)
    assert events[-1]["usage"]["completion_tokens"] == 24


def test_no_token_is_generated_where_none_is_asked_for(server: Running) -> None:
    answer = server.post(PATH, request(max_tokens=0, echo=True))
    assert texts(answer) == [ONCE]
    assert answer.json["usage"]["completion_tokens"] == 0


def test_log_probabilities_name_tokens_and_places(server: Running) -> None:
    whole = server.post(PATH, request(logprobs=2, temperature=0)).json["choices"][0]
    found = whole["logprobs"]
    assert "".join(found["tokens"]) == whole["text"]
    assert [len(top) for top in found["top_logprobs"]] == [2] * 12
    for token, offset in zip(found["tokens"], found["text_offset"], strict=True):
        assert whole["text"][offset:].startswith(token)
    events = server.post(PATH, request(logprobs=2, temperature=0, stream=True)).events
    offsets = [o for e in events for c in e["choices"] if c["logprobs"] for o in
               c["logprobs"]["text_offset"]]  # fmt: skip
    assert offsets == found["text_offset"]


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("prompt", [], "prompt"),
        ("prompt", 5, "prompt"),
        ("prompt", ["x", 5], "prompt[1]"),
        ("prompt", [5, 10**9], "prompt"),
        ("prompt", [[5], [-1]], "prompt[1]"),
        ("prompt", [[]], None),
        ("prompt", ["x"] * 1000, None),
        ("best_of", 3, "best_of"),
        ("logprobs", 21, "logprobs"),
    ],
)
def test_a_wrong_field_is_refused(
    server: Running, field: str, value: Any, param: str | None
) -> None:
    answer = server.post(PATH, request(**{field: value}))
    if value == [[]]:  # no text: it begins with the token that begins texts
        assert answer.status == 200
        return
    assert answer.status == 400
    assert answer.json["error"]["param"] == param


def test_tokens_and_texts_go_both_ways(server: Running, stories: Path) -> None:
    tokenizer = llmpy.load_tokenizer(stories)
    tokens = server.post("/tokenize", {"content": ONCE}).json["tokens"]
    assert tokens == tokenizer.encode(ONCE)
    assert server.post("/detokenize", {"tokens": tokens}).json == {"content": ONCE}
    pieces = server.post("/tokenize", {"content": ONCE, "with_pieces": True}).json["tokens"]
    assert [piece["id"] for piece in pieces] == tokens
    assert "".join(piece["piece"] for piece in pieces).strip() == ONCE
    wrong = server.post("/detokenize", {"tokens": [1, 10**9]})
    assert (wrong.status, wrong.json["error"]["param"]) == (400, "tokens[1]")


def test_a_conversation_is_shown_as_the_model_reads_it(server: Running) -> None:
    asked = {"messages": [{"role": "user", "content": "Hi"}]}
    text = server.post("/apply-template", asked).json["prompt"]
    assert text == "<s><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
