"""Choosing the type of each tensor: the mixtures of the ecosystem, by its part in the model.

Attention values, the second product of the feed-forward, and the output lose most by rounding, so
that mixtures give them more bits. Norms, biases, routers and other small tensors keep their type.
Source: the mixtures that llama.cpp's quantizer writes under the same names.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmpy.dtypes import BY_NAME, DType

__all__ = ["FALLBACKS", "KINDS", "Facts", "assign", "fits", "kept_as_it_is", "stored_as"]

KINDS: dict[str, tuple[str, int]] = {
    "F32": ("F32", 0),
    "F16": ("F16", 1),
    "BF16": ("BF16", 32),
    "Q4_0": ("Q4_0", 2),
    "Q4_1": ("Q4_1", 3),
    "Q5_0": ("Q5_0", 8),
    "Q5_1": ("Q5_1", 9),
    "Q8_0": ("Q8_0", 7),
    "Q2_K": ("Q2_K", 10),
    "Q3_K_S": ("Q3_K", 11),
    "Q3_K_M": ("Q3_K", 12),
    "Q3_K_L": ("Q3_K", 13),
    "Q4_K_S": ("Q4_K", 14),
    "Q4_K_M": ("Q4_K", 15),
    "Q5_K_S": ("Q5_K", 16),
    "Q5_K_M": ("Q5_K", 17),
    "Q6_K": ("Q6_K", 18),
    "IQ4_NL": ("IQ4_NL", 25),
    "IQ4_XS": ("IQ4_XS", 30),
    "MXFP4": ("MXFP4", 38),
}
"""Name of a mixture: the type that most tensors get, and its number under "general.file_type"."""

FALLBACKS = {
    "Q2_K": "Q4_0",
    "Q3_K": "Q4_0",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
    "IQ4_XS": "IQ4_NL",
}
"""What a type of blocks of 256 becomes where a row is no multiple of 256; then F16."""

# Tensors that stay as they are: small ones, and ones that rounding would harm.
_KEPT = re.compile(
    r"_norm\.weight$|ffn_gate_inp|altup|laurel|per_layer_model_proj|^position_embd|^token_types"
    r"|ssm_conv1d|shortconv\.conv|time_mix_(first|w[012]|v[012]|a[012]|g[12]|decay_w[12]|lerp_fused)"
    r"|attn_rel_b|\.position_embd|\.rel_pos|\.patch_embd|indexer\.[kq]_proj"
)
_LAYER = re.compile(r"blk\.(\d+)\.")
_VALUES = ("attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight")


@dataclass(frozen=True)
class Facts:
    """Properties of a model that mixtures depend on; `weighed`: whether there is an importance."""

    architecture: str = ""
    n_layers: int = 0
    n_experts: int = 0
    heads_per_kv: int = 1
    weighed: bool = False


def kept_as_it_is(name: str, shape: Sequence[int]) -> bool:
    """Whether a tensor keeps its type in every mixture; `shape` is row-major."""
    rank = next((len(shape) - i for i, n in enumerate(shape) if n > 1), 1)
    return rank < 2 or not name.endswith("weight") or _KEPT.search(name) is not None


def fits(pattern: str, name: str, shape: Sequence[int]) -> bool:
    """Whether a pattern as of file names decides about a tensor.

    It must be the whole name of one that keeps its type: other engines abort on quantized norms.
    """
    if kept_as_it_is(name, shape):
        return pattern == name
    return fnmatch.fnmatchcase(name, pattern)


def stored_as(dtype: DType, columns: int) -> DType:
    """`dtype`, or what takes its place where rows of `columns` values are no whole blocks."""
    if columns % dtype.block and dtype.name in FALLBACKS:
        dtype = BY_NAME[FALLBACKS[dtype.name]]
    return BY_NAME["F16"] if columns % dtype.block else dtype


def assign(
    kind: str,
    tensors: Mapping[str, Sequence[int]],
    facts: Facts,
    keep: Sequence[tuple[str, DType]] = (),
    *,
    pure: bool = False,
) -> dict[str, DType]:
    """The type that each tensor that does not keep its own should have, rows aside.

    `tensors`: row-major shapes by name. `keep`: patterns as of file names, the first that fits
    decides (see `fits`). `pure`: the mixture's main type for all. Raises KeyError for an unknown
    kind.
    """
    default = BY_NAME[KINDS[kind][0]]
    choose = _Mixture(kind, tensors, facts)
    found: dict[str, DType] = {}
    for name in sorted(tensors, key=_by_layer):
        shape = tensors[name]
        named = next((dtype for pattern, dtype in keep if fits(pattern, name, shape)), None)
        if named is not None:
            choose.count(name)
            found[name] = named
        elif not kept_as_it_is(name, shape):
            plain = pure or default.block == 1
            found[name] = default if plain else BY_NAME[choose(name, default.name)]
    return found


def _by_layer(name: str) -> tuple[int, str]:
    match = _LAYER.match(name)
    return (int(match[1]) if match else -1, name)


class _Mixture:
    """The rules of one mixture; called for the tensors in order, as it counts them."""

    def __init__(self, kind: str, tensors: Mapping[str, Sequence[int]], facts: Facts) -> None:
        self.kind = kind
        self.facts = facts
        self.tied = "output.weight" not in tensors
        self.n_values = sum(name.endswith(_VALUES) for name in tensors)
        self.n_layers = facts.n_layers
        self.values = self.downs = 0

    def count(self, name: str) -> tuple[int, int]:
        """Count the tensor; return its number among value tensors, and among ffn_down."""
        before = self.values, self.downs
        self.values += name.endswith(_VALUES)
        self.downs += "ffn_down" in name
        layer = _LAYER.match(name)
        if self.facts.n_experts > 1 and layer:
            return before[0], int(layer[1])
        return before

    def __call__(self, name: str, default: str) -> str:
        number, layer = self.count(name)
        embedding = name in ("token_embd.weight", "per_layer_token_embd.weight")
        if name == "output.weight" or (self.tied and embedding):
            if self.facts.architecture == "falcon" or default == "Q8_0":
                return "Q8_0"
            return "Q6_K"
        if embedding:
            return default
        if name.endswith(_VALUES):
            return self._value(number, default)
        if "attn_k.weight" in name and self.facts.n_experts == 8:
            return "Q8_0"
        if "ffn_down" in name:
            return self._down(layer, default)
        if "attn_output.weight" in name:
            return self._attention_output(default)
        return default

    def _value(self, i: int, default: str) -> str:
        kind, many = self.kind, self.facts.heads_per_kv >= 4
        chosen = {
            "Q2_K": "Q4_K" if many else "Q3_K",
            "Q3_K_M": "Q5_K" if i < 2 else "Q4_K",
            "Q3_K_L": "Q5_K",
            "IQ4_NL": "Q5_K" if many else default,
            "IQ4_XS": "Q5_K" if many else default,
            "Q4_K_S": "Q5_K" if i < 4 else default,
            "Q4_K_M": "Q6_K" if _more(i, self.n_values) else default,
            "Q5_K_M": "Q6_K" if _more(i, self.n_values) else default,
        }.get(kind, default)
        large = self.facts.n_layers == 80 and self.facts.heads_per_kv > 1
        if large and chosen in ("Q3_K", "Q4_K"):  # few of them, and eight heads share each
            chosen = "Q5_K"
        return "Q8_0" if self.facts.n_experts == 8 else chosen

    def _down(self, i: int, default: str) -> str:
        n, falcon = self.n_layers, self.facts.architecture == "falcon"
        first = i < n // 8
        chosen = {
            "Q2_K": "Q3_K",
            "Q3_K_M": "Q5_K" if i < n // 16 else "Q4_K" if not falcon or _more(i, n) else default,
            "Q3_K_L": "Q4_K" if falcon else "Q5_K",
            "Q4_K_S": "Q5_K" if first and not falcon else default,
            "Q4_K_M": "Q6_K" if _more(i, n) else default,
            "Q5_K_M": "Q6_K" if _more(i, n) else default,
            "IQ4_NL": "Q5_K" if first and not self.facts.weighed else default,
            "IQ4_XS": "Q5_K" if first and not self.facts.weighed else default,
            "Q4_0": "Q4_1" if first and self.facts.weighed else default,
            "Q5_0": "Q5_1" if first and self.facts.weighed else default,
        }.get(self.kind, default)
        if falcon and self.kind == "Q4_K_M":
            return "Q6_K" if i < n // 16 else "Q5_K" if _more(i, n) else "Q4_K"
        return chosen

    def _attention_output(self, default: str) -> str:
        if self.facts.architecture == "falcon":
            return "Q4_K" if self.kind == "Q3_K_L" else default
        if self.facts.n_experts == 8:
            five = ("Q2_K", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ4_XS")
            return "Q5_K" if self.kind in five else default
        return {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(self.kind, default)


def _more(i: int, n: int) -> bool:
    """The first and last eighth, and every third between."""
    return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2
