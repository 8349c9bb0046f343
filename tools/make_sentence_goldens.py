"""Makes the vectors that sentence-transformers gives for the texts of tests/session/sentences.py.

Run by hand, in an environment of its own; the tests need only what it writes:

    python -m venv goldens
    goldens/bin/python -m pip install torch==2.13.0 sentence-transformers==6.2.0 numpy
    PYTHONPATH=. goldens/bin/python tools/make_sentence_goldens.py

The model is all-MiniLM-L6-v2 (tools/fetch_models.py minilm), in float32.
"""

from __future__ import annotations

import numpy as np
from sentence_transformers import SentenceTransformer

from tests.session.sentences import GOLDEN, TEXTS
from tools.fetch_models import path_of


def main() -> None:
    model = SentenceTransformer(str(path_of("minilm")), device="cpu")
    vectors = model.encode(TEXTS, batch_size=1)
    lengths = [len(ids) for ids in model.tokenizer(TEXTS)["input_ids"]]
    np.savez_compressed(GOLDEN, vectors=vectors, lengths=lengths)
    print(f"{GOLDEN}: {vectors.shape}, texts of {lengths} tokens, read {model.max_seq_length}")


if __name__ == "__main__":
    main()
