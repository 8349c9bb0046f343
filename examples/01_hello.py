"""Load, session, infer: print a story as it comes, up to the end of its first sentence."""

import sys

import llmpy

model = llmpy.load(sys.argv[1])
session = model.session(sampler=llmpy.chain(llmpy.top_k(8), llmpy.temperature(0.7)), seed=7)


def show(piece):
    """Print a piece; stop after a full stop."""
    print(piece.text, end="", flush=True)
    return llmpy.STOP if piece.text.endswith(".") else None


stats = session.infer("Once upon a time, a crab met a llama", show)
print(f"\n{stats}")
