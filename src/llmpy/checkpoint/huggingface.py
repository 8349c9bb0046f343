"""Hugging Face checkpoints: a folder with config.json and safetensors -> the neutral form.

What names and numbers mean is said by the architectures (`Checkpoint`), and the vocabulary by the
tokenizer's room; here they meet the files. Tensors are read, and changed, when they are used.
"""

from __future__ import annotations

import difflib
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.arch.checkpoint import Checkpoint, Followed, Tensor
from llmpy.checkpoint.config import Config, absent_keys
from llmpy.checkpoint.folder import Folder
from llmpy.checkpoint.recommended import CHECKPOINT_KEYS, GGUF_KEYS, recommended
from llmpy.checkpoint.rename import FAILURES, Planned, decode, plan
from llmpy.checkpoint.sentences import text_vectors
from llmpy.checkpoint.weights import find_weights, foreign, refuse_quantized
from llmpy.dtypes import BY_NAME
from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.format.container import ModelFile, TensorInfo
from llmpy.format.cursor import quoted
from llmpy.format.safetensors import Safetensors, open_safetensors

__all__ = ["CheckpointFile", "open_checkpoint"]

OTHER_SENSES = (  # parts of multimodal models whose names stand beside those of the text
    "visual.", "vision_tower.", "vision_model.", "multi_modal_projector.", "audio_tower.",
)  # fmt: skip
MAX_COUNT = 1 << 22  # of layers, heads, values and tokens
LARGE = re.compile("theta|base|max|length|context")  # keys of other numbers


Vocabulary = Callable[[Folder, Config], Mapping[str, Any]]


class CheckpointFile(ModelFile):
    """A checkpoint as a model file; the bytes of changed tensors are made anew at each `data`.

    `config_keys` gives the names in config.json of a metadata key that is missing.
    """

    def __init__(
        self,
        path: Path,
        files: Safetensors,
        metadata: Mapping[str, Any],
        planned: list[Planned],
        config_keys: Callable[[str], list[str]],
    ) -> None:
        tensors = {}
        for p in planned:
            rows = p.shape[:-1]
            size = p.dtype.row_bytes(p.shape[-1])
            for n in rows:
                size *= n
            tensors[p.name] = TensorInfo(p.name, p.dtype, p.shape, 0, size)
        super().__init__(
            files.files, "Hugging Face checkpoint", metadata, tensors, kinds={}, offsets={}
        )
        self.path = path
        self.config_keys = config_keys
        self._checkpoint = files
        self._planned = {p.name: p for p in planned}

    def data(self, name: str) -> NDArray[np.uint8]:
        """The bytes of tensor `name`: a view where it is stored so, else a new array."""
        pieces = list(self.pieces(name))
        whole = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        whole.flags.writeable = False
        return whole

    def pieces(self, name: str) -> Iterator[NDArray[np.uint8]]:
        """The bytes of tensor `name` in order, one array for each expert."""
        size, info = 0, self.tensors[name]
        for piece in self._planned[name].pieces(self._checkpoint):
            size += piece.size
            yield piece
        if size != info.size:
            raise ModelFileError(self.path, f"tensor {name!r}", f"{info.size} bytes", str(size))

    def release(self, name: str) -> None:
        """Tell the system that the pages of this tensor's sources are not needed for now."""
        for stored in {s.name for part in self._planned[name].sources for s in part}:
            self._checkpoint.release(stored)


