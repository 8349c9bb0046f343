"""Loads files and generates four tokens from each that loads; tells what happened, a line a file.

Run as a program, so that a crash takes this process alone: `python hostile_worker.py BACKEND` reads
paths from stdin and prints "ok" or the name of the error for each.
"""

from __future__ import annotations

import sys
import warnings

import llmpy


def outcome(path: str, backend: str) -> str:
    try:
        with llmpy.load(path, backend=backend, n_ctx=64) as model:
            session = model.session(seed=1)
            session.feed("Once upon")
            for _ in range(4):
                session.next_token()
    except llmpy.LlmpyError as error:
        if "\n" in str(error):
            return "an error of several lines"
        return type(error).__name__
    except Exception as error:  # anything else is the defect that is looked for
        return f"{type(error).__name__}: {error}"
    return "ok"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        print(outcome(line.rstrip("\n"), sys.argv[1]), flush=True)
