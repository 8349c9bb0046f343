"""Defaults of transformers' configurations: src/llmpy/arch/defaults.py.

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
UNSURE = ("cohere", "olmo3", "qwen3_vl_moe_text", "qwen3_vl_text")  # versions 4 and 5 differ
HEAD = '''\
"""Numbers that configurations leave out, by model_type: defaults of transformers {version}.

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
    theta = None if model_type in UNSURE else kind.default_theta
    if isinstance(theta, dict):
        return {**found, "rope_theta": theta["global"], "rope_local_base_freq": theta["local"]}
    return {**found, "rope_theta": theta} if theta else found


def lines(said: dict[str, Any]) -> str:
    """The entries of a dictionary, several in a line."""
    items = [
        f"{key!r}: {value!r},".replace("'", '"').replace(" ", "~") for key, value in said.items()
    ]
    filled = textwrap.fill(
        " ".join(items), 100, initial_indent=" " * 8, subsequent_indent=" " * 8,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return filled.replace("~", " ")


def main() -> None:
    table = {name: defaults(name) for name in MODEL_TYPES}
    text = "{\n" + "".join(
        f'    "{name}": {{\n{lines(said)}\n    }},\n' for name, said in table.items()
    )
    text = HEAD.format(version=transformers.__version__, table=text + "}")
    TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