def open_checkpoint(
    path: Path, recipes: Mapping[str, Checkpoint], vocabulary: Vocabulary
) -> CheckpointFile:
    """Open the checkpoint in the folder `path`.

    `recipes` are known by the model_type of config.json, or by its architectures; `vocabulary`
    gives the tokenizer's metadata. Raises ModelFileError for damaged files and
    UnsupportedModelError, with the nearest names, for a model_type without a recipe.
    """
    folder = Folder(path)
    config = folder.json("config.json")
    if config is None:
        found, hint = foreign(path)
        raise ModelFileError(
            path, "folder", "config.json in it", found or "no such file", hint=hint
        )
    recipe, config, nested = _choose(folder, config, recipes)
    _check_counts(folder, config)
    followed, extra = _follow(folder, recipe, config)
    files = open_safetensors(find_weights(path))
    try:
        refuse_quantized(files, config)
        names = _names(files, nested)
        for remark in followed.compare(names.values()):
            message = f"{folder.path / 'config.json'}: {remark}"
            warnings.warn(message, RuntimeWarning, stacklevel=3)
        rules = followed.tensors
        planned = _with_embedding(folder, config, names, rules, plan(files, names, rules))
        metadata = {**followed.metadata, **_numbers(files, path, names, recipe.numbers or {})}
        planned += [Planned(name, BY_NAME["F32"], a.shape, given=a) for name, a in extra.items()]
        architecture = str(metadata.get("general.architecture") or recipe.name)
        metadata = {
            "general.architecture": architecture,
            "general.type": "model",
            "general.name": path.resolve().name,
            **_full(architecture, metadata),
            **_sampling(folder),
            **text_vectors(folder, architecture),
            **vocabulary(folder, config),
        }
        keys = partial(absent_keys, lambda c: recipe.follow(c).metadata, config, f"{architecture}.")
        return CheckpointFile(path, files, metadata, planned, keys)
    except BaseException:
        files.close()
        raise


def _follow(
    folder: Folder, recipe: Checkpoint, config: Config
) -> tuple[Followed, dict[str, NDArray[Any]]]:
    """Apply a recipe to a configuration; return the result, with its extra tensors as numbers."""
    try:
        with np.errstate(all="ignore"):  # numbers that are none are refused below, and by readers
            followed = recipe.follow(config)
            extra = {n: np.array(value, np.float32) for n, value in followed.extra.items()}
        if not all(a.ndim and a.size and np.isfinite(a).all() for a in extra.values()):
            raise ValueError(f"no numbers for {', '.join(extra)}")
    except KeyError as error:
        raise folder.error(
            "config.json", str(error.args[0])[:80], "this key", "a file without it"
        ) from None
    except ModelFileError:
        raise
    except FAILURES as error:
        raise folder.error("config.json", "values", "those of the model_type", str(error)) from None
    return followed, extra


def _choose(
    folder: Folder, config: dict[str, Any], recipes: Mapping[str, Checkpoint]
) -> tuple[Checkpoint, dict[str, Any], bool]:
    """The recipe, its config, and whether that is the text part of a multimodal one."""
    kind, text = config.get("model_type"), config.get("text_config")
    if isinstance(text, dict) and (inner := text.get("model_type")) in recipes:
        outer = {k: v for k, v in config.items() if k != "text_config"}
        recipe = recipes[str(inner)]
        return recipe, outer | recipe.filled(text), True
    for name in (*_architectures(config), kind):  # several architectures may share a model_type
        if isinstance(name, str) and name in recipes:
            return recipes[name], recipes[name].filled(config), False
    if f"{kind}_text" in recipes:  # all in one object, as before a part for the text was split off
        recipe = recipes[f"{kind}_text"]
        return recipe, recipe.filled(config), True
    near = difflib.get_close_matches(str(kind), recipes, n=3, cutoff=0.5)
    nearest = f"the nearest: {', '.join(near)}; " if near else ""
    raise UnsupportedModelError(
        folder.path / "config.json", "model_type", "one that llmpy knows", quoted(kind),
        hint=f"{nearest}all: {', '.join(recipes)}",
    )  # fmt: skip


def _check_counts(folder: Folder, config: Config) -> None:
    """Refuse counts that no model has, before a recipe makes arrays of such a length."""
    for key, value in config.items():
        if isinstance(value, int) and value > MAX_COUNT and not LARGE.search(key):
            raise folder.error("config.json", key, f"at most {MAX_COUNT}", str(value)[:40])


