"""Tiny checkpoints as transformers saves them, with weights that any machine makes alike.

A model is a file in models/: the configuration, and how its weights spread where that is not as
usual. Its golden has what the original implementation made of it; see tools/make_goldens.py.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.format.safetensors import write_safetensors
from llmpy.tokenizer.alphabet import CHARACTERS
from tests.arch.relatives import RELATIVES

HERE = Path(__file__).parent
MODELS = HERE / "models"
GOLDEN = HERE / "golden"
N_TOKENS = 40

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Spec:
    """What models/NAME.json says.

    `config`: of transformers, with "model_type". `loader`: the class of transformers that makes the
    model. `weights`: pattern of names -> {"gain"}, or {"spread", "center"}; the first that fits.
    `peer`: why llama.cpp cannot be the judge, where it cannot. `causal`: false for encoders.
    `relative`: the architecture of relatives.py that the checkpoint is turned into. `shapes`: the
    tensors of a checkpoint that transformers cannot make ("{i}": one for each block); its golden is
    llama.cpp's.
    """

    name: str
    config: Mapping[str, Any]
    loader: str = "AutoModelForCausalLM"
    weights: Mapping[str, Mapping[str, float]] | None = None
    peer: str = ""
    causal: bool = True
    relative: str = ""
    shapes: Mapping[str, Sequence[int]] | None = None


def spec(name: str) -> Spec:
    return Spec(name, **json.loads((MODELS / f"{name}.json").read_text("utf-8")))


def numbered(spec: Spec) -> dict[str, list[int]]:
    """The shapes of all tensors of a model that names them by block."""
    keys = ("num_hidden_layers", "n_layer", "n_layers")
    n = next(spec.config[key] for key in keys if key in spec.config)
    return {
        name.replace("{i}", str(i)): list(shape)
        for name, shape in (spec.shapes or {}).items()
        for i in range(n if "{i}" in name else 1)
    }


def names() -> list[str]:
    return sorted(path.stem for path in MODELS.glob("*.json"))


def prompt(n_vocab: int, n: int = N_TOKENS) -> NDArray[np.int32]:
    """Token ids that are no control tokens, but for the first."""
    raw = np.random.PCG64(1000).random_raw(n)
    return np.concatenate([[1], 3 + raw[1:] % (n_vocab - 3)]).astype(np.int32)


def array(name: str, shape: tuple[int, ...], spec: Spec) -> Array:
    """The weights of a tensor, from its name alone: uniform, of a spread that keeps logits near 1.

    Vectors called "weight" are around 1, other vectors small, matrices 1/sqrt(inputs).
    """
    rule = next((w for p, w in (spec.weights or {}).items() if fnmatchcase(name, p)), {})
    vector = len(shape) < 2
    norm = vector and name.endswith("weight")
    usual = 0.2 if vector else rule.get("gain", 1.0) / math.sqrt(shape[-1])
    spread, center = rule.get("spread", usual), rule.get("center", 1.0 if norm else 0.0)
    bits = np.random.PCG64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
    raw = bits.random_raw(math.prod(shape)) >> np.uint64(40)
    unit = np.asarray(raw, np.float64) / 2**24 - 0.5
    return (center + spread * math.sqrt(12) * unit).reshape(shape).astype(np.float32)


def arrays(spec: Spec, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    return {name: array(name, tuple(shape), spec) for name, shape in sorted(shapes.items())}


def fingerprint(weights: Mapping[str, Array]) -> str:
    """Of the weights: goldens are good for these and no others."""
    digest = hashlib.sha256()
    for name, values in weights.items():
        digest.update(name.encode() + values.tobytes())
    return digest.hexdigest()


def write(
    folder: Path, config: Mapping[str, Any], weights: Mapping[str, NDArray[Any]], relative: str = ""
) -> Path:
    """A checkpoint's folder; 16-bit integers are the bits of BF16."""
    folder.mkdir(exist_ok=True)
    if relative:
        config, weights = RELATIVES[relative](dict(config), dict(weights))
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    n_vocab = config.get("vocab_size") or config["text_config"]["vocab_size"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(n_vocab)), "utf-8")
    types = {np.dtype(np.float32): "F32", np.dtype(np.uint16): "BF16"}
    write_safetensors(
        folder / "model.safetensors",
        [(name, types[values.dtype], values.shape, values) for name, values in weights.items()],
    )
    return folder


def tokenizer(n_vocab: int) -> dict[str, Any]:
    """Control tokens, all bytes, and a few pairs: as tokenizer.json has it."""
    specials = ["<unk>", "<s>", "</s>"]
    tokens = [*specials, *CHARACTERS]
    merges: list[list[str]] = []
    for a in "abcdefgh":
        if len(tokens) < n_vocab:
            merges.append([a, a])
            tokens.append(a + a)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": i, "content": token, "special": True} for i, token in enumerate(specials)
        ],
        "normalizer": None,
        "pre_tokenizer": {**byte_level, "trim_offsets": False},
        "decoder": {**byte_level, "trim_offsets": False},
        "model": {
            "type": "BPE",
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": merges,
        },
    }


@dataclass(frozen=True)
class Golden:
    """What transformers made of a model: `logits` [T, n] (of encoders, their last states).

    `about` has its config.json, the shapes of its tensors, their fingerprint, versions, under
    "peer" how llama.cpp agrees, and under "measured" our name of it, features and distances.
    """

    logits: Array
    about: Mapping[str, Any]

    def weights(self, spec: Spec) -> dict[str, Array]:
        return arrays(spec, self.about["shapes"])


def load_golden(name: str) -> Golden:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return Golden(file["logits"], json.loads(bytes(file["about"]).decode()))


def save_golden(name: str, golden: Golden) -> None:
    about = np.frombuffer(json.dumps(golden.about).encode(), np.uint8)
    np.savez_compressed(GOLDEN / f"{name}.npz", logits=golden.logits, about=about)


def goldens() -> list[str]:
    return sorted(path.stem for path in GOLDEN.glob("*.npz"))
