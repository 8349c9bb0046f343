"""Varies each key of the tiny models' configurations, and compares llmpy with transformers.

    PYTHONPATH=src:. goldens/bin/python tools/vary_configs.py [NAME ...] [--all] [--shard I/N]

The environment is that of make_goldens.py. NAME is that of a file in tests/arch/models; without it
one model of each model_type is taken. A changed configuration must be refused, or give the logits
that transformers gives with it, but for those of KNOWN. Prints a line for each that does neither
("WRONG"), and with --all what became of every one: "same" (as transformers), "refused", or
"refused, though harmless". A change that transformers does not take is passed over.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from llmpy.errors import LlmpyError
from tests.arch import checkpoints
from tests.arch.steps import load, make_backend
from tools.make_goldens import original

NEAR = 1e-3  # of the largest logit
ABSENT = object()
SKIPPED = (
    "architectures", "model_type", "dtype", "torch_dtype", "bos_token_id", "eos_token_id",
    "vocab_size", "id2label", "label2id", "num_hidden_layers", "hidden_size", "n_layer",
    "transformers_version", "return_dict", "_name_or_path",
)  # fmt: skip
ROPES: dict[str, dict[str, Any]] = {
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0},
    "ntk": {"factor": 4.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 16},
    "yarn mscale": {
        "factor": 4.0, "original_max_position_embeddings": 16, "mscale": 1.0, "mscale_all_dim": 0.5
    },
    "yarn all_dim": {
        "factor": 4.0, "original_max_position_embeddings": 16, "mscale_all_dim": 0.5
    },
    "yarn whole": {"factor": 4.0, "original_max_position_embeddings": 16, "truncate": True},
    "yarn fractions": {"factor": 4.0, "original_max_position_embeddings": 16, "truncate": False},
    "yarn factor": {
        "factor": 4.0, "original_max_position_embeddings": 16, "attention_factor": 0.7,
        "beta_fast": 8.0, "beta_slow": 2.0,
    },
    "llama3": {
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
    "longrope": {"factor": 4.0, "original_max_position_embeddings": 32},
}  # fmt: skip
KNOWN = {  # where transformers does something else than the code that the models came with
    "dbrx: rope_parameters.rope_theta": "the base of attn_config counts where there is no other",
    "deepseek-v2: norm_topk_prob": "it does not look at the key",
    "falcon_mamba: rescale_prenorm_residual": "it scales loaded weights as if they were new",
    "mamba: rescale_prenorm_residual": "it scales loaded weights as if they were new",
    "mamba2: rescale_prenorm_residual": "it scales loaded weights as if they were new",
    "mpt: attn_config.alibi": "it does not look at the keys",
}
Path_ = tuple[str, ...]


def values(key: str, value: Any) -> list[Any]:
    """Other values that a key might have."""
    if isinstance(value, bool):
        return [not value, ABSENT]
    if isinstance(value, float):
        return [value * 1.5 + 0.1, ABSENT]
    if isinstance(value, int):
        return [value + 1, max(value // 2, 1), ABSENT]
    if isinstance(value, str):
        names = ["relu", "gelu", "silu"] if "act" in key else ["something"]
        return [name for name in names if name != value] + [ABSENT]
    if isinstance(value, list):
        return [value[::-1], ABSENT]
    return [True, 1.5, 4]


def changes(config: dict[str, Any]) -> Iterator[tuple[str, dict[Path_, Any]]]:
    """What to change, by a name: paths of keys and their new values."""
    for key, value in config.items():
        if key in SKIPPED or key.endswith("_token_id"):
            continue
        if not isinstance(value, dict):
            for new in values(key, value):
                yield f"{key} = {shown(new)}", {(key,): new}
            continue
        for inner, old in value.items():
            if isinstance(old, dict):
                for last, oldest in old.items():
                    for new in values(last, oldest):
                        yield f"{key}.{inner}.{last} = {shown(new)}", {(key, inner, last): new}
                continue
            for new in values(inner, old):
                yield f"{key}.{inner} = {shown(new)}", {(key, inner): new}
    yield from rotations(config)


def rotations(config: dict[str, Any]) -> Iterator[tuple[str, dict[Path_, Any]]]:
    """The rotation in other words, and of other types."""
    rotation = config.get("rope_parameters")
    if (
        not isinstance(rotation, dict)
        or "full_attention" in rotation
        or "hidden_size" not in config
    ):
        return
    base, part = rotation.get("rope_theta"), rotation.get("partial_rotary_factor", 1.0)
    d_head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    n = int(d_head * part) // 2
    kept = {k: v for k, v in rotation.items() if k in ("rope_theta", "partial_rotary_factor")}
    for name, keys in ROPES.items():
        kind = name.split()[0]
        if kind == "longrope":
            keys = keys | {"short_factor": [1.0 + i for i in range(n)], "long_factor": [2.0] * n}
        yield f"rope {name}", {("rope_parameters",): {"rope_type": kind, **kept, **keys}}
        old = {("rope_parameters",): ABSENT, ("rope_theta",): base}
        yield f"rope_scaling {name}", {**old, ("rope_scaling",): {"type": kind, **keys}}
    within = {"type": "linear", "factor": 2.0, "rope_theta": 77.0}
    yield "rope_theta in rope_scaling", {("rope_parameters",): ABSENT, ("rope_scaling",): within}
    yield "partial_rotary_factor", {("partial_rotary_factor",): 0.25, ("rope_parameters",): {
        "rope_type": "default", "rope_theta": base}}  # fmt: skip


def shown(value: Any) -> str:
    return "nothing" if value is ABSENT else json.dumps(value)[:60]


def changed(config: dict[str, Any], new: dict[Path_, Any]) -> dict[str, Any]:
    result = copy.deepcopy(config)
    for path, value in new.items():
        inner = result
        for key in path[:-1]:
            inner = inner[key]
        if value is ABSENT:
            inner.pop(path[-1], None)
        else:
            inner[path[-1]] = value
    return result


def theirs(spec: checkpoints.Spec, folder: Path, tokens: np.ndarray) -> np.ndarray | None:
    try:
        with warnings.catch_warnings(action="ignore"):
            return original(spec, folder, tokens)
    except (Exception, SystemExit):
        return None


def ours(folder: Path, tokens: np.ndarray) -> np.ndarray | str:
    """The logits, or why there are none."""
    try:
        with warnings.catch_warnings(action="ignore"):
            runner = load(folder, make_backend("cpu"))
            return runner.whole(list(tokens))
    except LlmpyError as error:
        return str(error)


def judge(theirs: np.ndarray, ours: np.ndarray | str, before: np.ndarray) -> tuple[str, str]:
    def far(a: np.ndarray, b: np.ndarray) -> float:
        if a.shape != b.shape or not np.isfinite(a).all():
            return np.inf
        return float(np.abs(a - b).max() / np.abs(b).max())

    moved = far(theirs, before)
    if isinstance(ours, str):
        return ("refused" if moved > 1e-6 else "refused, though harmless"), ours
    away = far(ours, theirs)
    kind = "same" if away < NEAR else "WRONG"
    return kind, f"{away:.2g} from transformers, whose logits moved by {moved:.2g}"


def vary(spec: checkpoints.Spec, everything: bool) -> None:
    golden = checkpoints.load_golden(spec.name)
    config, weights = dict(golden.about["config"]), golden.weights(spec)
    with tempfile.TemporaryDirectory() as name:
        folder = checkpoints.write(Path(name) / "model", config, weights)
        n_vocab = config.get("vocab_size") or config["text_config"]["vocab_size"]
        tokens = checkpoints.prompt(n_vocab)
        for what, new in changes(config):
            (folder / "config.json").write_text(json.dumps(changed(config, new)))
            found = theirs(spec, folder, tokens)
            if found is None:
                continue
            kind, why = judge(found, ours(folder, tokens), golden.logits)
            if any(f"{spec.name}: {what}".startswith(start) for start in KNOWN):
                kind = kind.replace("WRONG", "known")
            if everything or kind == "WRONG":
                print(f"{spec.name}: {kind}: {what}: {why.replace(name, '')[:200]}", flush=True)


def chosen() -> list[str]:
    """One model of each model_type that transformers makes."""
    kinds: dict[str, str] = {}
    for name in checkpoints.names():
        spec = checkpoints.spec(name)
        if not spec.relative and not spec.shapes:
            kinds.setdefault(str(spec.config["model_type"]) + str(spec.loader), name)
    return list(kinds.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--shard", default="0/1")
    options = parser.parse_args()
    transformers.logging.set_verbosity(60)
    transformers.logging.disable_progress_bar()
    i, n = (int(part) for part in options.shard.split("/"))
    for name in (options.names or chosen())[i::n]:
        vary(checkpoints.spec(name), options.all)
        print(f"{name}: done", flush=True)


if __name__ == "__main__":
    main()
