"""Makes the scores that transformers gives for the rerankers of tests/session/rerankers.py.

Run by hand, in an environment of its own; the tests need only what it writes:

    python -m venv goldens
    goldens/bin/python -m pip install torch==2.13.0 transformers==5.24.0 numpy
    PYTHONPATH=src:. goldens/bin/python tools/make_rank_goldens.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.session import rerankers

__all__ = ["main"]


def main() -> None:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, given in rerankers.CONFIGS.items():
            found |= {f"{name}.{k}": v for k, v in golden(name, given, Path(folder) / name).items()}
    np.savez_compressed(rerankers.GOLDEN, **found)


def golden(name: str, given: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The configuration, shapes of tensors, ids of each pair, and scores of one model."""
    from transformers import (
        AutoConfig,
        AutoModelForSequenceClassification,
        PreTrainedTokenizerFast,
    )

    config = AutoConfig.for_model(**given)
    made: Any = AutoModelForSequenceClassification.from_config(config)
    config.architectures = [type(made).__name__]
    shapes = {k: list(v.shape) for k, v in made.state_dict().items() if v.is_floating_point()}
    rerankers.write(folder, name, config.to_dict(), shapes)
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), **rerankers.tokenizer(name)[1]
    )
    result: dict[str, Any] = {"about": json.dumps({"config": config.to_dict(), "shapes": shapes})}
    scores = []
    for i, text in enumerate(rerankers.TEXTS):
        pair = tokenizer(rerankers.QUERY, text, return_tensors="pt", return_token_type_ids=True)
        types = {} if name != "bert" else {"token_type_ids": pair["token_type_ids"]}
        output = model(input_ids=pair["input_ids"], attention_mask=pair["attention_mask"], **types)
        scores.append(output.logits.detach().numpy()[0])
        result[f"ids.{i}"] = pair["input_ids"].numpy()[0]
        result[f"types.{i}"] = pair["token_type_ids"].numpy()[0] if types else np.zeros(0, np.int64)
    print(name, np.array(scores).ravel())
    return result | {"scores": np.array(scores, np.float32)}


if __name__ == "__main__":
    main()
