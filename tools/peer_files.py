"""Reads what the converter of llama.cpp makes of our tiny checkpoints, beside the goldens.

Shows that files from elsewhere load. Run by hand, with the environment of make_goldens.py and the
sources of llama.cpp:

    PYTHONPATH=src:. goldens/bin/python tools/peer_files.py LLAMA_CPP [NAME ...]

The converter refuses tokenizers that it does not know; ours are passed to it as those of GPT-2.
"""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from llmpy.backends.reference.backend import ReferenceBackend
from tests.arch import checkpoints
from tests.arch.steps import load

FAR = 2e-4  # of the largest logit
# What published checkpoints say and those that transformers writes of tiny models do not.
PUBLISHED: dict[str, Any] = {
    "baichuan": {"architectures": ["BaichuanForCausalLM"]},
    "baichuan-13b": {"architectures": ["BaichuanForCausalLM"]},
    "bailingmoe": {"architectures": ["BailingMoeForCausalLM"], "first_k_dense_replace": 0},
    "cohere2": {"rotary_pct": 1.0},
    "deepseek": {"architectures": ["DeepseekForCausalLM"]},
    "exaone": {"architectures": ["ExaoneForCausalLM"]},
    "falcon": {"num_kv_heads": 1},
    "gpt2": {"n_ctx": 256},
    "gptneox": {"rotary_pct": 0.25},
    "gptneox-serial": {"rotary_pct": 1.0},
    "granite4": {"layer_types": ["attention"] * 3},
    "granitehybrid": {"layer_types": ["mamba", "attention", "mamba"]},
    "granitehybrid-dense": {"layer_types": ["mamba", "attention", "mamba"]},
    "hunyuan-moe": {
        "moe_intermediate_size": [96, 96], "num_shared_expert": [1, 1], "moe_topk": [3, 3],
    },
    "internlm2": {"architectures": ["InternLM2ForCausalLM"]},
    "minicpm": {"architectures": ["MiniCPMForCausalLM"]},
    "minicpm-long": {"architectures": ["MiniCPMForCausalLM"]},
    "phimoe": {
        "architectures": ["PhiMoEForCausalLM"], "original_max_position_embeddings": 1024,
    },
    "phimoe-short": {"architectures": ["PhiMoEForCausalLM"]},
}  # fmt: skip


# What the converter leaves out of a file, which then cannot give the same logits.
LEFT_OUT = {
    "deepseek-v3-halves": "that rotated pairs are halves",
    "glm": "the epsilon of its norms",
    "minicpm-long": "the original context",
    "mistral": "the window",
    "olmoe-clipped": "the clipping",
    "phimoe-short": "the factor of attention",
    "starcoder2-window": "the window",
}


def convert(root: str, folder: str, out: str) -> None:
    """Run the converter, in a process of its own."""
    sys.path[:0] = [root, f"{root}/gguf-py"]
    import conversion
    from conversion import base

    base.TextModel.get_vocab_base_pre = lambda *_: "gpt-2"
    for path in Path(root, "conversion").glob("*.py"):
        module = __import__(f"conversion.{path.stem}", fromlist=["*"])
        for kind in vars(module).values():
            if isinstance(kind, type) and "set_vocab" in vars(kind):
                kind.set_vocab = lambda self: self._set_vocab_gpt2()
    del conversion
    if Path(folder).name in PUBLISHED:
        base.AutoConfig = None  # so that it reads config.json, not what transformers makes of it
    sys.argv = ["convert_hf_to_gguf.py", folder, "--outfile", out, "--outtype", "f32"]
    runpy.run_path(f"{root}/convert_hf_to_gguf.py", run_name="__main__")


def write(name: str, folder: Path) -> None:
    """The checkpoint of a golden, with a tokenizer that the converter can read."""
    golden, spec = checkpoints.load_golden(name), checkpoints.spec(name)
    relative = [spec.relative] if spec.relative else []
    checkpoints.write(folder, golden.about["config"], golden.weights(spec), *relative)
    for file, change in (("config.json", config), ("tokenizer.json", tokenizer)):
        content = json.loads((folder / file).read_text("utf-8"))
        (folder / file).write_text(json.dumps(change(name, content)), "utf-8")
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    kind = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(kind | special), "utf-8")


def config(name: str, given: dict[str, Any]) -> dict[str, Any]:
    return given | PUBLISHED.get(name, {})


def tokenizer(_: str, given: dict[str, Any]) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added = [flags | token for token in given["added_tokens"]]
    absent = dict.fromkeys(("truncation", "padding", "post_processor"))
    return absent | given | {"added_tokens": added}


def check(root: str, name: str) -> str:
    """One line about one architecture."""
    with tempfile.TemporaryDirectory() as at:
        folder, out = Path(at) / name, Path(at) / "theirs.gguf"
        write(name, folder)
        command = [sys.executable, __file__, "--convert", root, str(folder), str(out)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if not out.exists():
            return f"not converted: {run.stderr.strip().splitlines()[-1][:160]}"
        golden = checkpoints.load_golden(name).logits
        found = load(out, ReferenceBackend()).whole(list(checkpoints.prompt(golden.shape[1])))
        distance = np.abs(found - golden).max() / np.abs(golden).max()
        if name in LEFT_OUT:
            return f"{distance:.1e}; the file lacks {LEFT_OUT[name]}"
        return f"{distance:.1e}{'' if distance < FAR else ' TOO FAR'}"


def main(root: str, *names: str) -> int:
    """Returns the exit code: 1 if a file that was made cannot be read, or gives other logits."""
    code = 0
    for name in names or checkpoints.goldens():
        if not checkpoints.spec(name).causal:
            continue
        try:
            result = check(root, name)
        except Exception as error:
            result = f"FAILED: {error}"[:400]
        code |= result.startswith("FAILED") or result.endswith("TOO FAR")
        print(f"{name}: {result}", flush=True)
    return code


if __name__ == "__main__":
    if sys.argv[1] == "--convert":
        convert(*sys.argv[2:])
    else:
        sys.exit(main(*sys.argv[1:]))
