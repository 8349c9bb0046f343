"""Tokens per second with a constraint, over those without, on one model in turns.

python bench/constrained.py MODEL [--tokens 64] [--rounds 7]

`MODEL` may have random weights (tools/random_gguf.py llama-1b): what comes is then noise that
matches. "text" forces nothing, so that it shows what masks cost alone; "names" and "record" are
JSON, in which many tokens leave no choice, and are read in a batch. A ratio is the median of the
rounds, in each of which free and constrained generation follow each other.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import llmpy

PROMPT = "Once upon a time, there was a little crab who lived by the sea."
TEXT = {"type": "string", "maxLength": 2000}
PERSON = {
    "type": "object",
    "properties": {
        "first_name": {"enum": ["Ada", "Alan", "Grace", "Kurt", "Emmy", "Edsger"]},
        "profession": {"enum": ["mathematician", "engineer", "physicist"]},
        "year_of_birth": {"type": "integer", "minimum": 1800, "maximum": 1999},
        "is_alive": {"type": "boolean"},
    },
    "required": ["first_name", "profession", "year_of_birth", "is_alive"],
    "additionalProperties": False,
}
CASES: dict[str, llmpy.Constraint] = {
    "text": llmpy.json_schema({"type": "array", "items": TEXT, "minItems": 50}),
    "names": llmpy.json_schema({"type": "array", "items": PERSON, "minItems": 50}),
    "record": llmpy.json_schema(PERSON),
}


def rate(model: llmpy.Model, n: int, constrain: Any) -> tuple[float, float]:
    """Generated tokens per second, and which part of them was forced."""
    with model.session(seed=1) as session:
        session.feed(PROMPT)
        session.next_token()  # the prompt is read
        session.constraint = constrain
        state = session.transcript.sequence.constraint
        begin = time.perf_counter()
        stats = session.infer(max_tokens=n)
        seconds = time.perf_counter() - begin
        forced = 0 if state is None else state.n_forced
    return stats.n_generated / seconds, forced / max(1, stats.n_generated)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokens", type=int, default=64, help="generated in each run, at most")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with llmpy.load(arguments.model, n_ctx=1024) as model:
        rate(model, 8, None)
        for name, constraint in CASES.items():
            rate(model, 8, constraint)
            ratios, forced = [], 0.0
            for _ in range(arguments.rounds):
                free, _ = rate(model, arguments.tokens, None)
                constrained, forced = rate(model, arguments.tokens, constraint)
                ratios.append(constrained / free)
            middle = statistics.median(ratios)
            print(
                f"{name:8} constrained/free {middle:5.3f} "
                f"({min(ratios):5.3f} to {max(ratios):5.3f}), forced {forced:4.0%} of the tokens, "
                f"free {free:.1f} tokens/s"
            )


if __name__ == "__main__":
    main()
