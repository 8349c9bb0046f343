"""The tokenizer: byte-level BPE over letters; figures and signs are tokens of their own.

The pre-tokenizer is that of SmolLM (single digits, then GPT-2's words), which GGUF names.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from generate import pairs
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIALS = ("<pad>", "<s>", "</s>", "<sep>")
LETTERS = re.compile(r" ?[^\W\d_X]+|[^\x00-\x7f\w]")  # X means an unspecified figure: never merged
SIZE = 1024


def make_tokenizer(path: Path, seed: int = 17, count: int = 200_000) -> None:
    """Train merges on texts of the training and write tokenizer.json."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=list(SPECIALS),
        show_progress=False,
        min_frequency=20,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    words = (
        word
        for _, sample in itertools.islice(pairs("train", seed), count)
        for text in (sample.text, sample.output)
        for word in LETTERS.findall(text)
    )
    tokenizer.train_from_iterator(words, trainer)
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIALS])
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
