"""Tokenizers of checkpoints: the same ids as the library or the file that they come from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

import llmpy
from llmpy.checkpoint.open import open_vocabulary
from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.tokenizer import build_tokenizer
from llmpy.tokenizer.families import family_of
from llmpy.tokenizer.pretokenizers import FAMILIES
from tests.arch import checkpoints

WORDS = (
    "The quick brown fox jumps over the lazy dog, and 12345 foxes don't care. "
    "Größe, naïve café; 日本語 is fine! the theme then they there other 42 "
)
TEXTS = [
    "the quick brown fox", "The theme, then 123 others don't.", "  two  spaces\n\nand lines\t.",
    "Größe naïve unbekannt ŷ", "日本語 😀", "", "a", " lead", "trail ", "x_y-z/(w) 3.14",
]  # fmt: skip
# Families that cut as others do, though their expressions differ.
ALIKE = {
    "minicpm5": "llama-bpe", "bailingmoe": "qwen2", "bailingmoe2": "qwen2", "llada-moe": "qwen2"
}  # fmt: skip


def saved(folder: Path, tokenizer: tokenizers.Tokenizer, **config: Any) -> dict[str, Any]:
    """Metadata of a folder with this tokenizer."""
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return dict(open_vocabulary(folder))


def same(metadata: Mapping[str, Any], oracle: tokenizers.Tokenizer) -> None:
    ours = build_tokenizer(metadata)
    for text in TEXTS:
        assert ours.encode(text, bos=None, eos=None) == oracle.encode(text).ids, text


def byte_level(pre: Any = None, **options: Any) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer = pre or pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|begin|>", "<|end|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator([WORDS] * 4, trainer)
    return tokenizer


def splits(*patterns: str) -> Any:
    cuts = [pre_tokenizers.Split(tokenizers.Regex(p), "isolated") for p in patterns]
    return pre_tokenizers.Sequence(
        [*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_each_family_is_recognised_by_what_it_cuts(name: str) -> None:
    content = json.loads(byte_level(splits(*FAMILIES[name].patterns)).to_str())["pre_tokenizer"]
    found = family_of(content, FAMILIES[name].whole_words)
    assert found is not None
    same = FAMILIES[found].patterns == FAMILIES[name].patterns
    assert same or found == ALIKE.get(name), found


@pytest.mark.parametrize("name", ["gpt-2", "llama-bpe", "qwen2", "starcoder", "gpt-4o", "tekken"])
def test_byte_level(name: str, tmp_path: Path) -> None:
    tokenizer = byte_level(
        splits(*FAMILIES[name].patterns), ignore_merges=FAMILIES[name].whole_words
    )
    metadata = saved(tmp_path, tokenizer, eos_token="<|end|>", bos_token="<|begin|>")
    assert metadata["tokenizer.ggml.pre"] == name
    assert metadata["tokenizer.ggml.bos_token_id"] == 0
    assert metadata["tokenizer.ggml.eos_token_id"] == 1
    assert metadata["tokenizer.ggml.add_bos_token"] is False
    same(metadata, tokenizer)


def test_digits_before_words_are_a_family(tmp_path: Path) -> None:
    cuts = [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ]
    tokenizer = byte_level(pre_tokenizers.Sequence(cuts))
    metadata = saved(tmp_path, tokenizer)
    assert metadata["tokenizer.ggml.pre"] == "starcoder"
    same(metadata, tokenizer)


def test_what_the_post_processor_adds(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B", special_tokens=[("<|begin|>", 0)]
    )
    metadata = saved(tmp_path, tokenizer, bos_token="<|begin|>")
    assert metadata["tokenizer.ggml.add_bos_token"] is True
    assert metadata["tokenizer.ggml.add_eos_token"] is False
    same(metadata, tokenizer)


def test_sentencepiece_style(tmp_path: Path) -> None:
    tokenizer = tokenizers.Tokenizer(
        models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    tokenizer.decoder = decoders.Metaspace()
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<unk>", "<s>", "</s>", *bytes_], show_progress=False
    )
    tokenizer.train_from_iterator(WORDS.split() * 4, trainer)
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = content["added_tokens"][:3]  # bytes are plain tokens in real files
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content))
    metadata = saved(tmp_path, tokenizer, bos_token="<s>", eos_token="</s>", add_bos_token=False)
    assert metadata["tokenizer.ggml.model"] == "llama"
    assert metadata["tokenizer.ggml.add_space_prefix"] is True
    ours = build_tokenizer(metadata)
    for text in filter(None, TEXTS):
        assert ours.encode(text) == tokenizer.encode(text).ids, text


def test_unigrams(tmp_path: Path) -> None:
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Strip(left=False, right=True),
            normalizers.Replace(tokenizers.Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>",
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator([WORDS] * 4, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    metadata = saved(tmp_path, tokenizer, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    assert metadata["tokenizer.ggml.model"] == "t5"
    assert metadata["tokenizer.ggml.unknown_token_id"] == 2
    assert metadata["tokenizer.ggml.add_eos_token"] is True
    ours = build_tokenizer(metadata)
    for text in [t for t in TEXTS if "\n" not in t and "\t" not in t and not t.startswith(" ")]:
        assert ours.encode(text, bos=None, eos=None) == tokenizer.encode(text).ids, text
    assert ours.decode(ours.encode("the quick brown fox")) == "the quick brown fox"


@pytest.mark.parametrize("lowercase", [True, False])
def test_word_pieces(lowercase: bool, tmp_path: Path) -> None:
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=150, special_tokens=names, show_progress=False)
    tokenizer.train_from_iterator([WORDS] * 4, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )  # fmt: skip
    metadata = saved(tmp_path, tokenizer, cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]")
    assert metadata["tokenizer.ggml.model"] == "bert"
    assert metadata["tokenizer.ggml.normalizer.lowercase"] is lowercase
    assert metadata["tokenizer.ggml.seperator_token_id"] == 3
    same(metadata, tokenizer)
    ours = build_tokenizer(metadata)
    assert 2 not in ours.encode("[CLS]"), "what users type stays text"


def test_llama_2s_sentencepiece_model(
    shared_data: Callable[[str], Path],
    metadata_of: Callable[[str], Mapping[str, Any]],
    tmp_path: Path,
) -> None:
    shutil.copy(shared_data("tokenizers/llama2-tokenizer.model"), tmp_path / "tokenizer.model")
    ours, real = open_vocabulary(tmp_path), metadata_of("llama-spm")
    for key in ("tokens", "scores", "token_type", "model", "unknown_token_id"):
        full = f"tokenizer.ggml.{key}"
        np.testing.assert_array_equal(ours[full], real[full], key)


def test_gpt_2s_vocab_and_merges(
    shared_data: Callable[[str], Path],
    metadata_of: Callable[[str], Mapping[str, Any]],
    tmp_path: Path,
) -> None:
    shutil.copy(shared_data("tokenizers/gpt2/gpt2_vocab.json"), tmp_path / "vocab.json")
    shutil.copy(shared_data("tokenizers/gpt2/gpt2_merges.txt"), tmp_path / "merges.txt")
    ours, real = open_vocabulary(tmp_path), metadata_of("gpt-2")
    for key in ("tokens", "merges", "token_type", "model", "pre"):
        full = f"tokenizer.ggml.{key}"
        assert list(ours[full]) == list(real[full]), key


def test_real_vocabularies_come_back_from_tokenizer_json(
    metadata_of: Callable[[str], Mapping[str, Any]], tmp_path: Path
) -> None:
    for name in ("falcon", "deepseek-llm", "mpt"):
        real = metadata_of(name)
        (tmp_path / "tokenizer.json").write_text(json.dumps(_as_json(real)))
        ours = open_vocabulary(tmp_path)
        assert ours["tokenizer.ggml.tokens"] == real["tokenizer.ggml.tokens"], name
        assert ours["tokenizer.ggml.merges"] == real["tokenizer.ggml.merges"], name
        pres = [m["tokenizer.ggml.pre"] for m in (ours, real)]
        assert FAMILIES[pres[0]].patterns == FAMILIES[pres[1]].patterns, name


def _as_json(real: Mapping[str, Any]) -> dict[str, Any]:
    """A real vocabulary as its tokenizer.json would have it."""
    tokens, kinds = real["tokenizer.ggml.tokens"], real["tokenizer.ggml.token_type"]
    family = FAMILIES[real["tokenizer.ggml.pre"]]
    pre = json.loads(byte_level(splits(*family.patterns)).to_str())["pre_tokenizer"]
    added = [
        {"id": i, "content": t, "special": int(kinds[i]) == 3}
        for i, t in enumerate(tokens)
        if int(kinds[i]) in (3, 4)
    ]
    vocab = {t: i for i, t in enumerate(tokens)}
    model = {"type": "BPE", "vocab": vocab, "merges": real["tokenizer.ggml.merges"]}
    model["ignore_merges"] = family.whole_words
    return {"model": model, "added_tokens": added, "pre_tokenizer": pre}


def test_tokens_are_filled_up_to_the_rows_of_the_embedding(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"vocab_size": 500, "eos_token_id": [7, 8]}')
    metadata = saved(tmp_path, byte_level())
    assert len(metadata["tokenizer.ggml.tokens"]) == 500
    assert metadata["tokenizer.ggml.token_type"][-1] == 5
    assert metadata["tokenizer.ggml.eos_token_id"] == 7


def test_chat_templates(tmp_path: Path) -> None:
    key = "tokenizer.chat_template"
    named = [{"name": "default", "template": "A"}, {"name": "tool_use", "template": "B"}]
    found = saved(tmp_path, byte_level(), chat_template=named)
    assert (found[key], found[f"{key}.tool_use"], found[f"{key}s"]) == ("A", "B", ["tool_use"])
    assert saved(tmp_path, byte_level(), chat_template="C")[key] == "C"
    (tmp_path / "chat_template.jinja").write_text("D")
    assert open_vocabulary(tmp_path)[key] == "D"


def test_a_pre_tokenizer_that_no_family_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="pre_tokenizer: expected one that cuts words like"):
        saved(tmp_path, byte_level(splits("[aeiou]+")))


def test_a_tokenizer_class_that_is_not_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text('{"a": 0}')
    (tmp_path / "merges.txt").write_text("")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "OtherTokenizer"}')
    with pytest.raises(UnsupportedModelError, match="tokenizer_class: expected one of GPT2"):
        open_vocabulary(tmp_path)


def matching(folder: Path) -> tokenizers.Tokenizer:
    """A tokenizer whose added tokens match in every special way, in a folder of any name."""
    folder.mkdir()
    tokenizer = byte_level(splits(*FAMILIES["gpt-2"].patterns))
    added = [
        tokenizers.AddedToken(f"<|{'lr'[:n]}{words}|>", special=special, normalized=False,
                              lstrip="l" in "lr"[:n], rstrip="r" in "lr"[:n], single_word=words)
        for n in (0, 1, 2) for words in (False, True) for special in (False, True)
    ]  # fmt: skip
    added.append(tokenizers.AddedToken("<r>", rstrip=True, normalized=False))
    for token in added:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    saved(folder, tokenizer)
    return tokenizer


@pytest.mark.parametrize("name", ["phi-3-mini", "other"])
def test_added_tokens_match_as_tokenizer_json_says_whatever_the_folder_is_called(
    name: str, tmp_path: Path
) -> None:
    oracle = matching(tmp_path / name)
    ours = llmpy.load_tokenizer(tmp_path / name)
    tokens = ["<|False|>", "<|lFalse|>", "<|lrFalse|>", "<|lrTrue|>", "<|True|>", "<r>", "<|end|>"]
    for token in tokens:
        for text in ("the{} end", "the {} end", "the \n {} \t end", "{}{}", " {} ", "x{}x {}."):
            text = text.format(token, token)
            assert ours.encode(text, special=True) == oracle.encode(text).ids, text


def test_how_tokens_match_survives_convert(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    oracle = matching(folder)
    golden = checkpoints.load_golden("mixtral")
    config = golden.about["config"] | {"vocab_size": oracle.get_vocab_size()}
    weights = golden.weights(checkpoints.spec("mixtral"))
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weights[name] = np.resize(weights[name], (config["vocab_size"], 64))
    content = (folder / "tokenizer.json").read_text()
    checkpoints.write(folder, config, weights)
    (folder / "tokenizer.json").write_text(content)
    text = "the <|lrFalse|> quick<r> fox"
    out = llmpy.convert(folder, tmp_path / "phi-3.gguf")
    for path in (folder, out):
        with llmpy.load(path) as model:
            ids = model.tokenizer.encode(text, special=True)
            assert ids == oracle.encode(text).ids
            assert llmpy.load_tokenizer(path).encode(text, special=True) == ids


def test_the_rows_of_a_nested_configuration_are_filled(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"text_config": {"vocab_size": 500}}')
    assert len(saved(tmp_path, byte_level())["tokenizer.ggml.tokens"]) == 500
