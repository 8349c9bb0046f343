"""Requirements on a model file that is to be run, beyond those of its architecture."""

from __future__ import annotations

from llmpy import quant
from llmpy.arch.base import build
from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.format import ModelFile, TensorInfo
from llmpy.graph import Graph, n_embedded
from llmpy.tokenizer import build_tokenizer

__all__ = ["check_model", "check_types", "shapes_of"]


def check_model(file: ModelFile) -> None:
    """Raise what `load` would raise about this file, without reading tensors."""
    graph = build(file, shapes_of(file))[1]
    check_types(file, graph)
    build_tokenizer(file.metadata, file.path, n_embedded(graph))


def shapes_of(file: ModelFile) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors; refuse files that are no text model, or have no tensors."""
    _check_kind(file)
    if not file.tensors:
        raise ModelFileError(
            file.path, "tensors", "the weights of a model", "none: this is only a vocabulary"
        )
    return {name: info.shape for name, info in file.tensors.items()}


def _check_kind(file: ModelFile) -> None:
    """Say what a file is that belongs to a model and is none."""
    kind, architecture = (str(file.metadata.get(f"general.{k}")) for k in ("type", "architecture"))
    senses = [name for name in file.tensors if name.startswith(("v.", "a.", "mm."))]
    found = ""
    if kind == "adapter":
        found = "an adapter, which changes another model"
    elif kind == "mmproj" or architecture == "clip":
        found = "a projector (mmproj), which lets another model see or hear"
    elif kind == "imatrix" or architecture == "imatrix":
        found = "an importance matrix, for `llmpy quantize --imatrix`"
    if found:
        raise UnsupportedModelError(
            file.path, "file", "a model", found, hint="Give the file of the model itself."
        )
    if senses:
        raise UnsupportedModelError(
            file.path, "tensors", "those of a model of text",
            f"{len(senses)} of a part that sees or hears too, such as {senses[0]!r}",
            hint="Get a file of the text model alone, or convert the checkpoint (llmpy convert).",
        )  # fmt: skip


def check_types(file: ModelFile, graph: Graph) -> None:
    """Refuse a graph that reads tensors of types without a reader."""
    for name in graph.used:
        _check_type(file, file.tensors[name])


def _check_type(file: ModelFile, info: TensorInfo) -> None:
    field = f"tensor '{info.name}' type"
    if info.dtype.is_integer:
        raise ModelFileError(file.path, field, "a type for weights", str(info.dtype))
    if info.dtype.name not in quant.readable:
        known = ", ".join(sorted(quant.readable))
        raise UnsupportedModelError(file.path, field, f"one of {known}", str(info.dtype))
