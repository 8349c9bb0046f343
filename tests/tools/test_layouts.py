"""Calls of tools in the formats of real templates: what is rendered is read back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmpy.chat import ChatTemplate
from llmpy.constraints import begin
from llmpy.errors import TemplateError
from llmpy.tokenizer import Tokenizer
from llmpy.tools import Layout, Tool, layout_of, parse_calls
from llmpy.tools.grammar import calls_constraint
from llmpy.tools.layouts import GENERIC, LAYOUTS
from tests.chat.conftest import ALSO, byte_tokenizer

FOUND = {
    "Apertus-8B-Instruct": "apertus",
    "Bielik-11B-v3.0-Instruct": "hermes",
    "Cohere2MoE": "command r",
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": "command r",
    "GLM-4.7-Flash": "glm",
    "GigaChat3.1-10B-A1.8B": "gigachat",
    "Kimi-K2-Instruct": "kimi k2",
    "Kimi-K3": "kimi k3",
    "LFM2.5-8B-A1B": "lfm",
    "MiMo-VL": "hermes",
    "MiniMax-M2": "minimax",
    "Mistral-Small-3.2-24B-Instruct-2506": "mistral with ids",
    "NVIDIA-Nemotron-Nano-v2": "nemotron",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": "hermes",
    "Qwen-Qwen2.5-7B-Instruct": "hermes",
    "Qwen-Qwen3-0.6B": "hermes",
    "Qwen3-Coder": "qwen coder",
    "Reka-Edge": "hermes",
    "StepFun3.5-Flash": "qwen coder",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": "deepseek r1",
    "deepseek-ai-DeepSeek-V3.2": "deepseek v3.2",
    "deepseek-ai-DeepSeek-V4": "deepseek v4",
    "google-gemma-2-2b-it": "generic",
    "google-gemma-4-31B-it": "gemma 4",
    "ibm-granite-granite-4.0": "hermes",
    "inclusionai-ling-3.0-flash": "glm",
    "llama-cpp-rwkv-world": "generic",
    "meetkai-functionary-medium-v3.2": "functionary 3.2",
    "meta-llama-Llama-3.1-8B-Instruct": "llama 3",
    "meta-llama-Llama-3.2-3B-Instruct": "llama 3",
    "microsoft-Phi-3.5-mini-instruct": "generic",
    "mistralai-Mistral-Nemo-Instruct-2407": "mistral nemo",
    "muse-glimmer": "muse",
    "openbmb-MiniCPM5-1B": "minicpm",
    "poolside-Laguna-XS-2.1": "glm",
    "tencent-Hy3": "hunyuan",
    "unsloth-mistral-Devstral-Small-2507": "mistral",
}
# generic: the template leaves calls out; Kimi K2's appends to lists, which no sandbox allows.
NOT_RENDERED = ("generic", "kimi k2")
RENDERED = [name for name, layout in FOUND.items() if layout not in NOT_RENDERED]
SAMPLES = {  # of families without a template here: published descriptions
    "deepseek v3.1": (
        "<\uff5ctool\u2581calls\u2581begin\uff5c><\uff5ctool\u2581call\u2581begin\uff5c>f"
        '<\uff5ctool\u2581sep\uff5c>{"a": 1}<\uff5ctool\u2581call\u2581end\uff5c>'
        "<\uff5ctool\u2581calls\u2581end\uff5c>"
    ),
    "kimi k2": (
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>"
        '{"a": 1}<|tool_call_end|><|tool_calls_section_end|>'
    ),
    "phi 4": '<|tool_call|>[{"name": "f", "arguments": {"a": 1}}]<|/tool_call|>',
    "granite 3": '<|tool_call|>[{"name": "f", "arguments": {"a": 1}}]',
    "functionary 3.1": '<function=f>{"a": 1}</function>',
    "llama 4": "[f(a=1)]",
    "generic": '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>',
}
BY_NAME = {layout.name: layout for layout in (*LAYOUTS, GENERIC)}
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "Where"},
        "days": {"type": "integer", "description": "How many"},
        "far": {"type": "boolean", "description": "Whether"},
        "parts": {"type": "array", "items": {"type": "integer"}, "description": "Which"},
    },
    "required": ["city"],
}
QUESTION = "Hello, how is it?"
TOOL = Tool("get_weather", "The weather.", SCHEMA)


def rendered(template: ChatTemplate, calls: list[dict[str, Any]]) -> str:
    """What the template writes for an answer that makes the calls, from where the prompt ends."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": QUESTION}]
    made = [
        {
            "id": f"call0000{i}",
            "type": "function",
            "function": {"name": "get_weather", "arguments": arguments},
        }
        for i, arguments in enumerate(calls)
    ]
    answer = {"role": "assistant", "content": "", "tool_calls": made}
    tools = [TOOL.as_dict()]
    whole = template.render([*messages, answer], tools=tools, add_generation_prompt=False)
    layout = layout_of(template.source)
    if not (layout.first or layout.primed):
        return whole.rpartition(QUESTION)[2]
    prompt = template.render(messages, tools=tools)
    assert whole.startswith(prompt)
    return whole.removeprefix(prompt)


def test_every_template_has_its_layout(templates: dict[str, str]) -> None:
    assert {name: layout_of(source).name for name, source in templates.items()} == FOUND


def test_every_layout_is_tried() -> None:
    tried = {*FOUND.values(), *SAMPLES}
    assert {*BY_NAME} - tried == {"harmony"}  # which has tests of its own


