"""Write the defaults of transformers' configurations: src/llmpy/arch/defaults.py.

    python tools/make_config_defaults.py

Run it in an environment that has transformers 5. Configurations inside a multimodal one hold only
what differs from the defaults of their class.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import transformers

TARGET = Path(__file__).resolve().parents[1] / "src" / "llmpy" / "arch" / "defaults.py"
# Decoders that appear as the text part of others; earlier ones have several names for one key.
MODEL_TYPES = (
    "arcee", "cohere", "cohere2", "deepseek_v3", "ernie4_5", "exaone4", "gemma", "gemma2",
    "gemma3_text", "gemma4_text", "glm", "glm4", "glm4_moe", "granite", "granitemoe", "llama",
    "ministral3", "mistral", "mixtral", "nemotron", "olmo", "olmo2", "olmo3", "olmoe", "phi",
    "phi3", "phimoe", "qwen2", "qwen2_5_vl_text", "qwen2_moe", "qwen2_vl_text", "qwen3",
    "qwen3_5_moe_text", "qwen3_5_text", "qwen3_moe", "qwen3_vl_moe_text", "qwen3_vl_text",
    "seed_oss", "smollm3", "stablelm", "starcoder2",
)  # fmt: skip
# What has no part in the logits, or is decided elsewhere.
WITHOUT = re.compile(
    r"_token_id$|drop|^initializer|^router_|^pretraining|^chunk|mtp_|_aux_|aux_loss"
)
SCALED = {
    "attention_multiplier": 1.0, "embedding_multiplier": 1.0, "residual_multiplier": 1.0,
    "logits_scaling": 1.0,
}  # fmt: skip
# Keys that are no numbers, or whose default differs between versions 4 and 5 of transformers, and
# those of types that have no other default here: a configuration of these must have its sizes.
STATED: dict[str, dict[str, Any]] = {
    "apertus": {"rope_theta": 12e6},
    "cohere": {"rope_theta": 5e5},
    "deepseek_v3": {"norm_topk_prob": True},
    "ernie4_5_moe": {"rope_theta": 5e5},
    "exaone": {"rope_theta": 5e5},
    "falcon_h1": {"mamba_norm_before_gate": True},
    "glm4_moe": {"norm_topk_prob": True},
    "glm4_moe_lite": {"norm_topk_prob": True, "routed_scaling_factor": 1.8},
    "gpt_oss": {"rope_theta": 150e3},
    "granitemoehybrid": SCALED,
    "granitemoeshared": SCALED,
    "jina_embeddings_v3": {"rotary_emb_base": 2e4},
    "lfm2": {"rope_theta": 1e6},
    "lfm2_moe": {"norm_topk_prob": True, "rope_theta": 1e6},
    "minimax_m2": {"rope_theta": 5e6},
    "modernbert": {"global_rope_theta": 160e3, "local_rope_theta": 10e3},
    "nemotron_h": {"norm_topk_prob": True},
    "nomic_bert": {"rotary_emb_base": 1e3},
    "olmo3": {"rope_theta": 5e5},
    "qwen3_moe": {"norm_topk_prob": False},
    "qwen3_next": {"norm_topk_prob": True},
    "qwen3_vl_moe_text": {"rope_theta": 5e5},
    "qwen3_vl_text": {"rope_theta": 5e5},
}
HEAD = '''\
"""Values of keys that configurations leave out, by model_type: defaults of transformers {version}.

Written by tools/make_config_defaults.py.
"""

from __future__ import annotations

from typing import Any

__all__ = ["DEFAULTS"]

# fmt: off
DEFAULTS: dict[str, dict[str, Any]] = {table}
# fmt: on
'''


def defaults(model_type: str) -> dict[str, Any]:
    """The numbers of a class before anything is said, and the bases of its rotation.

    Without those that have a second name, under which a configuration may say them.
    """
    kind = transformers.CONFIG_MAPPING[model_type]
    doubled = {*kind.attribute_map, *kind.attribute_map.values()}
    found = {
        key: getattr(kind, key)
        for key in sorted(kind.__dataclass_fields__.keys() - doubled)
        if not WITHOUT.search(key) and type(getattr(kind, key, None)) in (int, float)
    }
    theta = kind.default_theta
    if isinstance(theta, dict):
        found |= {"rope_theta": theta["global"], "rope_local_base_freq": theta["local"]}
    elif theta:
        found["rope_theta"] = theta
    return found


def lines(values: dict[str, Any]) -> str:
    """The entries of a dictionary, several in a line."""
    items = [
        f"{key!r}: {value!r},".replace("'", '"').replace(" ", "~") for key, value in values.items()
    ]
    filled = textwrap.fill(
        " ".join(items), 100, initial_indent=" " * 8, subsequent_indent=" " * 8,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return filled.replace("~", " ")


def main() -> None:
    table = {
        name: (defaults(name) if name in MODEL_TYPES else {}) | STATED.get(name, {})
        for name in sorted({*MODEL_TYPES, *STATED})
    }
    text = "{\n" + "".join(
        f'    "{name}": {{\n{lines(values)}\n    }},\n' for name, values in table.items()
    )
    text = HEAD.format(version=transformers.__version__, table=text + "}")
    TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
