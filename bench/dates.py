"""Dates a second: many at once, one at a time, and the same model in llama-cpp-python.

    python bench/dates.py --peer-python PYTHON [--texts FILE] [--rounds 3]

All three read the same texts in turns, round after round, and the best round of each counts. The
peer decodes greedily without a constraint, once through its `create_completion` and once by its
lowest calls (`eval`, then the best of the logits), which are the fastest that it has. Where it
writes something else than we do, that is counted. With `--busy --threads 1` the seconds are those
of the processor, for a machine that does other work meanwhile.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import llmpy

TEXTS = Path(__file__).parents[1] / "tests" / "dates" / "handmade.tsv"


def texts_of(path: Path, n: int) -> list[str]:
    """`n` texts that differ: those of the file, then the same with other years."""
    lines = path.read_text(encoding="utf-8").splitlines()
    texts = [line.split("\t")[0] for line in lines[path.suffix == ".tsv" :]]
    shift = str.maketrans("123456789", "234567891")
    found = dict.fromkeys(texts)
    while len(found) < n and texts:
        texts = [text.translate(shift) for text in texts]
        before = len(found)
        found |= dict.fromkeys(texts)
        if len(found) == before:
            break
    return list(found)[:n]


def ours(
    texts: list[str], model: llmpy.Model, n_parallel: int, clock: Callable[[], float]
) -> tuple[float, float, list[str]]:
    """Seconds for all at once and for one at a time, and what was answered."""
    from llmpy.apps import dates

    parser = dates.Parser(model)
    begin = clock()
    answers = [a.edtf for a in parser.parse_many(texts, n_parallel=n_parallel)]
    middle = clock()
    parser = dates.Parser(model)  # which remembers nothing
    again = clock()
    for text in texts:
        next(parser.parse_many((text,)))
    return middle - begin, clock() - again, answers


def peer(path: Path, n_threads: int, clock: Callable[[], float]) -> None:
    """In the peer's own Python: rounds of texts on stdin, seconds and answers on stdout."""
    import llama_cpp
    import numpy as np

    model = llama_cpp.Llama(
        str(path), n_ctx=512, n_threads=n_threads, n_threads_batch=n_threads, verbose=False
    )
    begin_token, end = model.token_bos(), model.token_eos()
    (separator,) = model.tokenize(b"<sep>", add_bos=False, special=True)

    def prompt(text: str) -> list[int]:
        ids = model.tokenize(text.encode(), add_bos=False, special=False)
        return [begin_token, *ids, separator]

    def high(text: str) -> str:
        ids = prompt(text)
        done = model.create_completion(ids, max_tokens=96, temperature=0.0)
        return done["choices"][0]["text"]

    def low(text: str) -> str:
        model.reset()
        model.eval(prompt(text))
        found: list[int] = []
        while len(found) < 96:
            logits = llama_cpp.llama_get_logits_ith(model.ctx, -1)
            token = int(np.ctypeslib.as_array(logits, (model.n_vocab(),)).argmax())
            if token == end:
                break
            found.append(token)
            model.eval([token])
        return model.detokenize(found, special=False).decode("utf-8", "replace")

    ways: dict[str, Callable[[str], str]] = {"high": high, "low": low}
    for line in sys.stdin:
        way, texts = json.loads(line)
        begin = clock()
        answers = [ways[way](text) for text in texts]
        print(json.dumps([clock() - begin, answers]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--peer-python", help="a Python with llama-cpp-python")
    parser.add_argument("--texts", type=Path, default=TEXTS)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--n-parallel", type=int, default=96)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", action="store_true", help="seconds of processor time")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    clock = time.process_time if args.busy else time.perf_counter
    if args.peer:
        return peer(args.model, args.threads, clock)
    import llmpy
    from llmpy.apps import dates

    path = args.model or dates.model_path()
    texts = [dates.normalise(text) for text in texts_of(args.texts, args.count)]
    model = llmpy.load(path, n_threads=args.threads)
    model.warm_up()
    seconds: dict[str, float] = {}
    process = None
    if args.peer_python:
        command = [args.peer_python, __file__, "--peer", "--model", str(path)]
        command += ["--threads", str(args.threads), *["--busy"] * args.busy]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def keep(name: str, taken: float) -> None:
        seconds[name] = min(taken, seconds.get(name, taken))

    same = 0
    for _ in range(args.rounds):
        many, one, answers = ours(texts, model, args.n_parallel, clock)
        keep("parse_many", many)
        keep("one at a time", one)
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            for way in ("low", "high"):
                process.stdin.write(json.dumps([way, texts]) + "\n")
                process.stdin.flush()
                taken, others = json.loads(process.stdout.readline())
                keep(f"llama-cpp-python, {way} level", taken)
            pairs = zip(answers, others, strict=True)
            same = sum(
                ours == theirs.partition("#")[0].replace(";", " ; ") for ours, theirs in pairs
            )
    if process is not None:
        process.communicate()
    print(f"{len(texts)} texts, best of {args.rounds} rounds")
    for name, taken in seconds.items():
        rate = len(texts) / taken
        print(f"{name:32}{rate:10.0f} a second{taken / seconds['parse_many']:8.1f} x the time")
    if process is not None:
        print(f"the same answer: {same} of {len(texts)}")
    return None


if __name__ == "__main__":
    main()
