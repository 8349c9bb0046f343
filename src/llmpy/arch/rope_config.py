"""Read the rotary embedding of config.json, as any version of transformers writes it.

The rotation stands under "rope_parameters" (since 2025) or "rope_scaling", its base and the part of
a head that is rotated there or beside it. A value that a file cannot express is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.arch.config import Config, expect
from llmpy.errors import UnsupportedModelError

__all__ = [
    "SCALED",
    "expect_rope",
    "longrope_attention",
    "original_context",
    "rope",
    "rope_base",
    "rope_scaling",
    "rope_sections",
    "rope_tensors",
    "rope_type",
    "rotated_dims",
    "sliding_base",
]

SAME = {"su": "longrope", "mrope": "default", None: "default"}  # other names of a rope type
# Types that are plain rotation up to max_position_embeddings, within which llmpy runs a model.
PLAIN = ("default", "dynamic")
SCALED = ("linear", "yarn", "llama3")  # what most wirings with `rope_tensors` can do


USUAL_BASE = 10_000.0


def rope(config: Config) -> Config:
    """Return the rotation of the layers that see all tokens; "rope_scaling" comes first."""
    settings: Config = config.get("rope_scaling") or config.get("rope_parameters") or {}
    return settings.get("full_attention") or settings


def sliding_base(config: Config) -> Any:
    """Return the base of the plain rotation in layers with a sliding window; None if untold."""
    settings = config.get("rope_parameters") or {}
    local = settings.get("sliding_attention") or {}
    expect_rope(local, ())
    return local.get("rope_theta", config.get("rope_local_base_freq"))


def rope_type(settings: Config) -> Any:
    """Return the type of a rotation, under the name that transformers has for it."""
    old, new = settings.get("type"), settings.get("rope_type")
    kind = new if new is not None else old
    return SAME.get(kind, kind) if isinstance(kind, str | None) else kind


def expect_rope(settings: Config, types: Sequence[str]) -> None:
    """Refuse a type of rotation that is neither plain nor one of `types`.

    "dynamic" scales only beyond max_position_embeddings, so it is plain within them.
    """
    kind = rope_type(settings)
    if kind in PLAIN:
        _ = settings.get("factor"), settings.get("original_max_position_embeddings")
        return
    if kind not in types:
        key = f"{getattr(settings, 'prefix', 'rope_parameters.')}rope_type"
        known = ", ".join(dict.fromkeys([*PLAIN, *types]))
        raise UnsupportedModelError(
            None, f"config.json '{key}'", f"one of {known} for this model", repr(kind)[:80]
        )


def rope_base(config: Config, *others: str) -> Any:
    """Return the base of the rotation: with the other values of it, beside them, or the usual one.

    `others` are names of keys that it had in earlier years.
    """
    bases = [rope(config).get("rope_theta"), *(config.get(k) for k in ("rope_theta", *others))]
    return next((base for base in bases if base is not None), USUAL_BASE)


def original_context(config: Config) -> int:
    """Return the context before it was stretched; the value beside the rotation comes first."""
    name = "original_max_position_embeddings"
    within = rope(config).get(name)
    return int(config.get(name) or within or config["max_position_embeddings"])


def rotated_dims(config: Config, usually: float = 1.0) -> int:
    """Return how many values of a head are rotated: a told part of them, or `usually`."""
    name = "partial_rotary_factor"
    beside, within = config.get(name), rope(config).get(name)
    part = next(p for p in (within, beside, usually) if p is not None)
    d_head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return int(part * d_head)


def rope_sections(config: Config, usually: Sequence[int] = ()) -> list[int] | None:
    """Return the pairs that turn by each coordinate of a picture, which are the same for text."""
    settings = rope(config).get("mrope_section") or usually
    return [*settings, 0] if settings else None


def rope_scaling(config: Config, *, truncate: bool = True) -> dict[str, Any]:
    """Return the keys of linear and YaRN scaling; llama3's and longrope's are tensors of a file.

    `truncate`: whether the architecture's YaRN rounds to whole pairs.
    """
    settings = rope(config)
    kind = rope_type(settings)
    if kind == "linear":
        return {"rope.scaling.type": kind, "rope.scaling.factor": float(settings["factor"])}
    if kind != "yarn":
        return {}
    if bool(settings.get("truncate", True)) != truncate:
        expect(settings | {"truncate": not truncate}, "truncate", truncate)
    original = original_context(config)
    factor = settings.get("factor")
    factor = float(config["max_position_embeddings"] / original if factor is None else factor)
    return {
        "rope.scaling.type": kind,
        "rope.scaling.factor": factor,
        "rope.scaling.original_context_length": original,
        "rope.scaling.yarn_beta_fast": settings.get("beta_fast") or None,
        "rope.scaling.yarn_beta_slow": settings.get("beta_slow") or None,
        "rope.scaling.yarn_attn_factor": _yarn_temperature(settings, factor),
    }


def _yarn_temperature(settings: Config, factor: float) -> float | None:
    """Factor on rotated values, where it is not the usual 1 + 0.1 ln(factor)."""
    temperature, one, every = (
        settings.get(k) for k in ("attention_factor", "mscale", "mscale_all_dim")
    )
    if temperature is not None:
        return float(temperature)
    if not (one and every):
        return None
    grows = math.log(max(factor, 1.0)) / 10
    return float((1 + one * grows) / (1 + every * grows))


def rope_tensors(config: Config) -> dict[str, NDArray[Any]]:
    """Return divisors of the rotary frequencies: Llama 3's by wavelength, longrope's as it says."""
    settings = rope(config)
    kind = rope_type(settings)
    if kind == "llama3":
        return {"rope_freqs.weight": _llama3_factors(config, settings)}
    if kind == "longrope":
        names = {"long_factor": "rope_factors_long", "short_factor": "rope_factors_short"}
        return {f"{to}.weight": np.array(settings[key], np.float32) for key, to in names.items()}
    return {}


def _llama3_factors(config: Config, settings: Config) -> NDArray[np.float32]:
    """Divisors [n_dims / 2], float32 (Dubey et al. 2024).

    1 for pairs that turn often within the original context, `factor` for those that hardly do,
    and between them a mixture.
    """
    n = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    frequencies = rope_base(config) ** (-np.arange(0, n, 2) / n)
    turns = original_context(config) * frequencies / (2 * np.pi)
    low, high = settings["low_freq_factor"], settings["high_freq_factor"]
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    factors: NDArray[Any] = 1 / ((1 - smooth) / settings["factor"] + smooth)
    return factors.astype(np.float32)


def longrope_attention(config: Config) -> float:
    """Return the factor on rotated values of longrope: it grows with the stretch (Ding 2024)."""
    settings = rope(config)
    if rope_type(settings) != "longrope":
        return 1.0
    if settings.get("attention_factor") is not None:
        return float(settings["attention_factor"])
    original = original_context(config)
    stated = settings.get("factor")
    stretch = config["max_position_embeddings"] / original if stated is None else stated
    return float(np.sqrt(1 + np.log(stretch) / np.log(original))) if stretch > 1 else 1.0