@pytest.mark.parametrize("name", RENDERED)
def test_what_a_template_writes_is_read_and_allowed(
    name: str, templates: dict[str, str], all_tokens: Tokenizer
) -> None:
    template, layout = ChatTemplate(templates[name], all_tokens), layout_of(templates[name])
    calls = [{"city": "Rome", "days": 3}, {"city": "Paris"}]
    try:
        written = rendered(template, calls)
    except TemplateError:
        calls = calls[:1]
        written = rendered(template, calls)
    if layout.name == "gigachat":  # which writes the first call only
        calls = calls[:1]
    assert read(written, layout) == calls
    for required in (True, False):
        options = {"required": required, "parallel": True}
        state = begin(calls_constraint(layout, [TOOL], all_tokens, **options), all_tokens)
        begun = written if layout.primed else written[written.index(layout.trigger) :]
        ids = all_tokens.encode_split(all_tokens.split(begun))
        matched = all_tokens.decode(ids[: state._matcher.try_consume_tokens(ids)], special=True)
        assert read(matched, layout) == calls or layout.name == "muse"  # channels: one at a time
        assert state._matcher.is_accepting()


def read(written: str, layout: Layout) -> list[dict[str, Any]]:
    _, calls = parse_calls(written, layout, {"get_weather": SCHEMA})
    assert {call.name for call in calls} <= {"get_weather"}
    assert len({call.id for call in calls}) == len(calls)
    return [call.arguments for call in calls]


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_read_and_allowed(name: str, all_tokens: Tokenizer) -> None:
    layout, sample = BY_NAME[name], SAMPLES[name]
    text, (call,) = parse_calls(sample, layout)
    assert (text, call.name, call.arguments) == ("", "f", {"a": 1})
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    constraint = calls_constraint(
        layout, [Tool("f", "", schema)], all_tokens, required=True, parallel=True
    )
    ids = all_tokens.encode_split(all_tokens.split(sample))
    matcher = begin(constraint, all_tokens)._matcher
    assert matcher.try_consume_tokens(ids) == len(ids)
    assert matcher.is_accepting()


WITH_QUOTES = [name for name in RENDERED if BY_NAME[FOUND[name]].arguments == "json"]
PLAIN = st.text("abcXYZ 0189.,:;!?-_\u00e9\u65e5", min_size=1).map(str.strip).filter(bool)
ANY = st.text(st.characters(exclude_categories=["Cs", "Cc"]))


def arguments(texts: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    others = {
        "days": st.integers(-(10**9), 10**9),
        "far": st.booleans(),
        "parts": st.lists(st.integers(0, 9), max_size=3),
    }
    return st.fixed_dictionaries({"city": texts}, optional=others)


@pytest.mark.parametrize("name", RENDERED)
@settings(
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_arguments_are_read_back(
    name: str, templates: dict[str, str], all_tokens: Tokenizer, data: st.DataObject
) -> None:
    given = data.draw(arguments(ANY if name in WITH_QUOTES else PLAIN))
    template = ChatTemplate(templates[name], all_tokens)
    assert read(rendered(template, [given]), layout_of(templates[name])) == [given]


def test_text_before_and_after_calls_stays() -> None:
    call = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    text, calls = parse_calls(f"One. {call}\n{call} Two.", GENERIC)
    assert (text, [c.id for c in calls]) == ("One. Two.", ["call00001", "call00002"])


def test_ids_that_models_choose_are_kept() -> None:
    written = '[TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS]{"a": 1}'
    _, (call,) = parse_calls(written, BY_NAME["mistral with ids"])
    assert (call.id, call.arguments) == ("abcdefghi", {"a": 1})
    written = '[TOOL_CALLS][{"name": "f", "arguments": {}, "id": "abcdefghi"}]'
    assert parse_calls(written, BY_NAME["mistral nemo"])[1][0].id == "abcdefghi"


def test_other_ways_to_write_an_object() -> None:
    for written in (
        '<tool_call>{"name":"f","parameters":{"a":1}}</tool_call>',
        '<tool_call> {"arguments": {"a": 1}, "name": "f"} </tool_call>',
        '<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>',
    ):
        assert parse_calls(written, GENERIC)[1][0].arguments == {"a": 1}
    json.dumps(GENERIC.example())


@pytest.mark.parametrize("control", [True, False], ids=["tokens", "text"])
@pytest.mark.parametrize(
    ("written", "required", "matches"),
    [
        ("<think>Shall I <tool_call> it?</think>\n\nCALL", True, True),
        ("<think>Shall I <tool_call> it?</think>CALL", False, True),
        ("<think>Hm.</think>Hello, <b>you</b>.", False, True),
        ("<think>Hm.</think>Hello. CALL", False, True),
        ("Hello. CALL", False, True),
        ("CALL", True, True),
        ("<think>Hm.</think>Hello", True, False),
        ("<think>Hm.", True, False),
    ],
)
def test_what_a_model_thinks_before_calls_is_free(
    control: bool, written: str, required: bool, matches: bool
) -> None:
    tokens = [token for token in ALSO if control or "think" not in token]
    tokenizer = byte_tokenizer(tokens)
    constraint = calls_constraint(
        GENERIC,
        [TOOL],
        tokenizer,
        required=required,
        parallel=True,
        tags=[("<think>", "</think>")],
    )
    matcher = begin(constraint, tokenizer)._matcher
    call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>'
    ids = tokenizer.encode_split(tokenizer.split(written.replace("CALL", call)))
    assert (matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()) == matches
