"""How sure the model was: the probability of each token, and what it nearly said instead."""

import math
import sys

import llmpy

model = llmpy.load(sys.argv[1])
session = model.session(sampler=llmpy.greedy())


def shown(token):
    """A token as text in quotes."""
    return repr(model.tokenizer.piece(token).decode("utf-8", "replace"))


for piece in session.stream("Once upon a time", max_tokens=10, logprobs=3):
    if piece.logprobs:
        others = [f"{shown(i)} {math.exp(p):.1%}" for i, p in piece.logprobs.top]
        chosen = math.exp(piece.logprobs.chosen)
        print(f"{shown(piece.token):>10} {chosen:6.1%}   of {', '.join(others)}")
