"""From the messages of a branch to what the model is given."""

from __future__ import annotations

from typing import Any

import pytest

from llmpy.apps.webapp.prompts import conversation, sampling_of
from llmpy.server import ApiError


def said(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, "thinking": "", "files": [], "tool_calls": [], **more}


def test_system_questions_and_answers() -> None:
    path = [said("user", "Hi"), said("assistant", " Hello. ", thinking="Greet")]
    assert conversation("Be brief.", path) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello.", "reasoning_content": "Greet"},
    ]
    assert conversation("  ", path)[0]["role"] == "user"


def test_questions_without_an_answer_between_them_become_one() -> None:
    path = [said("user", "Hi"), said("assistant", ""), said("user", "Hello?")]
    assert conversation(None, path) == [{"role": "user", "content": "Hi\n\nHello?"}]


def test_files_come_before_the_question_in_fences_that_hold_them() -> None:
    files = [{"name": "a.md", "text": "```\nx\n```\n"}, {"name": "b", "text": "y"}]
    (message,) = conversation(None, [said("user", "Why?", files=files)])
    first, second, question = message["content"].split("\n\n")
    assert first == "File a.md:\n````\n```\nx\n```\n````"
    assert second == "File b:\n```\ny\n```"
    assert question == "Why?"


def test_calls_stand_where_they_were_made() -> None:
    calls = [
        {"id": "1", "name": "f", "arguments": {"a": 1}, "state": "done", "result": "4", "at": 5},
        {"id": "2", "name": "g", "arguments": {}, "state": "failed", "error": "no", "at": 5},
        {"id": "3", "name": "h", "arguments": {}, "state": "running", "at": 5},
    ]
    found = conversation(None, [said("assistant", "Wait.Four.", tool_calls=calls)])
    assert [message["role"] for message in found] == ["assistant", "tool", "tool", "assistant"]
    assert (found[0]["content"], found[3]["content"]) == ("Wait.", "Four.")
    assert [call["id"] for call in found[0]["tool_calls"]] == ["1", "2"]
    assert [message["content"] for message in found[1:3]] == ["4", "no"]


def test_settings_without_those_that_are_null() -> None:
    given = {"temperature": 0.5, "top_k": None, "stop": ["a"], "think": False}
    assert sampling_of(given, "settings") == {"temperature": 0.5, "stop": ["a"], "think": False}
    assert sampling_of(None, "settings") == {}


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"top_p": 2}, "settings.top_p"),
        ({"top_k": 1.5}, "settings.top_k"),
        ({"stop": [""]}, "settings.stop"),
        ({"stop": ["a"] * 17}, "settings.stop"),
        ({"max_tokens": 2**40}, "settings.max_tokens"),
        ([], "settings"),
    ],
)
def test_settings_that_are_wrong_are_named(given: Any, param: str) -> None:
    with pytest.raises(ApiError) as caught:
        sampling_of(given, "settings")
    assert caught.value.param == param
