"""What a model thinks is told from what it answers, however the text is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmpy.chat.thinking import Format, format_of
from tests.chat.conftest import byte_tokenizer

THINK = Format((("<think>", "</think>"),), channels=False)
CHANNELS = Format((), channels=True)


def read(form: Format, prompt: str, pieces: list[str]) -> tuple[str, str]:
    """Thinking and answer of an answer that comes in these pieces."""
    reader = form.reader(prompt)
    parts = [part for piece in pieces for part in reader.add(piece)] + reader.end()
    assert all(text for _, text in parts)
    thinking = "".join(text for kind, text in parts if kind == "thinking")
    return thinking, "".join(text for kind, text in parts if kind == "generated")


WHOLE = {
    ("assistant\n", "<think>\nHm.\n\nSo.\n</think>\n\nYes."): ("Hm.\n\nSo.", "Yes."),
    ("assistant\n", "Yes."): ("", "Yes."),
    ("assistant\n", "  Yes < no."): ("", "  Yes < no."),
    ("assistant\n<think>\n", "Hm.\n</think>\nYes."): ("Hm.", "Yes."),
    ("assistant\n<think>\n\n</think>\n\n", "Yes."): ("", "Yes."),
    ("assistant\n", "<think>Hm"): ("Hm", ""),
    ("assistant\n", "<think>Hm </thi"): ("Hm </thi", ""),
    ("assistant\n", "<think></think>Yes."): ("", "Yes."),
    ("assistant\n", "I say <think> aloud </think>."): ("", "I say <think> aloud </think>."),
    ("assistant\n", "\n<think>a</think>b</think>c"): ("a", "b</think>c"),
    ("assistant\n", "<thin"): ("", "<thin"),
    ("assistant\n", "<think><\n"): ("<", ""),
    ("assistant\n<think>\n\n</think>\n\n", "</think>\n\nYes."): ("", "Yes."),
}


@pytest.mark.parametrize(("prompt", "text"), WHOLE)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_thinking_is_told_from_the_answer(prompt: str, text: str, size: int) -> None:
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    assert read(THINK, prompt, pieces) == WHOLE[prompt, text]


@given(st.lists(st.sampled_from(["<", "think>", "<think>", "</think>", "</", "a", "\n", " ", "b"])))
def test_how_the_text_is_cut_changes_nothing(pieces: list[str]) -> None:
    assert read(THINK, "", pieces) == read(THINK, "", list("".join(pieces)))


def test_channels_say_for_whom_a_part_is() -> None:
    pieces = [
        "<|channel|>", "analysis", "<|message|>", "They ", "ask.", "<|end|>", "<|start|>",
        "assistant", "<|channel|>", "final", "<|message|>", "Yes", ".",
    ]  # fmt: skip
    assert read(CHANNELS, "<|start|>assistant", pieces) == ("They ask.", "Yes.")


def test_a_part_for_the_model_itself_is_thinking() -> None:
    pieces = [" to", "=self", "<|message|>", "Hm", "<|eom|>", "<|start|>", "assistant",
              "<|message|>", "Yes"]  # fmt: skip
    assert read(CHANNELS, "<|start|>assistant", pieces) == ("Hm", "Yes")


def test_a_control_token_opens_a_second_thought() -> None:
    """Text that looks like one does not, and one that ends nothing is not shown."""
    reader = format_of(byte_tokenizer(["<s>", "</s>", "<unk>", "[THINK]", "[/THINK]"]), "").reader(
        ""
    )
    parts: list[tuple[str, str]] = []
    for text, control in [
        ("", "[THINK]"), ("a", ""), ("", "[/THINK]"), ("b [THINK]", ""), ("c", "[/THINK]"),
        ("d", "[THINK]"), ("e", "[/THINK]"), ("f", ""),
    ]:  # fmt: skip
        parts += reader.add(text, control)
    assert [*parts, *reader.end()] == [
        ("thinking", "a"), ("generated", "b [THINK]"), ("generated", "c"), ("generated", "d"),
        ("thinking", "e"), ("generated", "f"),
    ]  # fmt: skip


def test_what_a_model_says_before_it_calls_a_function_is_for_the_user() -> None:
    pieces = ["<|channel|>", "commentary", "<|message|>", "I look.", "<|end|>", "<|start|>",
              "assistant to=functions.f", "<|channel|>", "commentary",
              "<|message|>", "{}"]  # fmt: skip
    assert read(CHANNELS, "<|start|>assistant", pieces) == ("{}", "I look.")


def test_a_vocabulary_with_channels_need_not_use_them() -> None:
    assert read(CHANNELS, "### Response:\n", ["Yes", "."]) == ("", "Yes.")
    assert read(CHANNELS, "<|start|>assistant", ["Yes", "."]) == ("", "Yes.")
    assert read(CHANNELS, "<|start|>assistant", ["<|channel|>", "ana"]) == ("", "")


def test_a_format_is_known_by_its_tokens_or_its_template() -> None:
    usual = ["<s>", "</s>", "<unk>"]
    assert not format_of(byte_tokenizer(usual), "").tags
    assert format_of(byte_tokenizer(usual), "x <think> y").tags == THINK.tags
    assert format_of(byte_tokenizer([*usual, "[THINK]"]), "").tags == (("[THINK]", "[/THINK]"),)
    assert format_of(byte_tokenizer(usual, ["</think>"]), "").tags == THINK.tags
    assert format_of(byte_tokenizer([*usual, "<|start|>", "<|message|>"]), "").channels
