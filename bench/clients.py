"""`llmpy serve` beside clients that read slowly or hang up: what they cost everybody else.

16 streams are measured while 100 others are there. In turns: others that read all of their
streams, and others that take 20 bytes of theirs every half second; then 100 short requests a
second that are read to their end, and as many long ones whose client hangs up after the first
token. A rude client should cost no more than a polite one: the last column is at least 1 then.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from serve import PROMPT, free_port, loaded, numbers, serving

N_MEASURED, N_OTHERS = 16, 100
PAIRS = (("read to the end", "read slowly"), ("end after a token", "hang up after a token"))


def request(n_tokens: int) -> bytes:
    """A request for a stream, with its head."""
    fields = {"prompt": PROMPT, "max_tokens": n_tokens, "stream": True, "ignore_eos": True}
    body = json.dumps(fields).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
    return f"{head}\r\nContent-Type: application/json\r\n\r\n".encode() + body


async def opened(port: int, n_tokens: int, buffer: int | None = None) -> socket.socket:
    """A connection on which the request was sent; `buffer`: bytes that the kernel keeps for it."""
    connection = socket.socket()
    connection.setblocking(False)
    if buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", port))
    await loop.sock_sendall(connection, request(n_tokens))
    return connection


async def stream(port: int, kind: str) -> None:
    """One stream after the other, read at once or slowly, until it is cancelled."""
    slow = kind == "read slowly"
    while True:
        connection = await opened(port, 200, 2048 if slow else None)
        loop = asyncio.get_running_loop()
        with connection:
            while True:
                data = await loop.sock_recv(connection, 20 if slow else 65536)
                if not data or b"[DONE]" in data:
                    break
                if slow:
                    await asyncio.sleep(0.5)


async def short(port: int, kind: str) -> None:
    """One request that ends, or is left, after its first token."""
    leaves = kind == "hang up after a token"
    with await opened(port, 200 if leaves else 1) as connection:
        seen = b""
        while b"data: {" not in seen if leaves else b"[DONE]" not in seen:
            data = await asyncio.get_running_loop().sock_recv(connection, 65536)
            if not data:
                return
            seen += data


async def each_second(port: int, kind: str) -> None:
    """N_OTHERS of `short` a second, until it is cancelled."""
    running: set[asyncio.Task[None]] = set()
    try:
        while True:
            running.add(task := asyncio.create_task(short(port, kind)))
            task.add_done_callback(running.discard)
            await asyncio.sleep(1 / N_OTHERS)
    finally:
        for task in list(running):
            task.cancel()


async def beside(port: int, kind: str, n_tokens: int) -> float:
    """Tokens a second of the measured streams beside the others."""
    work: Callable[[int, str], Awaitable[None]] = stream if kind in PAIRS[0] else each_second
    count = N_OTHERS if work is stream else 1
    others = [asyncio.ensure_future(work(port, kind)) for _ in range(count)]
    await asyncio.sleep(2)
    streams = await asyncio.to_thread(loaded, port, N_MEASURED, n_tokens)
    rate = numbers(streams)["rate"]
    for task in others:
        task.cancel()
    for task in others:
        with suppress(asyncio.CancelledError):
            await task
    return rate


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("-n", type=int, default=128, help="tokens of each measured stream")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    port = free_port()
    own = [sys.executable, "-m", "llmpy", "serve", "-m", f"m={options.model}", "--port", str(port),
           "--parallel", "128", "--queue", "4096", "--access-log", ""]  # fmt: skip
    print("| others | tokens/s | others | tokens/s | ratio |\n|---|---|---|---|---|")
    for polite, rude in PAIRS:
        rates: dict[str, list[float]] = {polite: [], rude: []}
        with serving(own, port):
            loaded(port, N_MEASURED, 4)
            for i in range(options.rounds):
                for kind in (polite, rude) if i % 2 else (rude, polite):
                    rates[kind].append(asyncio.run(beside(port, kind, options.n)))
        ratio = statistics.median(b / a for a, b in zip(*rates.values(), strict=True))
        cells = [c for kind in rates for c in (kind, f"{statistics.median(rates[kind]):.0f}")]
        print(f"| {' | '.join(cells)} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
