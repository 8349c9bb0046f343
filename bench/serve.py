"""`llmpy serve` under load: tokens a second, times to the first token and between tokens.

Each row is a number of streams at once. In turns: the bare engine (`next_tokens` of as many
sessions in a loop, in a process of its own) and the server, whose streams are read by this process
over sockets. "overhead" is how much more time a token takes in the server. With `--peer-server` a
llama-server (path of the program) of as many slots takes its turn too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

PROMPT = "Once upon a time there was a little dog that lived in a house by the sea, and"
BARE = """
import random, sys, time, llmpy
path, n_streams, n_tokens, prompt = sys.argv[1], *map(int, sys.argv[2:4]), sys.argv[4]
model = llmpy.load(path)
def run(n):
    sessions = [model.session(sampler=llmpy.greedy()) for _ in range(n_streams)]
    for session in sessions:  # texts as different as the server's: of equal ones pages are shared
        session.feed(model.tokenizer.encode(f"{random.randrange(10**9)} {prompt}", bos=None))
    begin = time.perf_counter()
    for _ in range(n):
        llmpy.next_tokens(sessions, ignore_eos=True)
    seconds = time.perf_counter() - begin
    for session in sessions:
        session.close()
    return seconds
run(4)
print(n_streams * n_tokens / run(n_tokens))
"""


class Stream:
    """When the events of one stream came.

    It does as little as possible besides: its processor time is missing from the server beside it.
    """

    def __init__(self, port: int, body: bytes) -> None:
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
        request = f"{head}\r\nContent-Type: application/json\r\n\r\n".encode() + body
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.begun = time.perf_counter()
        self.times: list[float] = []
        self._head = self._tail = b""
        self.socket.sendall(request)

    def read(self) -> bool:
        """Note the time once for each event with text that is there; False at the end."""
        data = self.socket.recv(65536)
        if not self._head:
            self._head = data.partition(b"\r\n")[0]
            if b" 200 " not in self._head:
                raise RuntimeError(self._head.decode() or "the server closed the connection")
        elif not data:
            raise RuntimeError("the server closed the connection")
        self.times += [time.perf_counter()] * data.count(b"data: {")
        self._tail = (self._tail + data)[-64:]
        return b"data: [DONE]" not in self._tail


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server, once it has loaded its model."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with (
                suppress(OSError),
                urlopen(f"http://127.0.0.1:{port}/health"),
            ):  # 503 while it loads
                break
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait()


def loaded(port: int, n_streams: int, n_tokens: int) -> list[Stream]:
    """As many streams at once, each to its end; no prompt was there before."""
    fields = {"max_tokens": n_tokens, "stream": True, "ignore_eos": True}
    fields["temperature"] = 0  # so that all engines do the same
    prompts = [f"{random.randrange(10**9)} {PROMPT}" for _ in range(n_streams)]
    streams = [Stream(port, json.dumps(fields | {"prompt": p}).encode()) for p in prompts]
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.socket, selectors.EVENT_READ, stream.read)
        while selector.get_map():
            for key, _ in selector.select():
                if not key.data():
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
    return streams


def numbers(streams: list[Stream]) -> dict[str, float]:
    """Tokens a second once all have begun, and the times."""
    begin = max(stream.times[0] for stream in streams)
    end = min(stream.times[-1] for stream in streams)
    n = sum(sum(begin < t <= end for t in stream.times) for stream in streams)
    firsts = sorted(stream.times[0] - stream.begun for stream in streams)
    gaps = sorted(b - a for s in streams for a, b in zip(s.times, s.times[1:], strict=False))
    return {
        "rate": n / max(end - begin, 1e-9),
        "first_p50": statistics.median(firsts),
        "first_p99": firsts[int(0.99 * (len(firsts) - 1))],
        "gap_p99": gaps[int(0.99 * (len(gaps) - 1))],
    }


def bare(path: Path, n_streams: int, n_tokens: int) -> float:
    """Tokens a second of the engine alone."""
    command = [sys.executable, "-c", BARE, str(path), str(n_streams), str(n_tokens), PROMPT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def resident(process: subprocess.Popen[bytes]) -> float:
    """Megabytes in memory; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(options: argparse.Namespace, n_streams: int) -> Iterator[dict[str, Any]]:
    """One round after the other of a row."""
    port, peer = free_port(), None
    own = own_command(options, n_streams, port)
    for _ in range(options.rounds):
        found: dict[str, Any] = {"streams": n_streams}
        found["bare"] = bare(options.model, n_streams, options.n)
        with serving(own, port) as process:
            loaded(port, n_streams, 4)
            found["llmpy"] = numbers(loaded(port, n_streams, options.n))
            found["resident_mb"] = resident(process)
        if options.peer_server is not None:
            peer = [options.peer_server, "-m", str(options.model), "--port", str(port),
                    "-np", str(n_streams), "-c", str(256 * n_streams), "-t", str(os.cpu_count()),
                    "--no-webui"]  # fmt: skip
            with serving(peer, port):
                loaded(port, n_streams, 4)
                found["peer"] = numbers(loaded(port, n_streams, options.n))
        yield found


