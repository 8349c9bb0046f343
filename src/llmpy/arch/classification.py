"""Classifier heads of checkpoints: the matrices that make scores of a text of the states of tokens.

GGUF calls them "cls" (a matrix before), "cls.norm" and "cls.output". They are no part of the graph:
`Model.rank` applies them to the pooled state of a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmpy.errors import UnsupportedModelError

__all__ = ["CLASSIFIER_TENSORS", "RANK", "classifier_metadata", "classifier_names", "is_classifier"]

CLASSIFIER_TENSORS = (
    "cls.weight", "cls.bias", "cls.norm.weight", "cls.norm.bias", "cls.output.weight",
    "cls.output.bias",
)  # fmt: skip
RANK = 4  # the pooling_type of such a model, in GGUF
_BERT = {"bert.pooler.dense": "cls", "pooler.dense": "cls", "classifier": "cls.output"}
_ROBERTA = {"classifier.dense": "cls", "classifier.out_proj": "cls.output"}
_NAMES = {
    "bert": _BERT,
    "camembert": _ROBERTA,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "modernbert": {"head.dense": "cls", "head.norm": "cls.norm", "classifier": "cls.output"},
}
_DECODER = {"score": "cls.output"}


def is_classifier(config: Mapping[str, Any]) -> bool:
    """Whether a configuration is that of a model that classifies texts."""
    names = config.get("architectures")
    ends = [str(name) for name in names] if isinstance(names, Sequence) else []
    return any(name.endswith("ForSequenceClassification") for name in ends)


def classifier_names(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the tensors of a classifier's head, and what GGUF calls them."""
    return _NAMES.get(str(config.get("model_type")), _DECODER)


def classifier_metadata(config: Mapping[str, Any], *, encoder: bool) -> dict[str, Any]:
    """Return the metadata of a classifier's head, without the architecture's name before it."""
    kind = config.get("model_type")
    if encoder and kind not in _NAMES:
        raise UnsupportedModelError(
            None, "config.json 'architectures'", f"a classifier of {', '.join(_NAMES)}", repr(kind)
        )
    pooling, activation = "cls" if encoder else "last", "tanh"
    if kind == "modernbert":
        pooling = config.get("classifier_pooling", "cls")
        activation = config.get("classifier_activation", "gelu")
    labels = config.get("id2label")
    labels = [str(label) for label in labels.values()] if isinstance(labels, Mapping) else None
    return {
        "pooling_type": RANK,
        "classifier.pooling": pooling,
        "classifier.activation": activation,
        "classifier.output_labels": labels,
    }
