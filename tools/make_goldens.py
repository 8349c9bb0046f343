"""Makes the numbers that the architectures are tested against, from the original implementations.

Run by hand, once, in an environment of its own; the tests need only what it writes:

    python -m venv goldens
    goldens/bin/python -m pip install torch==2.13.0 transformers==5.23.0 numpy
    PYTHONPATH=src:. goldens/bin/python tools/make_goldens.py

For each variant of tests/arch/tiny.py a transformers model is made from a configuration, gets the
same weights, and reads 40 tokens in float32 with the plain ("eager") attention. The logits go to
tests/arch/golden, frequencies of rotary embedding to tests/graph.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from tests.arch import tiny

ROOT = Path(__file__).parents[1]
EPS = tiny.metadata(tiny.VARIANTS["llama"])["llama.attention.layer_norm_rms_epsilon"]
ROPES: list[dict[str, Any]] = [
    {"n_dims": 16, "base": 10000.0, "scaling": "linear", "factor": 1.0},
    {"n_dims": 64, "base": 500000.0, "scaling": "linear", "factor": 1.0},
    {"n_dims": 128, "base": 10000.0, "scaling": "linear", "factor": 8.0},
    {"n_dims": 16, "base": 10000.0, "scaling": "yarn", "factor": 4.0, "original_context": 256},
    {"n_dims": 128, "base": 10000.0, "scaling": "yarn", "factor": 32.0, "original_context": 4096},
    {"n_dims": 128, "base": 1e6, "scaling": "yarn", "factor": 4.0, "original_context": 32768},
    {"n_dims": 64, "base": 10000.0, "scaling": "yarn", "factor": 1.0, "original_context": 2048},
    {"n_dims": 8, "base": 10000.0, "scaling": "yarn", "factor": 2.0, "original_context": 4},
    {
        "n_dims": 128, "base": 10000.0, "scaling": "yarn", "factor": 16.0,
        "original_context": 8192, "beta_fast": 4.0, "beta_slow": 0.25,
    },
]  # fmt: skip


def configuration(v: tiny.Variant) -> transformers.PreTrainedConfig:
    common: dict[str, Any] = {
        "vocab_size": tiny.N_VOCAB,
        "hidden_size": v.n_embd,
        "intermediate_size": v.n_ff,
        "num_hidden_layers": v.n_layer,
        "num_attention_heads": v.n_head,
        "num_key_value_heads": v.n_kv,
        "head_dim": v.d_head,
        "max_position_embeddings": tiny.N_CTX,
        "rms_norm_eps": EPS,
        "tie_word_embeddings": v.tied,
        "rope_parameters": {"rope_type": "default", "rope_theta": v.rope_base, **v.rope},
        "attn_implementation": "eager",
        "experts_implementation": "eager",
    }
    if v.n_expert:
        return transformers.MixtralConfig(
            **common,
            num_local_experts=v.n_expert,
            num_experts_per_tok=v.n_used,
            sliding_window=None,
        )
    if v.window:
        return transformers.MistralConfig(**common, sliding_window=v.window)
    return transformers.LlamaConfig(**common, attention_bias=v.attention_bias, mlp_bias=v.mlp_bias)


def halves(w: np.ndarray, n_head: int) -> np.ndarray:
    """Rows of queries or keys with rotated pairs side by side, as GGUF has them, to the order of
    transformers: the first values of all pairs of a head, then the second ones.
    """
    return w.reshape(n_head, -1, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def renamed(v: tiny.Variant) -> dict[str, np.ndarray]:
    """The weights under the names, and in the layouts, of transformers."""
    w, result = tiny.weights(v), {}
    outside = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    inside = {
        "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
        "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
        "ffn_gate_inp": "mlp.gate",
    }  # fmt: skip
    for name, array in w.items():
        part, kind = name.rsplit(".", 1)
        if part in outside:
            result[f"{outside[part]}.{kind}"] = array
        elif part.startswith("blk."):
            _, i, short = part.split(".")
            to = f"model.layers.{i}"
            if short in ("attn_q", "attn_k"):
                array = halves(array, v.n_head if short == "attn_q" else v.n_kv)
            if short in inside:
                result[f"{to}.{inside[short]}.{kind}"] = array
            elif short == "ffn_gate_exps":
                both = [array, w[f"blk.{i}.ffn_up_exps.weight"]]
                result[f"{to}.mlp.experts.gate_up_proj"] = np.concatenate(both, axis=1)
            elif short == "ffn_down_exps":
                result[f"{to}.mlp.experts.down_proj"] = array
    return result


def logits(v: tiny.Variant) -> np.ndarray:
    model = transformers.AutoModelForCausalLM.from_config(configuration(v), dtype=torch.float32)
    model.eval()
    arrays = renamed(v)
    state = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    if set(missing) - ({"lm_head.weight"} if v.tied else set()) or unexpected:
        raise SystemExit(f"{v.name}: not set: {missing}; not known: {unexpected}")
    tokens = torch.from_numpy(tiny.prompt().astype(np.int64))[None]
    with torch.no_grad():
        return model(tokens, use_cache=False).logits[0].numpy()


def frequencies(spec: dict[str, Any]) -> dict[str, Any]:
    rope = {"rope_type": spec["scaling"], "rope_theta": spec["base"], "factor": spec["factor"]}
    if spec["scaling"] == "yarn":
        rope["original_max_position_embeddings"] = spec["original_context"]
        rope |= {k: spec[k] for k in ("beta_fast", "beta_slow") if k in spec}
    length = int(spec.get("original_context", 2048) * spec["factor"])
    config = transformers.LlamaConfig(
        head_dim=spec["n_dims"], max_position_embeddings=length, rope_parameters=rope
    )
    values, magnitude = ROPE_INIT_FUNCTIONS[spec["scaling"]](config, torch.device("cpu"))
    return {"rope": spec, "frequencies": values.tolist(), "magnitude": magnitude}


def main() -> None:
    tiny.GOLDEN.mkdir(exist_ok=True)
    for v in tiny.VARIANTS.values():
        array = logits(v).astype(np.float32)
        path = tiny.GOLDEN / f"{v.name}.npz"
        np.savez_compressed(path, logits=array, weights=np.array(tiny.fingerprint(v)))
        spread, size = np.abs(array).max(), path.stat().st_size
        print(f"{v.name}: logits {array.shape}, largest {spread:.3f}, {size} bytes")
    rows = [json.dumps(frequencies(spec)) for spec in ROPES]
    to = ROOT / "tests" / "graph" / "rope_frequencies.json"
    to.write_text("[\n" + ",\n".join(rows) + "\n]\n")


if __name__ == "__main__":
    main()
