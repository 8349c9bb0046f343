"""Autocompletion: what is left of the cursor in, the rest of the sentence out, as it comes.

python 13_autocomplete.py MODEL "The cat sat on"    bound to a key, with the clipboard as the text
"""

import sys

import llmpy

model = llmpy.load(sys.argv[1])
text = sys.argv[2] if len(sys.argv) > 2 else "One day, a little girl named Lily went to"

session = model.session(temperature=0.3)
for piece in session.stream(text.rstrip(), max_tokens=40, stop=[".", "\n"]):
    if piece.kind != "prompt":
        print(piece.text, end="", flush=True)
print()
