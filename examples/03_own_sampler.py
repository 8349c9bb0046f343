"""A sampler is any function of logits and session; it can stand anywhere in a chain."""

import sys

import numpy as np

import llmpy

model = llmpy.load(sys.argv[1])
tokenizer = model.tokenizer
with_e = [i for i in range(model.n_vocab) if b"e" in tokenizer.piece(i)]


def avoid_the_letter_e(logits, _session):
    """The logits [n_vocab] with every token that holds an "e" removed."""
    logits = logits.copy()
    logits[with_e] = -np.inf
    return logits


sampler = llmpy.chain(avoid_the_letter_e, llmpy.top_p(0.9), llmpy.temperature(0.8))
session = model.session(sampler=sampler, seed=3)
session.infer("A cat sat on", lambda piece: print(piece.text, end="", flush=True), max_tokens=40)
print()
