"""What a vocabulary has nothing for: characters without tokens, and tokens without embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from tokenizers import models

import llmpy
from llmpy.checkpoint.open import open_vocabulary
from llmpy.errors import ModelFileError, TokenizerError
from llmpy.tokenizer import build_tokenizer
from tests.arch import checkpoints
from tests.tokenizer.vocabularies import CONTROL, NORMAL, UNKNOWN, byte_level, keys, sentencepiece

TOKENS = ("\u2581", "a", "b", "ab")
SCORES = [0.0, -1.0, -2.0, -3.0]


def without_bytes(model: str, unknown: bool) -> llmpy.tokenizer.Tokenizer:
    """A vocabulary of a and b alone, with an unknown token or without."""
    tokens, types, scores = [*TOKENS], [NORMAL] * 4, [*SCORES]
    if model == "rwkv":
        tokens[0] = " "
    if model == "bert":
        tokens = ["\u2581a", "\u2581b", "b", "\u2581ab"]
    if unknown:
        tokens, types, scores = [*tokens, "<unk>"], [*types, UNKNOWN], [*scores, 0.0]
    lists = {"tokens": tokens, "token_type": types, "scores": scores, "merges": ["a b"]}
    ids = {"unknown_token_id": 4 if unknown else 0xFFFFFFFF, "add_bos_token": False}
    none = {"bos_token_id": 0xFFFFFFFF, "eos_token_id": 0xFFFFFFFF, "add_space_prefix": False}
    return build_tokenizer(keys(model=model, pre="gpt-2", **lists, **ids, **none))


@pytest.mark.parametrize("model", ["llama", "gpt2", "t5", "bert", "rwkv"])
def test_a_character_without_tokens_is_an_error_or_left_out(model: str) -> None:
    tokenizer = without_bytes(model, unknown=False)
    assert tokenizer.encode("abc", errors="drop") in (tokenizer.encode("ab"), [])
    assert tokenizer.encode("ab c ab", errors="drop") == tokenizer.encode("ab  ab", errors="drop")
    with pytest.raises(TokenizerError, match=r"no token for .*errors='drop'"):
        tokenizer.encode("ab c")


@pytest.mark.parametrize("model", ["llama", "gpt2", "t5", "bert", "rwkv"])
@pytest.mark.parametrize("errors", ["strict", "drop"])
def test_an_unknown_token_stands_for_what_has_none(model: str, errors: str) -> None:
    tokenizer = without_bytes(model, unknown=True)
    assert 4 in tokenizer.encode("ab c", errors=errors)


def test_other_ways_with_errors_are_refused() -> None:
    with pytest.raises(ValueError, match="errors: expected one of strict, drop, found 'ignore'"):
        without_bytes("llama", unknown=False).encode("a", errors="ignore")


def test_an_end_of_text_named_unknown_is_not_put_into_texts() -> None:
    data = byte_level(extra=(("<|endoftext|>", CONTROL),), unknown_token_id=256)
    data["tokenizer.ggml.tokens"][4] = "unused"  # the byte 0x04
    tokenizer = build_tokenizer(data)
    assert tokenizer.encode("a\x04b", errors="drop") == tokenizer.encode("ab")
    with pytest.raises(TokenizerError, match=r"'\\x04'"):
        tokenizer.encode("a\x04b")


@pytest.mark.parametrize("byte_fallback", [False, True])
@pytest.mark.parametrize("fuse", [False, True])
def test_unknown_neighbours_are_one_token_where_the_file_fuses_them(
    fuse: bool, byte_fallback: bool, tmp_path: Path
) -> None:
    vocab = {"<unk>": 0, "a": 1, "b": 2, "ab": 3, "<0xC3>": 4, "<0xA9>": 5}
    oracle = tokenizers.Tokenizer(
        models.BPE(
            vocab, [("a", "b")], unk_token="<unk>", fuse_unk=fuse, byte_fallback=byte_fallback
        )
    )
    oracle.add_special_tokens(["<unk>"])
    oracle.save(str(tmp_path / "tokenizer.json"))
    ours = build_tokenizer(open_vocabulary(tmp_path))
    for text in ("abcdab", "cccc", "ac", "ca", "acéca", "éé", "cbd", ""):
        assert ours.encode(text) == oracle.encode(text).ids, text


def gemma_like(folder: Path, extra: int) -> Path:
    """A checkpoint with so many tokens more than rows."""
    golden = checkpoints.load_golden("mixtral")
    weights = golden.weights(checkpoints.spec("mixtral"))
    checkpoints.write(folder, golden.about["config"], weights)
    content = json.loads((folder / "tokenizer.json").read_text())
    n = golden.about["config"]["vocab_size"]
    for i in range(n, n + extra):
        content["added_tokens"].append({"id": i, "content": f"<image{i}>", "special": i % 2 == 0})
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("as_gguf", [False, True])
def test_a_token_without_a_row_is_never_said_and_typing_it_is_an_error(
    as_gguf: bool, tmp_path: Path
) -> None:
    path = gemma_like(tmp_path / "model", 2)
    if as_gguf:
        path = llmpy.convert(path, tmp_path / "model.gguf")
    with llmpy.load(path) as model:
        assert (model.n_vocab, model.tokenizer.n_vocab) == (264, 266)
        session = model.session(sampler=llmpy.logit_bias({263: 1e9}))
        with pytest.raises(TokenizerError, match=r"token 264, '<image264>', .* no embedding"):
            session.feed("a<image264>", special=True)
        with pytest.raises(TokenizerError, match=r"token 265, '<image265>'"):
            model.embed("a<image265>")
        with pytest.raises(ValueError, match="expected 0 to 263, found 264"):
            session.feed([264])
        assert session.next_token() == 263
        assert next(model.logits([1, 2])).shape == (2, 264)


def test_many_tokens_without_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"expected about 264 tokens, the rows .* found 304"):
        llmpy.load(gemma_like(tmp_path / "model", 40))


def test_ends_without_a_row_are_no_ends() -> None:
    data = sentencepiece("a", extra=(("<|im_end|>", CONTROL),))
    assert build_tokenizer(data, None, 260).end_ids == {2}
    assert build_tokenizer(data).end_ids == {2, 260}
