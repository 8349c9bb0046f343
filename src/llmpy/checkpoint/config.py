"""Naming the keys of config.json that are absent and missed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from llmpy.checkpoint.rename import FAILURES

__all__ = ["Config", "absent_keys"]

Config: TypeAlias = Mapping[str, Any]

# What most recipes look for.
USUAL = (
    "head_dim", "hidden_size", "intermediate_size", "layer_norm_eps", "layer_norm_epsilon",
    "max_position_embeddings", "moe_intermediate_size", "norm_eps", "num_attention_heads",
    "num_experts", "num_experts_per_tok", "num_hidden_layers", "num_key_value_heads",
    "num_local_experts", "rms_norm_eps", "sliding_window", "vocab_size",
)  # fmt: skip


def absent_keys(
    metadata: Callable[[Config], Mapping[str, Any]], config: Config, prefix: str, full: str
) -> list[str]:
    """The usual keys of config.json that are absent and would have given the metadata `full`.

    `metadata` is a recipe's; its keys lack the `prefix`, the architecture's name.
    """
    found = []
    for key in (key for key in USUAL if key not in config):
        with contextlib.suppress(*FAILURES):
            if metadata({**config, key: 1}).get(full.removeprefix(prefix)) is not None:
                found.append(key)
    return found
