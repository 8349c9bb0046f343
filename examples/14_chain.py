"""A chain: three beginnings, each continued by the model in one batch, then one text of them."""

import sys

from llmpy import chains


def join(parts: list[str]) -> str:
    """One text of several."""
    return " ".join(part.strip() for part in parts)


story = chains.Complete("Once upon a time, there was {{text}}", max_tokens=25)
chain = (
    chains.Map(story, over="heroes")
    | chains.Call(join)
    | chains.Complete("{{text}} In the end", max_tokens=25)
)
print(chain)
with chains.Runner(sys.argv[1]) as runner:
    for event in runner.stream(chain, heroes=["a cat", "a bird", "a ball"]):
        if event.kind == "value":
            print(f"{event.path}: {event.value}")
