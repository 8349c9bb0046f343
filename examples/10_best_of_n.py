"""Best of n: several answers in one batch, and the one that the model itself finds likeliest."""

import sys

import llmpy

model = llmpy.load(sys.argv[1])
prompt = "One day, a little girl"
answers = model.generate([prompt] * 8, max_tokens=20, temperature=1.0, seed=0)
best = max(answers, key=lambda answer: model.score(answer.text, after=prompt).mean)
print(prompt + best.text)
