"""Makes the numbers that the architectures are tested against, from the original implementations.

Run by hand, in an environment of its own; the tests need only what it writes:

    python -m venv goldens
    goldens/bin/python -m pip install torch==2.13.0 transformers==5.23.0 numpy tokenizers click
    PYTHONPATH=src:. goldens/bin/python tools/make_goldens.py [NAME ...] [--peer-python PYTHON]

NAME is that of a file in tests/arch/models (all, if none is given): transformers makes the model,
saves it, gets it back with the weights of tests/arch/checkpoints.py, and reads 40 tokens in float32
with the plain ("eager") attention. Logits and names go to tests/arch/golden. With the Python of an
environment that has llama-cpp-python, our GGUF of it is read there too, and the largest difference
is kept; so is how near our backends are, which docs/models.md shows. --check writes nothing and
compares with what is there. "tiny" stands for the variants of tests/arch/tiny.py and the
frequencies of rotary embedding.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors import safe_open
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from llmpy.checkpoint.convert import convert
from tests.arch import checkpoints, tiny
from tools import generate_docs, measure_models

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


def make_tiny() -> None:
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


def saved(spec: checkpoints.Spec, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What transformers writes for a model of this configuration: config.json, and shapes."""
    config = transformers.AutoConfig.for_model(**spec.config)
    loader = getattr(transformers, spec.loader)
    make = getattr(loader, "from_config", None) or loader._from_config
    model = make(config, dtype=torch.float32)
    if torch.cuda.is_available():
        raise SystemExit("goldens are made on the CPU")
    model.save_pretrained(folder, safe_serialization=True)
    written = json.loads((folder / "config.json").read_text("utf-8"))
    written.pop("transformers_version", None)
    shapes = {}
    with safe_open(folder / "model.safetensors", "np") as file:
        for name in sorted(file.keys()):
            shapes[name] = list(file.get_slice(name).get_shape())
            kind = file.get_slice(name).get_dtype()
            if kind != "F32":
                raise SystemExit(f"{spec.name}: {name} is {kind}; give its values a rule")
    return written, shapes


def original(spec: checkpoints.Spec, folder: Path, tokens: np.ndarray) -> np.ndarray:
    """The logits of the checkpoint in a folder, in the original implementation."""
    model, info = getattr(transformers, spec.loader).from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    wrong = {k: v for k, v in info.items() if v and k != "error_msgs"}
    if wrong:
        raise SystemExit(f"{spec.name}: {wrong}")
    for part in (model, *model.modules()):
        if getattr(getattr(part, "config", None), "_experts_implementation", None):
            part.config._experts_implementation = "eager"
    model.eval()
    options = {"use_cache": False} if spec.causal else {}
    with torch.no_grad():
        output = model(torch.from_numpy(tokens.astype(np.int64))[None], **options)
    found = output.logits if "logits" in output else output.last_hidden_state
    return found[0].numpy().astype(np.float32)


def of_peer(
    spec: checkpoints.Spec, folder: Path, tokens: np.ndarray, python: str
) -> np.ndarray | str:
    """What llama.cpp makes of our GGUF file of the checkpoint in a folder, or why it does not."""
    model, ids, out = folder / "model.gguf", folder / "tokens.npy", folder / "peer.npy"
    convert(folder, model, type="f32")
    np.save(ids, tokens)
    command = [python, ROOT / "tools" / "peer_logits.py", model, ids, out]
    command += [] if spec.causal else ["--states"]
    run = subprocess.run(command, capture_output=True, text=True, env={"PATH": ""}, check=False)
    if run.returncode:
        lines = run.stderr.splitlines()
        if any(re.search("(unknown|unsupported) model architecture", line) for line in lines):
            return "unknown"
        if spec.peer:
            return "refused"
        raise SystemExit(f"{spec.name}: llama.cpp refuses the file:\n" + "\n".join(lines[-25:]))
    return np.load(out)


def judged(peer: np.ndarray | str, logits: np.ndarray) -> dict[str, Any]:
    """How llama.cpp agrees."""
    if isinstance(peer, str):
        return {peer: True}
    return {"difference": float(np.abs(peer - logits).max() / np.abs(logits).max())}


def make(spec: checkpoints.Spec, peer_python: str | None, check: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"  # a name that says nothing: llama.cpp looks at it
        if spec.shapes:
            config, shapes = dict(spec.config), checkpoints.numbered(spec)
        else:
            config, shapes = saved(spec, folder)
        weights = checkpoints.arrays(spec, shapes)
        checkpoints.write(folder, config, weights)
        tokens = checkpoints.prompt(config.get("vocab_size") or config["text_config"]["vocab_size"])
        about: dict[str, Any] = {
            "config": config,
            "shapes": shapes,
            "fingerprint": checkpoints.fingerprint(weights),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }
        if spec.shapes:
            if not peer_python:
                raise SystemExit(f"{spec.name}: only llama.cpp has it: --peer-python")
            logits = of_peer(spec, folder, tokens, peer_python)
            about["original"] = "llama.cpp"
        else:
            logits = original(spec, folder, tokens)
        if check:
            old = checkpoints.load_golden(spec.name)
            distance = np.abs(old.logits - logits).max() / np.abs(logits).max()
            if distance > 1e-5 or old.about["fingerprint"] != about["fingerprint"]:
                raise SystemExit(f"{spec.name}: {distance:.2g} from the golden, or other weights")
        line = f"{spec.name}: logits {logits.shape}, largest {np.abs(logits).max():.3f}"
        if peer_python:
            if spec.relative:
                checkpoints.write(folder, config, weights, spec.relative)
            about["peer"] = judged(of_peer(spec, folder, tokens, peer_python), logits)
            line += f", llama.cpp {about['peer']}"
        if not check:
            golden = measure_models.measured(spec, checkpoints.Golden(logits, about))
            checkpoints.save_golden(spec.name, golden)
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--peer-python")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in options.names or ["tiny", *checkpoints.names()]:
        if name == "tiny":
            make_tiny()
        else:
            make(checkpoints.spec(name), options.peer_python, options.check)
    if not options.check:
        generate_docs.write()


if __name__ == "__main__":
    main()
