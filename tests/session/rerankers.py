"""Tiny rerankers: their configurations, tokenizers and texts, shared by tests and their goldens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from llmpy.format.safetensors import write_safetensors
from tests.arch import checkpoints

GOLDEN = Path(__file__).with_name("rerankers.npz")
QUERY = "How do crabs walk?"
TEXTS = [
    "The crab walks.", "A dog, walking and barking: it is no crab.", "crab", "Sideways they walk!"
]  # fmt: skip
_SIZES = {
    "vocab_size": 264, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 96, "max_position_embeddings": 128, "num_labels": 1,
}  # fmt: skip
_ENCODER = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": {"model_type": "bert", **_SIZES},
    "xlm-roberta": {
        "model_type": "xlm-roberta", **_SIZES, "type_vocab_size": 1, "pad_token_id": 1,
        "bos_token_id": 0, "eos_token_id": 2,
    },
    "modernbert": {
        "model_type": "modernbert", **_SIZES, **_ENCODER, "local_attention": 12,
        "cls_token_id": 1, "sep_token_id": 2,
    },
    "modernbert-mean": {
        "model_type": "modernbert", **_SIZES, **_ENCODER, "local_attention": 12,
        "cls_token_id": 1, "sep_token_id": 2, "classifier_pooling": "mean",
    },
    "qwen3": {
        "model_type": "qwen3", **_SIZES, "head_dim": 16, "num_key_value_heads": 2,
        "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0,
    },
}  # fmt: skip


def weights(
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, NDArray[np.float32]]:
    """Weights that any machine makes alike, with scores that tell texts apart."""
    spec = checkpoints.Spec("reranker", {}, weights={"*score*": {"gain": 4}, "classifier*": {}})
    return checkpoints.arrays(spec, shapes)


def write(folder: Path, name: str, config: Mapping[str, Any], shapes: Mapping[str, Any]) -> Path:
    """The folder of a checkpoint, as transformers saves it."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    made, names_of_tokens = tokenizer(name)
    (folder / "tokenizer.json").write_text(made.to_str(), "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(names_of_tokens), "utf-8")
    found = weights({key: tuple(shape) for key, shape in shapes.items()})
    write_safetensors(
        folder / "model.safetensors",
        [(key, "F32", values.shape, values) for key, values in found.items()],
    )
    return folder


def tokenizer(name: str) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer of a model, and its tokenizer_config.json."""
    if name == "bert":
        return _word_pieces()
    xlm, qwen = name == "xlm-roberta", name == "qwen3"
    specials = ["<s>", "<pad>", "</s>", "<unk>"] if xlm else ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*specials, *letters])}
    made = Tokenizer(models.BPE(vocab, [], unk_token=specials[3]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    first, last = (0, 2) if xlm else (1, 2)
    ends = [(specials[i], i) for i in (first, last)]
    if xlm:
        made.post_processor = processors.RobertaProcessing(ends[1], ends[0], add_prefix_space=False)
    elif not qwen:
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
        )
    made.add_special_tokens(specials)
    names = ("cls", "pad", "sep", "unk") if xlm else ("pad", "cls", "sep", "unk")
    names_of_tokens = {f"{key}_token": token for key, token in zip(names, specials, strict=True)}
    names_of_tokens |= {"eos_token": specials[2]} | ({} if qwen else {"bos_token": specials[first]})
    return made, names_of_tokens


def _word_pieces() -> tuple[Tokenizer, dict[str, Any]]:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "crab", "walk", "##s", "##ing", ".", "how"]
    words += ["do", "?", "a", "dog", ",", "and", "it", "is", "no", ":", "they", "!", "bark", "side"]
    words += ["##ways"]
    vocab = {word: i for i, word in enumerate(words)}
    made = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.add_special_tokens(words[:4])
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad")}
    return made, names
