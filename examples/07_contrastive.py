"""Contrastive decoding (Li et al. 2022): what a model knows beyond one that sees little."""

import sys

import numpy as np

import llmpy

expert = llmpy.load(sys.argv[1])
amateur = llmpy.load(sys.argv[2]) if len(sys.argv) > 2 else expert  # or itself, without its context
session, other = expert.session(sampler="greedy"), amateur.session()
for step in session.steps("Once upon a time, there was a", max_tokens=40):
    other.rewind(0)
    other.feed(session.tokens if amateur is not expert else session.tokens[-2:])
    plausible = step.logits >= step.logits.max() + np.log(0.1)
    step.logits -= 0.5 * next(other.steps()).logits
    step.logits[~plausible] = -np.inf
    step.sample()
print(session.text)