def soak(options: argparse.Namespace, n_streams: int) -> None:
    """Keep as many streams going for some minutes, and print the server's memory."""
    port = free_port()
    with serving(own_command(options, n_streams, port), port) as process:
        loaded(port, n_streams, 4)
        begin, n_done = time.perf_counter(), 0
        while (seconds := time.perf_counter() - begin) < 60 * options.soak:
            loaded(port, n_streams, options.n)
            n_done += n_streams
            print(f"{seconds:6.0f} s {n_done:8} streams {resident(process):8.1f} MB", flush=True)


def own_command(options: argparse.Namespace, n_streams: int, port: int) -> list[str]:
    """How to start `llmpy serve` with room for as many streams."""
    return [sys.executable, "-m", "llmpy", "serve", "-m", f"m={options.model}", "--port", str(port),
            "--parallel", str(n_streams), "--queue", "1024", "--access-log", ""]  # fmt: skip


def shown(rounds: list[dict[str, Any]]) -> str:
    """A line of the table: medians over the rounds."""

    def middle(engine: str, name: str) -> float:
        return statistics.median(r[engine][name] for r in rounds)

    overhead = statistics.median(r["bare"] / r["llmpy"]["rate"] - 1 for r in rounds)
    cells = [
        str(rounds[0]["streams"]),
        f"{statistics.median(r['bare'] for r in rounds):.0f}",
        f"{middle('llmpy', 'rate'):.0f}",
        f"{overhead:+.1%}",
        *(f"{1000 * middle('llmpy', n):.0f}" for n in ("first_p50", "first_p99", "gap_p99")),
    ]
    if "peer" in rounds[0]:
        ratio = statistics.median(r["llmpy"]["rate"] / r["peer"]["rate"] for r in rounds)
        cells += [f"{middle('peer', 'rate'):.0f}", f"{ratio:.2f}"]
        cells += [f"{1000 * middle('peer', n):.0f}" for n in ("first_p50", "gap_p99")]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("-n", type=int, default=64, help="tokens of each stream")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-server", help="path of llama-server")
    parser.add_argument("--json", type=Path, help="write every round")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="only watch the memory")
    options = parser.parse_args()
    if options.soak is not None:
        soak(options, max(options.streams))
        return
    heads = ["streams", "bare tokens/s", "served tokens/s", "overhead",
             "first p50 ms", "first p99 ms", "between p99 ms"]  # fmt: skip
    if options.peer_server:
        heads += ["peer tokens/s", "llmpy / peer", "peer first p50 ms", "peer between p99 ms"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    everything = []
    for n_streams in options.streams:
        rounds = list(measure(options, n_streams))
        everything += rounds
        print(shown(rounds), flush=True)
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
