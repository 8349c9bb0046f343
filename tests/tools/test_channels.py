"""gpt-oss: calls in channels, by the published description of its format ("harmony")."""

from __future__ import annotations

from typing import Any

import pytest

from llmpy.chat.parts import AnswerReader
from llmpy.chat.thinking import format_of
from llmpy.constraints import begin
from llmpy.session import ToolCall
from llmpy.tokenizer import Tokenizer
from llmpy.tools import CallReader, Tool, layout_of
from llmpy.tools.grammar import calls_constraint
from tests.chat.conftest import ALSO, byte_tokenizer

CONTROLS = ("start", "end", "message", "channel", "constrain", "return", "call")
TEMPLATE = "{{ '<|channel|>commentary to=functions.' + name }}"
TOOL = Tool("look", "", {"properties": {"a": {"type": "integer"}}, "required": ["a"]})
THOUGHT = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
CALL = '<|channel|>commentary to=functions.look <|constrain|>json<|message|>{"a": 1}'
FINAL = "<|channel|>final<|message|>Hello."


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    also = [token for token in ALSO if token != "<|end|>"]
    return byte_tokenizer([*also, *(f"<|{name}|>" for name in CONTROLS)])


def read(written: str, tokenizer: Tokenizer) -> list[Any]:
    layout = layout_of(TEMPLATE)
    thinking = format_of(tokenizer, "").reader("<|start|>assistant")
    reader = AnswerReader(thinking, layout, CallReader(layout, {}))
    parts: list[Any] = []
    for part in tokenizer.encode_split(tokenizer.split(written)):
        is_control = tokenizer.is_control(part)
        text = "" if is_control else tokenizer.decode([part])
        parts += reader.add(text, tokenizer.token(part) if is_control else "")
    parts += reader.end()
    found: list[Any] = []
    for kind, what in parts:
        if isinstance(what, str) and found and found[-1][0] == kind:
            what = found.pop()[1] + what
        found.append((kind, what))
    return found


def test_calls_are_read(tokenizer: Tokenizer) -> None:
    call = ToolCall("call00001", "look", {"a": 1})
    assert read(CALL, tokenizer) == [("tool_call", call)]
    assert read(THOUGHT + CALL, tokenizer) == [("thinking", "Hm."), ("tool_call", call)]
    assert read(FINAL, tokenizer) == [("generated", "Hello.")]
    other = ' to=functions.look<|channel|>commentary json<|message|>{"a": 1}'
    assert read(other, tokenizer) == [("tool_call", call)]


@pytest.mark.parametrize(
    ("text", "required", "matches"),
    [
        (CALL, True, True),
        (THOUGHT + CALL, True, True),
        (CALL, False, True),
        (THOUGHT + FINAL, False, True),
        (FINAL, True, False),
        (CALL.replace("1", '"x"'), False, False),
        (CALL.replace("look", "see"), False, False),
    ],
)
def test_calls_are_constrained(
    tokenizer: Tokenizer, text: str, required: bool, matches: bool
) -> None:
    constraint = calls_constraint(
        layout_of(TEMPLATE), [TOOL], tokenizer, required=required, parallel=True
    )
    matcher = begin(constraint, tokenizer)._matcher
    ids = tokenizer.encode_split(tokenizer.split(text))
    assert (matcher.try_consume_tokens(ids) == len(ids)) == matches
    assert bool(matcher.is_accepting()) == matches
