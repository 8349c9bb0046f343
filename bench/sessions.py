"""Sessions: what forks, rewinds, drafts, the prefix cache, a prompt beside others, snapshots cost.

    python bench/sessions.py MODEL.gguf [--rows fork,draft,prefix,beside,snapshot,shift]
        [--peer-python PYTHON] [--json FILE]

With a Python that has llama-cpp-python, its saved states stand beside snapshots.

Prompts are pseudo-random tokens, new ones in every round, so that nothing is found in the prefix
cache but what the row is about. All times are the median of the rounds, of one process.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llmpy

TEXT = (
    "The history of the steam engine begins long before the industrial revolution. People had "
    "known for centuries that steam could move things, and the first useful engines pumped water "
    "out of mines. Please tell me who built the first one, when that was, and why it"
)
KEYS_A_SECOND = 8
SHORT, LONG = 10, 10_000  # tokens
RUNNING = 8  # sessions that go on beside a prompt
Row = dict[str, float]


class Bench:
    """One model, and new tokens for each text."""

    def __init__(
        self, model: llmpy.Model, n_prompt: int, peer: Path | None = None, seed: int = 1
    ) -> None:
        self.model = model
        self.n_prompt = n_prompt
        self._peer = peer
        self._random = random.Random(seed)

    def ids(self, n: int) -> list[int]:
        least = min(300, self.model.n_vocab // 2)
        return [self._random.randrange(least, self.model.n_vocab) for _ in range(n)]

    def session(self, n: int = 0) -> llmpy.Session:
        session = self.model.session(sampler=llmpy.greedy())
        if n:
            session.feed(self.ids(n))
        return session

    # Rows: each yields (name, numbers of one round)

    def fork(self) -> Iterator[tuple[str, Row]]:
        """Microseconds of mark, fork and rewind, where so many tokens are in the cache."""
        for n in (SHORT, LONG):
            if n > self.model.n_ctx - 2:
                continue
            with self.session(n) as session:
                times: Row = {}
                mark = timed(times, "mark", session.mark)
                fork = timed(times, "fork", session.fork)
                timed(times, "first token of the fork", fork.next_token)
                timed(times, "token after it", fork.next_token)
                session.feed(self.ids(1))
                timed(times, "rewind by one", lambda s=session: s.rewind(len(s) - 1))
                timed(times, "rewind to the mark", lambda s=session, m=mark: s.rewind_to(m))
                timed(times, "rewind to half", lambda s=session: s.rewind(len(s) // 2))
                mark.close()
                fork.close()
            yield f"at {n} tokens, us", {name: 1e6 * t for name, t in times.items()}

    def draft(self) -> Iterator[tuple[str, Row]]:
        """Milliseconds to the first token of a typed prompt, with and without a draft."""
        head = f"Note {self._random.randrange(10**9)}. "  # so that no round knows the last one
        text = head + TEXT
        times: Row = {}
        with self.session() as session:
            timed(times, "without", lambda: first_token(session.stream(text, max_tokens=1)))
        text = head[::-1].strip() + " " + TEXT
        updates: Row = {}
        with self.session() as session:
            draft = session.draft()
            for n in range(1, len(text) + 1):
                timed(updates, f"{n}", lambda n=n: draft.update(text[:n]))
                time.sleep(1 / KEYS_A_SECOND)
            timed(times, "with", lambda: first_token(draft.commit(max_tokens=1)))
        times["longest update"] = max(updates.values())
        numbers = {name: 1e3 * t for name, t in times.items()}
        numbers["ratio"] = times["with"] / times["without"]
        yield f"typed at {KEYS_A_SECOND} keys a second, ms to the first token", numbers

    def prefix(self) -> Iterator[tuple[str, Row]]:
        """Milliseconds to the first token of a prompt that another session has read before."""
        n = min(self.n_prompt, self.model.n_ctx - 2)
        ids, times = self.ids(n), Row()
        for name in ("first session", "second session"):
            with self.session() as session:
                timed(times, name, lambda s=session: s.infer(ids, max_tokens=1))
        ratio = times["second session"] / times["first session"]
        yield f"prompt of {n} tokens, ms", {k: 1e3 * t for k, t in times.items()} | {"ratio": ratio}

    def beside(self) -> Iterator[tuple[str, Row]]:
        """Running sessions and a long prompt, apart and together."""
        n = min(self.n_prompt, self.model.n_ctx - 2)
        with self.session() as alone:
            times: Row = {}
            timed(times, "prompt", lambda: in_thread(lambda: alone.feed(self.ids(n))))
        running = [self.session(64) for _ in range(RUNNING)]
        calm = self._gaps(running, lambda: time.sleep(2.0))
        with self.session() as session:
            started = time.perf_counter()
            busy = self._gaps(running, lambda: session.feed(self.ids(n)))
            seconds = time.perf_counter() - started
        for one in running:
            one.close()
        middle = statistics.median
        yield (
            f"{RUNNING} sessions beside a prompt of {n} tokens",
            {
                "ms between tokens": 1e3 * middle(calm),
                "beside the prompt": 1e3 * middle(busy),
                "ratio": middle(busy) / middle(calm),
                "ratio of the mean": statistics.fmean(busy) / statistics.fmean(calm),
                "prompt's speed": times["prompt"] / seconds,
            },
        )

    def snapshot(self) -> Iterator[tuple[str, Row]]:
        """Milliseconds to save and load a session, and the size of the file."""
        for n in (SHORT, min(1000, self.n_prompt)):
            with tempfile.TemporaryDirectory() as folder, self.session(n) as session:
                yield f"snapshot of {n} tokens, ms", self._snapshot(session, Path(folder) / "saved")

    def _snapshot(self, session: llmpy.Session, file: Path) -> Row:
        times, sizes = Row(), Row()
        for kind in compressions():
            timed(times, f"save, {kind}", lambda: session.save(file, compression=kind))  # noqa: B023
            sizes[f"MB, {kind}"] = file.stat().st_size / 1e6
            loaded = timed(times, f"load, {kind}", lambda: self.model.load_session(file))
            assert loaded.seen == session.seen
            loaded.close()
        numbers = {name: 1e3 * t for name, t in times.items()} | sizes
        return numbers if self._peer is None else numbers | self._peer_state(len(session), file)

    def _peer_state(self, n: int, file: Path) -> Row:
        script = Path(__file__).with_name("peer_state.py")
        counts = [str(self.model.n_ctx), str(n), str(file), "3"]
        command = [str(self._peer), str(script), str(self.model.path), *counts]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        times = {f"llama.cpp: {k}": 1e3 * statistics.median(found[k]) for k in ("save", "load")}
        return times | {"llama.cpp: MB": found["bytes"] / 1e6}

    def shift(self) -> Iterator[tuple[str, Row]]:
        """Milliseconds to leave out half of a full context, and to compute the rest again."""
        n, times = self.model.n_ctx, Row()
        sampler = llmpy.greedy()
        with self.model.session(sampler=sampler, overflow="shift", n_keep=16) as session:
            session.feed(self.ids(n - 1))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", llmpy.ContextWarning)
                timed(times, "shift", lambda: session.feed(self.ids(2)))
            left = session.tokens
        with self.session() as fresh:
            timed(times, "computed again", lambda: fresh.feed(left))
        numbers = {name: 1e3 * t for name, t in times.items()}
        numbers["ratio"] = times["shift"] / times["computed again"]
        yield f"context of {n} tokens, ms", numbers

    def _gaps(self, sessions: list[llmpy.Session], work: Callable[[], object]) -> list[float]:
        """Seconds between tokens of sessions that go on, each in a thread, while `work` is done."""
        gaps: list[float] = []
        done = threading.Event()

        def go_on(session: llmpy.Session) -> None:
            session.next_token()
            before = time.perf_counter()
            while not done.is_set() and len(session) < session.n_ctx - 1:
                session.next_token()
                now = time.perf_counter()
                gaps.append(now - before)
                before = now

        threads = [threading.Thread(target=go_on, args=(session,)) for session in sessions]
        for thread in threads:
            thread.start()
        try:
            work()
        finally:
            done.set()
            for thread in threads:
                thread.join()
        return gaps


def compressions() -> list[str]:
    """Those that are installed here."""
    found = importlib.util.find_spec("zstandard")
    return ["none"] if found is None else ["none", "zstd"]


def timed(times: Row, name: str, work: Callable[[], Any]) -> Any:
    """What `work` returns; its seconds go into `times`."""
    started = time.perf_counter()
    found = work()
    times[name] = time.perf_counter() - started
    return found


def first_token(events: Iterator[llmpy.Piece]) -> None:
    next(piece for piece in events if piece.kind in ("generated", "end"))


def in_thread(work: Callable[[], object]) -> None:
    """Do it in a thread, as beside others: in shorter steps."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def show(found: dict[str, list[Row]]) -> None:
    for name, rounds in found.items():
        print(name)
        for key in rounds[0]:
            values = sorted(one[key] for one in rounds)
            spread = f"{values[0]:.3g} to {values[-1]:.3g}"
            print(f"  {key:28} {statistics.median(values):10.3g}   ({spread})", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", default="fork,draft,prefix,beside,snapshot,shift")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--n-ctx", type=int, default=LONG + 100)
    parser.add_argument("--n-prompt", type=int, default=4000, help="tokens of a long prompt")
    parser.add_argument("--n-threads", type=int)
    parser.add_argument("--peer-python", type=Path, help="with llama-cpp-python")
    parser.add_argument("--json", type=Path, help="write every round to this file")
    arguments = parser.parse_args()
    with llmpy.load(arguments.model, n_ctx=arguments.n_ctx, n_threads=arguments.n_threads) as model:
        model.warm_up()
        bench, found = (
            Bench(model, arguments.n_prompt, arguments.peer_python),
            dict[str, list[Row]](),
        )
        with bench.session(SHORT) as session:
            session.next_token()
        for row in arguments.rows.split(","):
            rounds: dict[str, list[Row]] = {}
            for _ in range(arguments.rounds):
                for name, numbers in getattr(bench, row)():
                    rounds.setdefault(name, []).append(numbers)
            show(rounds)
            found |= rounds
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
