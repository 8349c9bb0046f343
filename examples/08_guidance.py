"""Classifier-free guidance (Sanchez et al. 2023): more of what a prompt adds to the text."""

import sys

import llmpy

model = llmpy.load(sys.argv[1])
with_prompt, without = model.session(sampler="greedy"), model.session()
pairs = zip(
    with_prompt.steps("Tim was sad. Tim cried. Once upon a time", max_tokens=40),
    without.steps("Once upon a time"),
    strict=False,
)
for guided, plain in pairs:
    guided.logits[:] = plain.logits + 1.5 * (guided.logits - plain.logits)
    plain.choose(guided.sample())
print(with_prompt.text)
