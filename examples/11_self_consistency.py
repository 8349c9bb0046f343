"""Self-consistency (Wang et al. 2022): ask several times, and take the most frequent answer."""

import sys
from collections import Counter

import llmpy

model = llmpy.load(sys.argv[1])
prompt = "Lily has a red ball. Tom has a blue ball. The color of the ball of Lily is"
answers = model.generate([prompt] * 10, max_tokens=5, sampler="top-k:k=5/temperature:0.8", seed=1)
words = [answer.text.split()[0].strip(".,!") for answer in answers if answer.text.split()]
for word, n in Counter(words).most_common(3):
    print(f"{n} of {len(answers)}: {word}")
