"""Texts as vectors: which of several is nearest to a question. Encoders are made for this."""

import sys

import llmpy

model = llmpy.load(sys.argv[1])

texts = [
    "The cat sat on the mat and slept.",
    "Lily went to the park to play with her ball.",
    "It rained all day, so they stayed at home.",
]
question = "Where did the girl play?"

vectors = model.embed(texts)  # one row of length 1 for each text
nearness = vectors @ model.embed(question)[0]

for score, text in sorted(zip(nearness, texts, strict=True), reverse=True):
    print(f"{score:.3f}  {text}")
