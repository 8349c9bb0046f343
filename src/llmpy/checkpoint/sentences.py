"""Reading the configuration of sentence-transformers: pooling, and the longest text.

modules.json names the modules that a text goes through: the model, then pooling, then perhaps a
normalization to length 1, which is the default of `Model.embed`. Others are refused.
"""

from __future__ import annotations

from typing import Any

from llmpy.checkpoint.folder import Folder
from llmpy.errors import UnsupportedModelError
from llmpy.format.cursor import quoted

__all__ = ["text_vectors"]

MODULES = "modules.json"
TRANSFORMER = "sentence_bert_config.json"
POOLING = {"mean": 1, "cls": 2, "lasttoken": 3}  # in GGUF's numbers
POOLING_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}


def text_vectors(folder: Folder, architecture: str) -> dict[str, int]:
    """Return the metadata of pooling and of the longest text, as far as the folder says them.

    Raises UnsupportedModelError for modules, poolings and texts that llmpy does not have.
    """
    modules = _modules(folder)
    where = modules.get("Pooling", "1_Pooling" if not modules else None)
    found: dict[str, int] = {}
    if where is not None and (settings := folder.json(f"{where}/config.json")) is not None:
        found[f"{architecture}.pooling_type"] = _pooling(folder, f"{where}/config.json", settings)
    if not modules and folder.json("2_Dense/config.json") is not None:
        raise UnsupportedModelError(
            folder.path, "modules", "pooling at the end", "'2_Dense', a matrix after it"
        )
    longest = _longest(folder, bool(modules))
    return found if longest is None else found | {f"{architecture}.max_sequence_length": longest}


def _modules(folder: Folder) -> dict[str, str]:
    """Folders of the modules by the last part of their types."""
    found = {}
    for module in folder.list(MODULES) or []:
        kind, path = (module.get(k) if isinstance(module, dict) else None for k in ("type", "path"))
        if not isinstance(kind, str) or not isinstance(path, str):
            raise folder.error(MODULES, "module", "its type and path", quoted(module))
        name = kind.rpartition(".")[2]
        if name not in ("Transformer", "Pooling", "Normalize"):
            raise UnsupportedModelError(
                folder.path / MODULES, "module", "Transformer, Pooling and Normalize", quoted(kind)
            )
        found[name] = path
    return found


def _pooling(folder: Folder, name: str, settings: dict[str, Any]) -> int:
    """Return the pooling that makes a vector of the states of tokens."""
    modes = [mode for flag, mode in POOLING_FLAGS.items() if settings.get(flag)]
    mode = settings.get("pooling_mode", modes or "mean")
    modes = [mode] if isinstance(mode, str) else mode
    if not isinstance(modes, list) or len(modes) != 1 or modes[0] not in POOLING:
        raise UnsupportedModelError(
            folder.path / name, "pooling mode", f"one of {', '.join(POOLING)}", quoted(mode)
        )
    return POOLING[modes[0]]


def _longest(folder: Folder, modules: bool) -> int | None:
    """Return how many tokens of a text are read: the stated number, else that of the tokenizer."""
    settings = folder.json(TRANSFORMER) or {}
    if settings.get("do_lower_case") and not _lowers(folder):
        raise UnsupportedModelError(
            folder.path / TRANSFORMER, "do_lower_case", "a tokenizer that does so", "true",
            hint="Lowercase the texts, and say false there",
        )  # fmt: skip
    longest = settings.get("max_seq_length")
    if longest is None and modules:
        longest = (folder.json("tokenizer_config.json") or {}).get("model_max_length")
        if isinstance(longest, float) or (isinstance(longest, int) and longest >= 1 << 31):
            return None  # as transformers writes that there is no limit
    if longest is None:
        return None
    if type(longest) is not int or not 0 < longest < 1 << 31:
        raise folder.error(
            TRANSFORMER, "max_seq_length", "a positive number of tokens", str(longest)
        )
    return longest


def _lowers(folder: Folder) -> bool:
    """Whether the tokenizer makes letters small."""
    normalizer = (folder.json("tokenizer.json") or {}).get("normalizer") or {}
    parts = normalizer.get("normalizers") or [normalizer]
    return any(part.get("lowercase") or part.get("type") == "Lowercase" for part in parts)
