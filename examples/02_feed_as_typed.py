"""Read a prompt while it is being typed, go on from where it stopped, and take words back."""

import sys

import llmpy

model = llmpy.load(sys.argv[1])
session = model.session(seed=1)

for line in ("Tim had a red ball.", " He liked to play", " with it in the"):
    session.feed(line)  # the model reads this now, while the next line is being typed

before = len(session)
for piece in session.stream(max_tokens=12):
    print(piece.text, end="", flush=True)

session.rewind(before)  # unsaid: the tokens and the memory of them are gone
session.feed(" garden. His dog")
for piece in session.stream(" said", max_tokens=12, stop=["."]):
    if piece.kind != "prompt":
        print(piece.text, end="", flush=True)
print("\n\nAll that was said:", session.text)
