"""`llmpy serve` under load: tokens a second, times to the first token and between tokens.

Each row is a number of streams at once. In turns: the bare engine (`next_tokens` of as many
sessions in a loop, in a process of its own) and the server, whose streams are read by this process
over sockets. "overhead" is how much more time a token takes in the server. With `--peer-server` a
llama-server (path of the program) of as many slots takes its turn too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROMPT = "Once upon a time there was a little dog that lived in a house by the sea, and"
BARE = """
import sys, time, llmpy
path, n_streams, n_tokens, prompt = sys.argv[1], *map(int, sys.argv[2:4]), sys.argv[4]
model = llmpy.load(path)
ids = model.tokenizer.encode(prompt, bos=None)
def run(n):
    sessions = [model.session(seed=i) for i in range(n_streams)]
    for session in sessions:
        session.feed(ids)
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
    """When the events of one stream came."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.times: list[float] = []

    async def read(self, port: int, body: bytes) -> None:
        """Send the request, and note when each event with text comes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
        writer.write(f"{head}\r\nContent-Type: application/json\r\n\r\n".encode() + body)
        self.begun = time.perf_counter()
        while line := await reader.readline():
            if line.startswith(b"data: {"):
                self.times.append(time.perf_counter())
            elif line.startswith(b"data: [DONE]"):
                break
            elif line.startswith(b"HTTP/1.1") and b" 200 " not in line:
                raise RuntimeError(line.decode())
        writer.close()


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server, once it takes connections."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as found:
                if found.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait()


async def loaded(port: int, n_streams: int, n_tokens: int) -> list[Stream]:
    """As many streams at once, each to its end."""
    streams = [Stream() for _ in range(n_streams)]
    bodies = [
        json.dumps(
            {
                "prompt": PROMPT,
                "max_tokens": n_tokens,
                "seed": i,
                "stream": True,
                "ignore_eos": True,
            }
        ).encode()
        for i in range(n_streams)
    ]
    await asyncio.gather(*(s.read(port, b) for s, b in zip(streams, bodies, strict=True)))
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
    own = [sys.executable, "-m", "llmpy", "serve", "-m", f"m={options.model}", "--port", str(port),
           "--parallel", str(n_streams), "--queue", "1024", "--access-log", ""]  # fmt: skip
    for _ in range(options.rounds):
        found: dict[str, Any] = {"streams": n_streams}
        found["bare"] = bare(options.model, n_streams, options.n)
        with serving(own, port) as process:
            asyncio.run(loaded(port, n_streams, 4))
            found["llmpy"] = numbers(asyncio.run(loaded(port, n_streams, options.n)))
            found["resident_mb"] = resident(process)
        if options.peer_server is not None:
            peer = [options.peer_server, "-m", str(options.model), "--port", str(port),
                    "-np", str(n_streams), "-c", str(256 * n_streams), "-t", str(os.cpu_count()),
                    "--no-webui"]  # fmt: skip
            with serving(peer, port):
                time.sleep(1)
                asyncio.run(loaded(port, n_streams, 4))
                found["peer"] = numbers(asyncio.run(loaded(port, n_streams, options.n)))
        yield found


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
    options = parser.parse_args()
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
