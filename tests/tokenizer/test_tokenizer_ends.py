"""Which tokens end a turn: what files name, and well-known names whatever their type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from llmpy.checkpoint.open import open_vocabulary
from llmpy.tokenizer import Kind, build_tokenizer
from tests.arch import checkpoints
from tests.tokenizer.vocabularies import (
    CONTROL,
    NORMAL,
    UNUSED,
    USER,
    byte_level,
    sentencepiece,
)

# Of llama.cpp's list (src/llama-vocab.cpp), the names of today's families.
NAMES = (
    *("<turn|>", "<end_of_turn>", "[e~[", "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>"),
    *("<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<|endoftext|>", "<EOT>", "_<EOT>"),
    *("[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<|tool_response>"),
    *("<\uff5cend\u2581of\u2581sentence\uff5c>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [NORMAL, CONTROL, USER, UNUSED])
def test_a_well_known_name_ends_a_turn_whatever_type_the_file_gives_it(name: str, kind: int):
    tokenizer = build_tokenizer(byte_level(extra=((name, kind),)))
    assert tokenizer.end_ids == {256}
    assert tokenizer.kind(256) == Kind.CONTROL
    assert tokenizer.encode(name, special=True) == [256]
    assert 256 not in tokenizer.encode(name)
    assert tokenizer.decode([256]) == ""


def test_a_well_known_name_without_types_ends_a_turn():
    data = byte_level(extra=(("<|im_end|>", NORMAL),))
    del data["tokenizer.ggml.token_type"]
    assert build_tokenizer(data).end_ids == {256}


def gemma(**values: Any) -> dict[str, Any]:
    """A vocabulary with HTML tags that users write, and its own names for begin and end."""
    extra = (("<bos>", CONTROL), ("<eos>", CONTROL), ("<s>", USER), ("</s>", USER), ("<b>", USER))
    data: dict[str, Any] = sentencepiece("\u2581", "a", extra=extra, add_space_prefix=False)
    data |= {"tokenizer.ggml.bos_token_id": 261, "tokenizer.ggml.eos_token_id": 262}
    data["tokenizer.ggml.tokens"][1:3] = "<pad>", "<mask>"
    return data | {f"tokenizer.ggml.{key}": value for key, value in values.items()}


def test_html_tags_are_text():
    tokenizer = build_tokenizer(gemma())
    assert tokenizer.end_ids == {262}
    assert tokenizer.encode("a<s>a</s>") == [260, 263, 260, 264]
    assert tokenizer.encode("a<s>a</s>", special=True) == [260, 263, 260, 264]
    assert tokenizer.decode([263, 260, 264]) == "<s>a</s>"


def test_a_user_defined_tag_that_the_file_names_its_end_is_one():
    tokenizer = build_tokenizer(gemma(eos_token_id=264))
    assert tokenizer.end_ids >= {264}
    assert tokenizer.kind(264) == tokenizer.kind(263) == Kind.CONTROL


def test_what_the_file_names_ends_a_turn_whatever_its_type():
    data = byte_level(extra=(("x", USER), ("y", CONTROL), ("z", CONTROL), ("w", CONTROL)))
    data |= {
        "tokenizer.ggml.eos_token_ids": np.array([256, 257, 99999], np.int32),
        "tokenizer.ggml.fim_pad_token_id": 258,
        "tokenizer.ggml.fim_sep_token_id": 10**9,
    }
    assert build_tokenizer(data).end_ids == {256, 257, 258}


def test_ends_that_are_no_ids_are_refused_by_name():
    data = byte_level() | {"tokenizer.ggml.eos_token_ids": ["a"]}
    with pytest.raises(llmpy.ModelFileError, match="eos_token_ids: expected token ids"):
        build_tokenizer(data)


def write(folder: Path, name: str, **values: Any) -> None:
    (folder / name).write_text(json.dumps(values))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The checkpoint of a tiny Mixtral, whose end of text is 2."""
    golden = checkpoints.load_golden("mixtral")
    weights = golden.weights(checkpoints.spec("mixtral"))
    return checkpoints.write(tmp_path / "model", golden.about["config"], weights)


def test_all_configurations_of_a_checkpoint_name_ends(folder: Path):
    config = json.loads((folder / "config.json").read_text())
    write(folder, "tokenizer_config.json", eos_token="</s>")
    write(folder, "config.json", **config | {"eos_token_id": [5, 6]})
    write(folder, "generation_config.json", eos_token_id=[6, 7, 8, 10**9, "x"])
    tokenizer = build_tokenizer(open_vocabulary(folder))
    assert tokenizer.eos == 2
    assert tokenizer.end_ids == {2, 5, 6, 7, 8}
    with llmpy.load(folder) as model:
        assert model.tokenizer.end_ids == tokenizer.end_ids


def test_all_ends_survive_convert(folder: Path, tmp_path: Path):
    write(folder, "generation_config.json", eos_token_id=[5, 6, 7, 8])
    out = llmpy.convert(folder, tmp_path / "out.gguf")
    ends = build_tokenizer(open_vocabulary(folder)).end_ids
    assert ends >= {5, 6, 7, 8}
    assert llmpy.load_tokenizer(out).end_ids == ends


def test_the_default_of_a_nested_configuration_is_no_end(folder: Path):
    before = build_tokenizer(open_vocabulary(folder)).end_ids
    config = json.loads((folder / "config.json").read_text())
    write(folder, "config.json", **config, text_config={"eos_token_id": 99})
    assert build_tokenizer(open_vocabulary(folder)).end_ids == before


def test_generation_stops_at_each_of_them(folder: Path):
    write(folder, "generation_config.json", eos_token_id=list(range(3, 200)))
    with llmpy.load(folder) as model, model.session(sampler=llmpy.greedy()) as session:
        pieces = list(session.stream("the", max_tokens=30))
    assert pieces[-1].finish_reason == "end"
    assert pieces[-1].token in range(3, 200)
