"""Scores of texts for a query, by models with a classifier's head (rerankers, cross-encoders)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmpy import checks, quant
from llmpy.arch.classification import CLASSIFIER_TENSORS
from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.graph import PAIRS, is_encoder, states, table_of

if TYPE_CHECKING:
    from llmpy.format import ModelFile, TensorInfo
    from llmpy.graph import Graph
    from llmpy.session.described import Described
    from llmpy.session.embedding import Pooling

__all__ = ["Classifier", "Ranked", "has_pairs", "pair_table", "pairs_of", "ranked"]

Array = NDArray[np.float32]
TYPES = "token_types.weight"
TEMPLATE = "tokenizer.chat_template.rerank"  # llama.cpp's, with {query} and {document}
_EPS = 1e-5
_ACTIVATIONS = ("tanh", "gelu", "none")
_YES = ("yes", "relevant", "positive")


@dataclass(frozen=True, slots=True)
class Ranked:
    """A text ranked by `Model.rank`: its index in the list and its score (larger is better)."""

    index: int
    score: float


@dataclass(frozen=True)
class Classifier:
    """A classifier's head: pooled state -> matrix -> activation -> (norm) -> matrix -> scores."""

    tensors: dict[str, Array]
    pooling: Pooling
    activation: str
    labels: tuple[str, ...]

    def __call__(self, state: Array) -> Array:
        """The scores [n_labels] of a text whose pooled state is [n_embd], in float64 inside."""
        x = state.astype(np.float64)
        if "cls.weight" in self.tensors:
            x = self._linear("cls", x)
            if self.activation == "tanh":
                x = np.tanh(x)
            elif self.activation == "gelu":
                x = x * np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])
            if "cls.norm.weight" in self.tensors:
                x = (x - x.mean()) / np.sqrt(x.var() + _EPS) * self.tensors["cls.norm.weight"]
                x = x + self.tensors.get("cls.norm.bias", 0.0)
        if "cls.output.weight" in self.tensors:
            x = self._linear("cls.output", x)
        return np.asarray(x, np.float32)

    def score(self, state: Array, normalize: bool) -> float:
        """Return the score of a text: from 0 to 1 where `normalize`, else as the head gives it."""
        scores = self(state)
        if len(self.labels) == 2:  # yes and no
            yes = self._yes()
            scores = scores[yes : yes + 1] - scores[1 - yes : 2 - yes]
        score = float(scores[0])
        if not normalize:
            return score
        return 1 / (1 + math.exp(-score)) if score > -700 else 0.0

    def _linear(self, name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        y: NDArray[np.float64] = self.tensors[f"{name}.weight"].astype(np.float64) @ x
        return y + self.tensors.get(f"{name}.bias", 0.0)

    def _yes(self) -> int:
        return next(i for i, label in enumerate(self.labels) if label.lower() in _YES)

    def check(self, model: Described) -> None:
        """Refuse a head whose labels are no degrees of one thing."""
        n = len(self.labels)
        if n != 1 and not (n == 2 and any(label.lower() in _YES for label in self.labels)):
            raise UnsupportedModelError(
                model.path, "classifier.output_labels", "one label, or yes and no",
                f"{n}: {', '.join(self.labels)[:80]}",
            )  # fmt: skip

    @classmethod
    def of(cls, file: ModelFile, graph: Graph) -> Classifier | None:
        """Read the head that a model file has, or return None."""
        found = {name: file.tensors[name] for name in CLASSIFIER_TENSORS if name in file.tensors}
        if not found.keys() & {"cls.weight", "cls.output.weight"}:
            return None
        tensors, last = {}, states(graph)
        for name, info in found.items():
            matrix = name in ("cls.weight", "cls.output.weight")
            shape = info.shape if len(info.shape) == 1 + matrix else (1, *info.shape)
            if len(shape) != 1 + matrix:
                raise ModelFileError(file.path, f"tensor {name!r}", "a matrix", str(info.shape))
            tensors[name] = quant.dequantize(info.dtype, file.data(name), shape)
        key = f"{file.metadata['general.architecture']}.classifier"
        pooling: Any = file.metadata.get(f"{key}.pooling", "cls" if is_encoder(graph) else "last")
        activation: Any = file.metadata.get(f"{key}.activation", "tanh")
        for field, value, known in (
            ("pooling", pooling, ("cls", "mean", "last")), ("activation", activation, _ACTIVATIONS)
        ):  # fmt: skip
            if value not in known:
                expected = f"one of {', '.join(known)}"
                raise UnsupportedModelError(file.path, f"{key}.{field}", expected, repr(value)[:80])
        head: Any = cls(tensors, pooling, activation, ())
        try:
            with np.errstate(all="ignore"):
                n = len(head(np.zeros(last.nodes[last.output].shape, np.float32)))
        except ValueError as error:
            raise ModelFileError(
                file.path, "tensors cls.*", "shapes that fit", str(error)
            ) from None
        labels: Any = file.metadata.get(f"{key}.output_labels")
        named = isinstance(labels, list) and len(labels) == n
        return cls(tensors, pooling, activation, tuple(labels if named else map(str, range(n))))


def has_pairs(tensors: Mapping[str, TensorInfo], graph: Graph) -> bool:
    """Whether a model tells the tokens of a second text from those of the first."""
    types = tensors.get(TYPES)
    has_types = types is not None and len(types.shape) == 2 and types.shape[0] > 1
    return has_types and table_of(graph) is not None


def pair_table(file: ModelFile, graph: Graph) -> Array | None:
    """Return the table of token embeddings for pairs of texts [2 n, n_embd], or None.

    The upper half is for tokens of the second text: it holds what their type adds. None where the
    model has one type of tokens.
    """
    if not has_pairs(file.tensors, graph):
        return None
    types, info = file.tensors[TYPES], file.tensors[str(table_of(graph))]
    rows = quant.dequantize(info.dtype, file.data(info.name), info.shape)
    kinds = quant.dequantize(types.dtype, file.data(types.name), types.shape)
    return np.concatenate([rows, rows + (kinds[1] - kinds[0])])


def pairs_of(
    model: Described, query: str, texts: Iterable[str], paired: bool, truncate: bool
) -> list[list[int]]:
    """Return the ids of the query with each text, as the model was trained to read them.

    `paired`: tokens of the second text are counted from the number of tokens on (`pair_table`).
    """
    checks.text("query", query)
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise checks.wrong_type("texts", "a sequence of texts", texts)
    listed = [checks.text(f"texts: text {i}", text) for i, text in enumerate(texts)]
    return [_pair(model, query, text, paired, truncate) for text in listed]


def _pair(model: Described, query: str, text: str, paired: bool, truncate: bool) -> list[int]:
    tokenizer = model.tokenizer
    template = model.metadata.get(TEMPLATE)
    if isinstance(template, str):
        before, _, rest = template.partition("{query}")
        between, _, after = rest.partition("{document}")
        parts = [(before, True), (query, False), (between, True), (text, False), (after, True)]
        return tokenizer.encode_parts(parts, bos=None)
    encoder = is_encoder(model.graph)
    first = tokenizer.encode(query, bos=None, eos=None if encoder else False)
    second = tokenizer.encode(text, bos=False, eos=None, start=encoder)
    if encoder and _is_doubled(model) and tokenizer.eos is not None:
        first.append(tokenizer.eos)
    if truncate and len(first) + len(second) > _most(model):
        last = second[-1:] if tokenizer.add_eos else []
        second = second[: max(0, _most(model) - len(first) - len(last))] + last
    shift = model.graph.shapes[table_of(model.graph) or PAIRS][0] if paired else 0
    return first + [token + shift for token in second]


def _most(model: Described) -> int:
    limit = model.metadata.get(f"{model.metadata['general.architecture']}.max_sequence_length")
    return min(limit, model.n_ctx) if isinstance(limit, int) and limit > 0 else model.n_ctx


def _is_doubled(model: Described) -> bool:
    """Whether two separators stand between the texts, as RoBERTa and its descendants have it."""
    add_sep, eos = model.metadata.get("tokenizer.ggml.add_sep_token"), model.tokenizer.eos
    if isinstance(add_sep, bool):
        return add_sep
    return eos is not None and model.tokenizer.token(eos) == "</s>"


def ranked(scores: Sequence[float]) -> list[Ranked]:
    """The numbers of the texts with their scores, the best first."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    return [Ranked(i, scores[i]) for i in order]
