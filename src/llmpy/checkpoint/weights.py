"""Finding the weights in a checkpoint's folder, or naming what a folder without weights is."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.format.cursor import quoted
from llmpy.format.safetensors import INDEX, SINGLE, Safetensors, Stored, read_index

__all__ = ["FLOATS", "find_weights", "foreign", "refuse_quantized"]

FLOATS = ("F32", "F16", "BF16", "F64")
READ = ("mxfp4",)  # blocks that a recipe reads as they are
METHODS = {"gptq": "GPTQ", "awq": "AWQ", "fp8": "FP8", "fbgemm_fp8": "FP8"}
PARTS = {  # ends of the names of what stands beside quantized weights
    ".qweight": "GPTQ or AWQ",
    ".g_idx": "GPTQ",
    ".absmax": "bitsandbytes",
    ".quant_map": "bitsandbytes",
    ".SCB": "bitsandbytes",
    ".weight_scale_inv": "FP8",
}
ORIGINAL = "Get the checkpoint that it was made from, or a GGUF file of that."


def find_weights(folder: Path) -> Path:
    """The file of the weights, or their index: of both the file, as transformers has it."""
    single, index = folder / SINGLE, folder / INDEX
    if single.is_file():
        if index.is_file():
            _warn_of_index(index)
        return single
    if index.is_file():
        return index
    found = sorted(p.name for p in folder.iterdir())
    alone = [n for n in found if n.endswith(".safetensors") and not n.startswith("adapter_")]
    if len(alone) == 1:
        return folder / alone[0]
    old = [name for name in found if name.endswith((".bin", ".pt", ".pth"))]
    what, hint = foreign(folder) if not alone else ("", None)
    raise ModelFileError(
        folder, "weights", f"{SINGLE} or {INDEX}", what or ", ".join(alone or old) or "neither",
        hint=hint or ("Save the model again as safetensors." if old else None),
    )  # fmt: skip


def _warn_of_index(index: Path) -> None:
    """Say so where the index that is not read speaks of other files."""
    try:
        others = sorted(set(read_index(index).values()) - {SINGLE})
    except ModelFileError:
        others = ["nothing that can be read"]
    if others:
        named = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        warnings.warn(
            f"{index}: it names {named}, and {SINGLE} lies beside it: that is read, and the index "
            f"is not. Remove the one that is left over.", RuntimeWarning, stacklevel=2,
        )  # fmt: skip


def foreign(folder: Path) -> tuple[str, str | None]:
    """Return what a folder without a checkpoint is, and what to do; empty texts if unknown."""
    names = sorted(p.name for p in folder.iterdir())
    files = [n for n in names if n.endswith(".gguf")]
    if "adapter_config.json" in names:
        return "a PEFT adapter, which changes another model and is none", (
            "Merge it into its base model (merge_and_unload of PEFT) and save that, or give the "
            "base model."
        )
    if files:
        first = next((n for n in files if "mmproj" not in n), files[0])
        return ", ".join(files[:4]), f"Give the file itself: {folder / first}"
    if "params.json" in names:
        return "params.json, of a checkpoint in its maker's own form", (
            "Get the one for transformers, with config.json."
        )
    return "", None


def refuse_quantized(files: Safetensors, config: Mapping[str, Any]) -> None:
    """Name the method where weights are stored as something else than floating-point numbers."""
    odd = next((t for t in files.tensors.values() if t.dtype not in FLOATS), None)
    method = _method(files, config, odd) if odd else ""
    if odd and method:
        raise UnsupportedModelError(
            files.path(odd.name), f"tensor {quoted(odd.name)}", "weights of F32, F16 or BF16",
            f"{odd.dtype}, quantized by {method}", hint=ORIGINAL,
        )  # fmt: skip


def _method(files: Safetensors, config: Mapping[str, Any], odd: Stored) -> str:
    """Return the quantization method, from config.json or the names beside the weights."""
    quantization = config.get("quantization_config")
    quantization = quantization if isinstance(quantization, dict) else {}
    method = quantization.get("quant_method")
    if method in READ:
        return ""
    if isinstance(config.get("quantization"), dict) and not method:
        return "MLX"
    if isinstance(method, str):
        return METHODS.get(method, method[:40])
    if any(key.startswith(("load_in_", "bnb_")) for key in quantization):
        return "bitsandbytes"
    ends = (end for name in files.tensors for end in PARTS if name.endswith(end))
    beside = next(ends, "")
    fp8 = next((t for t in files.tensors.values() if t.dtype.startswith("F8_")), None)
    packed = odd.dtype == "U32" and f"{odd.name.removesuffix('.weight')}.scales" in files.tensors
    return PARTS.get(beside, "") or ("FP8" if fp8 else "MLX" if packed else "")
