"""Beam search: the few likeliest texts so far, each gone on with in the likeliest ways."""

import sys

import llmpy

model = llmpy.load(sys.argv[1])
first = model.session()
first.feed("Once upon a time")
beams = [(0.0, first)]
for _ in range(12):
    tried = [
        (score + logprob, session, token)
        for score, session in beams
        for token, logprob in next(session.steps()).top(4)
    ]
    beams = []
    for score, session, token in sorted(tried, key=lambda one: -one[0])[:4]:
        beams.append((score, session.fork()))
        beams[-1][1].feed([token])
for score, session in beams:
    print(f"{score:8.3f} {session.text!r}")
