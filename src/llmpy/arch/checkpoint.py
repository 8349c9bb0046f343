"""Converting a Hugging Face checkpoint to an architecture's file: metadata, names, layouts.

An architecture declares it as `checkpoints`, beside its wiring; `checkpoint/huggingface.py` does
it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import starmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.arch.classification import classifier_metadata, classifier_names, is_classifier
from llmpy.arch.config import (
    Config,
    TrackedConfig,
    expect,
    expect_activation,
    expect_tensors,
    expected_tensors,
    unread,
    with_defaults,
)
from llmpy.arch.defaults import DEFAULTS
from llmpy.arch.rope_config import expect_rope, rope, rope_base, rope_scaling, rotated_dims
from llmpy.errors import UnsupportedModelError

__all__ = [
    "Array",
    "Checkpoint",
    "Config",
    "Followed",
    "Tensor",
    "around_zero",
    "expect",
    "expect_no_limit",
    "expect_no_window",
    "normed_on_both_sides",
    "paired",
    "sizes",
    "ungrouped",
    "usual",
    "usual_tensors",
    "window_pattern",
    "without_prediction",
]

Array = NDArray[Any]
Change = Callable[..., "Array | Sequence[Array]"]


@dataclass(frozen=True)
class Tensor:
    """Tensors named `source` become `target`.

    `{i}` stands for the number of a block; `{e}` for that of an expert, whose tensors are stacked
    (each changed before). Where a name goes on with ".weight" or ".bias", so does its target. With
    several sources all are read. `change(array, ...)` gets them as float32 (U8 as it is), must not
    write into them, and gives the array as the file has it, or with several targets as many arrays.
    A tensor without a target is left out. Of the rules that fit a name, the first is taken.
    `dtype` names the type to store; of block types `change` then gives the bytes, uint8
    [..., bytes of a row]. Otherwise tensors keep their type, and vectors and norms become F32.
    """

    source: str | tuple[str, ...]
    target: str | tuple[str, ...] | None
    change: Change | None = None
    dtype: str | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A recipe: the GGUF name of `model_types` (of config.json), and how their files are converted.

    Of models that another has the model_type of, these are the names of their classes; where even
    those are the same, `metadata` gives "general.architecture".

    A recipe reads a key of the configuration with `config[key]` or `config.get(key)`, and changes
    one with `config | {...}`; `follow` accounts for those that it did not read.

    `metadata(config)` gives values by key, without the architecture's name before them ("general.",
    "tokenizer." and "xielu." keys are whole); None is left out. `tensors(config)` gives the rules
    for names, `extra(config)` tensors that no checkpoint has, by full name. `numbers` are keys
    whose values a checkpoint has as tensors of one number, `{i}` standing for the block.
    `defaults` are what a configuration means that does not have a key (see defaults.py).
    """

    name: str
    model_types: tuple[str, ...]
    metadata: Callable[[Config], Mapping[str, Any]]
    tensors: Callable[[Config], Sequence[Tensor]]
    extra: Callable[[Config], Mapping[str, Array]] | None = None
    numbers: Mapping[str, str] | None = None
    activation: tuple[str, ...] = ("silu",)
    rope_types: tuple[str, ...] | None = ("linear", "yarn")
    harmless: tuple[str, ...] = ()
    defaults: Config = field(default_factory=dict)

    def filled(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the configuration with its model_type's defaults for keys that it leaves out."""
        defaults = self.defaults or DEFAULTS.get(str(config.get("model_type")), {})
        return with_defaults(config, defaults)

    def follow(self, values: Mapping[str, Any]) -> Followed:
        """Read a configuration as this recipe says, and account for every key of it.

        Raises UnsupportedModelError for a value that the architecture does not have, and for a key
        that seems to change the computation and that the recipe does not read.
        """
        config = TrackedConfig(self.filled(values))
        if self.activation:
            expect_activation(config, *self.activation)
        if self.rope_types is not None:
            expect_rope(rope(config), self.rope_types)
            rope_base(config)
        metadata = self.metadata(config)
        tensors = self.tensors(config)
        extra = self.extra(config) if self.extra else {}
        if is_classifier(config):
            encoder = metadata.get("attention.causal") is False
            metadata = {**metadata, **classifier_metadata(config, encoder=encoder)}
            tensors = [*starmap(Tensor, classifier_names(config).items()), *tensors]
        tied, expected = config.get("tie_word_embeddings"), expected_tensors(config, self.harmless)
        return Followed(metadata, tensors, extra, unread(config, self.harmless), expected, tied)


@dataclass(frozen=True)
class Followed:
    """The result of applying a recipe to a configuration.

    `unread` are the keys that nobody knows, `expected` those that say which tensors there are, and
    `tied` is tie_word_embeddings.
    """

    metadata: Mapping[str, Any]
    tensors: Sequence[Tensor]
    extra: Mapping[str, Array]
    unread: Sequence[str]
    expected: Mapping[str, bool]
    tied: Any

    def compare(self, names: Collection[str]) -> list[str]:
        """Compare the configuration with the `names` of all tensors; return remarks for the user.

        A stored head is used even where it should be tied, as transformers does where the two
        differ. Raises UnsupportedModelError where configuration and tensors contradict each other.
        """
        expect_tensors(self.expected, names)
        if self.tied is False and self.metadata.get("attention.causal") is not False:
            rules = [rule for rule in reversed(self.tensors) if _is_head(rule)]
            heads = {str(rule.source).removesuffix(".weight"): rule.target for rule in rules}
            if any(heads.get(name.removesuffix(".weight"), "") is None for name in names):
                expect({"tie_word_embeddings": False}, "tie_word_embeddings", True)
        return [f"llmpy does not know the key '{key}' and goes on" for key in self.unread]


def _is_head(rule: Tensor) -> bool:
    targets = (rule.target,) if isinstance(rule.target, str) else rule.target or ()
    return rule.source == "lm_head" or any(t in ("output", "output.weight") for t in targets)


def usual(config: Config, *, rotates: float | None = None, truncate: bool = True) -> dict[str, Any]:
    """Return the keys that most decoders have, from the names that most configurations use.

    `rotates`: the part of each head that is rotated if the configuration does not say another;
    without it the whole head must be. `truncate` is that of `rope_scaling`.
    """
    heads, width = config["num_attention_heads"], config["hidden_size"]
    d_head = config.get("head_dim")
    if rotates is None:
        for section in (rope(config), config):
            expect(section, "partial_rotary_factor", 1.0, None)
    return {
        "context_length": config["max_position_embeddings"],
        "embedding_length": width,
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": config.get("intermediate_size"),
        "attention.head_count": heads,
        "attention.head_count_kv": config.get("num_key_value_heads"),
        "attention.key_length": d_head,
        "attention.value_length": d_head,
        "attention.layer_norm_rms_epsilon": config.get("rms_norm_eps"),
        "rope.dimension_count": rotated_dims(config, 1.0 if rotates is None else rotates),
        "rope.freq_base": rope_base(config),
        "vocab_size": config["vocab_size"],
        **rope_scaling(config, truncate=truncate),
    }


def sizes(config: Config) -> dict[str, Any]:
    """The keys of decoders from before 2023, whose configurations name sizes as GPT-2's does."""
    width = config["n_embd"]
    return {
        "context_length": config["n_positions"],
        "embedding_length": width,
        "block_count": config["n_layer"],
        "feed_forward_length": config.get("n_inner") or 4 * width,
        "attention.head_count": config["n_head"],
        "attention.layer_norm_epsilon": config["layer_norm_epsilon"],
        "vocab_size": config["vocab_size"],
    }


def usual_tensors(config: Config, *, pairs: bool = False) -> list[Tensor]:
    """The names that most decoders have.

    `pairs`: GGUF has the rotated pairs of queries and keys side by side, the checkpoint as halves.
    """
    n_head = config["num_attention_heads"]
    n_kv = config.get("num_key_value_heads") or n_head
    q, k = (partial(paired, n_head=n) if pairs else None for n in (n_head, n_kv))
    at, to = "model.layers.{i}.", "blk.{i}."
    return [
        Tensor("model.embed_tokens", "token_embd"),
        Tensor("model.norm", "output_norm"),
        Tensor("lm_head", "output"),
        Tensor(at + "input_layernorm", to + "attn_norm"),
        Tensor(at + "self_attn.q_proj", to + "attn_q", q),
        Tensor(at + "self_attn.k_proj", to + "attn_k", k),
        Tensor(at + "self_attn.v_proj", to + "attn_v"),
        Tensor(at + "self_attn.o_proj", to + "attn_output"),
        Tensor(at + "self_attn.q_norm", to + "attn_q_norm"),
        Tensor(at + "self_attn.k_norm", to + "attn_k_norm"),
        Tensor(at + "self_attn.rotary_emb.inv_freq", None),
        Tensor(at + "post_attention_layernorm", to + "ffn_norm"),
        Tensor(at + "mlp.gate_proj", to + "ffn_gate"),
        Tensor(at + "mlp.up_proj", to + "ffn_up"),
        Tensor(at + "mlp.down_proj", to + "ffn_down"),
    ]


def around_zero(norms: Mapping[str, str]) -> list[Tensor]:
    """Rules, by source, for norms that multiply by 1 + weight."""
    return [Tensor(source, target, lambda w: w + 1) for source, target in norms.items()]


def normed_on_both_sides(config: Config) -> list[Tensor]:
    """The usual names, with norms around 0 before and after both halves of a block."""
    at, to = "model.layers.{i}.", "blk.{i}."
    norms = {
        "model.norm": "output_norm",
        at + "input_layernorm": to + "attn_norm",
        at + "self_attn.q_norm": to + "attn_q_norm",
        at + "self_attn.k_norm": to + "attn_k_norm",
        at + "post_attention_layernorm": to + "post_attention_norm",
        at + "pre_feedforward_layernorm": to + "ffn_norm",
        at + "post_feedforward_layernorm": to + "post_ffw_norm",
    }
    return [*around_zero(norms), *usual_tensors(config)]


def without_prediction(rules: Sequence[Tensor]) -> list[Tensor]:
    """These, and a block of the same names under "mtp." that predicts further tokens left out."""
    names = [
        f"mtp.{part}" for part in ("fc", "norm", "pre_fc_norm_embedding", "pre_fc_norm_hidden")
    ]
    sources = (str(rule.source) for rule in rules)
    names += [source.replace("model.", "mtp.") for source in sources if "{i}" in source]
    return [*rules, *(Tensor(name, None) for name in sorted(set(names)))]


def expect_no_window(config: Config, *, usually: bool = True) -> None:
    """Refuse a sliding window in any layer.

    `usually`: whether the model has its window if "use_sliding_window" is not there.
    """
    types, enabled = config.get("layer_types"), config.get("use_sliding_window")
    window, first = config.get("sliding_window"), config.get("max_window_layers") or 0
    if types:
        expect({"layer_types": sorted(set(types))}, "layer_types", ["full_attention"])
    elif (usually if enabled is None else enabled) and first < config["num_hidden_layers"]:
        expect(config, "use_sliding_window", False, None)
        expect({"sliding_window": window}, "sliding_window", None, 0)


def expect_no_limit(config: Config, key: str) -> None:
    """Refuse limits of steps other than 0 and infinity, which GGUF could not express."""
    low, high = config.get(key) or (0.0, math.inf)
    if isinstance(high, Mapping):  # as transformers writes what JSON has no word for
        high = high.get("__float__", 0)
    if low > 0 or float(high) != math.inf:
        raise UnsupportedModelError(None, f"config.json '{key}'", "no limits", f"{low} to {high}")


def window_pattern(config: Config) -> dict[str, Any]:
    """The sliding window, and which layers have it: flags for each, or a period, if they are told.

    Older configurations have the period, or letters that repeat: "L" for a window.
    """
    types = config.get("layer_types")
    older, pattern = (config.get(f"{start}sliding_window_pattern") for start in ("_", ""))
    pattern = older if pattern is None else pattern
    if types:
        pattern = [kind == "sliding_attention" for kind in types]
    elif isinstance(pattern, str):
        n = config["num_hidden_layers"]
        pattern = [pattern[i % len(pattern)] == "L" for i in range(n)]
    window = config.get("sliding_window")
    return {
        "attention.sliding_window": window,
        "attention.sliding_window_pattern": pattern if window else None,
    }


def paired(w: Array, n_head: int) -> Array:
    """Rows of queries or keys: from halves of a head that are rotated together, to pairs.

    Checkpoints have the first values of all pairs before the second ones, GGUF of some
    architectures has each pair side by side. [n_head * d, ...] gives the same shape.
    """
    halves = w.reshape(n_head, 2, -1, *w.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(w.shape)


def ungrouped(w: Array, n_head: int, n_kv: int) -> Array:
    """Rows of one matrix for all of attention: from groups to all queries, all keys, all values.

    Each group has the queries that share a key, that key, and its value. The shape stays.
    """
    groups = w.reshape(n_kv, n_head // n_kv + 2, -1, *w.shape[1:])
    parts = groups[:, :-2], groups[:, -2], groups[:, -1]
    return np.concatenate([part.reshape(-1, *w.shape[1:]) for part in parts])
