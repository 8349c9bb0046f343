"""Conversations of every kind, for the tests and goldens of chat templates."""

from __future__ import annotations

from typing import Any

SYSTEM = {"role": "system", "content": "You are a pirate.\nAnswer briefly."}
USER = {"role": "user", "content": "  Hello, how are you?\n"}
REPLY = {"role": "assistant", "content": "Arr! I be fine. \n"}
AGAIN = {
    "role": "user",
    "content": "Count: 1 < 2 > 0 & \"three\" 'four' {{ 5 }} {% 6 %} <b>七</b> 🦀",
}
THOUGHT = {
    "role": "assistant",
    "reasoning_content": "They greet me.\nI greet back.",
    "content": "Hello!",
}
INLINE = {"role": "assistant", "content": "<think>\nThey greet me.\n</think>\n\nHello!"}
PARTS = {
    "role": "user",
    "content": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}],
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a place.\nToday's only.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A town, e.g. Zürich"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer"},
            },
            "required": ["place"],
        },
    },
}
TIME = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "Get the time.",
        "parameters": {"type": "object", "properties": {}, "required": []},
    },
}
ASK = {"role": "user", "content": "What is the weather in Zürich?"}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "call00001",
            "type": "function",
            "function": {
                "name": "get_weather",
                "arguments": {"place": "Zürich", "days": 2, "unit": "celsius"},
            },
        }
    ],
}
RESULT = {
    "role": "tool",
    "name": "get_weather",
    "tool_call_id": "call00001",
    "content": '{"temperature": 21.5, "sky": "clear"}',
}
ANSWER = {"role": "assistant", "content": "21.5 °C and clear."}
TOOLS = [WEATHER, TIME]


def _case(*messages: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"messages": list(messages), "add_generation_prompt": True, **options}


CASES: dict[str, dict[str, Any]] = {
    "plain": _case(USER),
    "no prompt": _case(USER, add_generation_prompt=False),
    "system": _case(SYSTEM, USER),
    "turns": _case(USER, REPLY, AGAIN),
    "system and turns": _case(SYSTEM, USER, REPLY, AGAIN, REPLY, USER),
    "ended": _case(USER, REPLY, add_generation_prompt=False),
    "parts": _case(PARTS),
    "continued": _case(
        USER, {"role": "assistant", "content": "Arr! I"},
        add_generation_prompt=False, continue_final_message=True,
    ),
    "continued with a space": _case(
        USER, {"role": "assistant", "content": "Arr! I "},
        add_generation_prompt=False, continue_final_message=True,
    ),
    "reasoning": _case(USER, THOUGHT, AGAIN),
    "reasoning last": _case(USER, THOUGHT, add_generation_prompt=False),
    "reasoning inline": _case(USER, INLINE, AGAIN),
    "thinking on": _case(USER, template_kwargs={"enable_thinking": True, "thinking": True}),
    "thinking off": _case(USER, template_kwargs={"enable_thinking": False, "thinking": False}),
    "tools": _case(ASK, tools=TOOLS),
    "tools and system": _case(SYSTEM, ASK, tools=TOOLS),
    "tool call": _case(ASK, CALL, tools=TOOLS, add_generation_prompt=False),
    "tool result": _case(ASK, CALL, RESULT, tools=TOOLS),
    "tool answer": _case(ASK, CALL, RESULT, ANSWER, USER, tools=TOOLS),
    "documents": _case(
        ASK,
        template_kwargs={},
        documents=[{"title": "Weather", "text": "Zürich: clear.", "content": "Zürich: clear."}],
    ),
    "two users": _case(USER, AGAIN),
    "assistant first": _case(REPLY, USER),
    "unicode": _case(
        {"role": "user", "content": "e\u0301 \u2028 \ufeff \U0001f9d1\u200d\U0001f33e"},
    ),
}  # fmt: skip