def _architectures(config: Mapping[str, Any]) -> list[Any]:
    """The classes of the original implementation."""
    names = config.get("architectures")
    return names if isinstance(names, list) else []


def _names(files: Safetensors, nested: bool) -> dict[str, str]:
    """Return the rules' name of each stored name; of a multimodal model, of its text part only.

    Models of vectors are often saved without the head, and their names without "model.".
    """
    if not nested:
        top = "model." if "embed_tokens.weight" in files.tensors else ""
        return {n: n if n.startswith("lm_head.") else top + n for n in files.tensors}
    inside = [name for name in files.tensors if "language_model." in name]
    if not inside:
        plain = [n for n in files.tensors if not n.removeprefix("model.").startswith(OTHER_SENSES)]
        return {name: name for name in plain}
    names = {name: name.replace("language_model.", "", 1) for name in inside}
    return names | {n: n for n in files.tensors if n.startswith("lm_head.")}


def _with_embedding(
    folder: Folder,
    config: Config,
    names: Mapping[str, str],
    rules: Sequence[Tensor],
    planned: list[Planned],
) -> list[Planned]:
    """The tensors, with the output's as the embedding where both are tied and only that is stored.

    Warns where a head of its own is meant to be, and is not.
    """
    found, tied = {p.name for p in planned}, config.get("tie_word_embeddings")
    rows, head = "token_embd.weight", "output.weight"
    targets = {rule.target for rule in rules}
    if tied is not False and head in found and rows not in found and "token_embd" in targets:
        return [replace(p, name=rows) if p.name == head else p for p in planned]
    whole = any(stored.startswith("model.") or "language_model." in stored for stored in names)
    headless = rows in found and not found & {head, "cls.output.weight"}
    if tied is False and whole and "output" in targets and headless:
        warnings.warn(
            f"{folder.path}: lm_head.weight is missing, though config.json says that "
            f"tie_word_embeddings is false: the embedding takes its place",
            RuntimeWarning, stacklevel=3,
        )  # fmt: skip
    return planned


def _numbers(
    files: Safetensors, path: Path, names: Mapping[str, str], wanted: Mapping[str, str]
) -> dict[str, list[float]]:
    """Metadata that a checkpoint has as tensors of one number, in the order of the blocks."""
    stored, found = {meaning: name for name, meaning in names.items()}, {}
    for key, pattern in wanted.items():
        values: list[float] = []
        while (name := pattern.replace("{i}", str(len(values)))) in stored:
            tensor = files.tensors[stored[name]]
            one = tensor.dtype in ("BF16", "F16", "F32", "F64") and math.prod(tensor.shape) == 1
            value = float(decode(tensor, files.data(tensor.name))[0]) if one else math.nan
            if not math.isfinite(value):
                shown = f"{value} ({tensor.dtype} {tensor.shape})"
                raise ModelFileError(path, f"tensor {name!r}", "one finite number", shown)
            values.append(value)
        found[key] = values
    return found


def _full(architecture: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata under full keys; fractions are rounded to float32, as they are in a file."""
    whole = ("general.", "tokenizer.", "xielu.")
    with np.errstate(over="ignore"):
        return {
            key if key.startswith(whole) else f"{architecture}.{key}": float(np.float32(value))
            if isinstance(value, float)
            else value
            for key, value in metadata.items()
            if value is not None
        }


def _sampling(folder: Folder) -> dict[str, Any]:
    """Return the sampling parameters that generation_config.json recommends."""
    name = "generation_config.json"
    generation = folder.json(name) or {}
    if generation.get("do_sample") is False:
        return {}
    found = recommended(folder.path / name, generation, CHECKPOINT_KEYS)
    return {key: found[name] for key, name in GGUF_KEYS.items() if name in found}
