"""A large sentencepiece vocabulary, made by a rule, and the time that it takes to open.

    python -m bench.vocabulary out.gguf [--tokens 262144] [--gemma4]

writes a GGUF file of only a vocabulary (the size of Gemma's) and prints the CPU time of opening it,
of a short text and of a long one.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

import llmpy
from llmpy.format import write_gguf
from llmpy.tokenizer import Kind

LETTERS = "etaoinshrdlucmfwypvbgkjqxz" + "äöüéèñçßабвгдежзийклмнопрст" + "的一是不了人我在有他"
LONGEST = 16


def pieces(n: int) -> tuple[list[str], list[str]]:
    """`n` pieces, letters first; each other one is a merge of two before it. And the merges."""
    found = dict.fromkeys(["\u2581", *LETTERS])
    order, merges = list(found), []
    bits = np.random.PCG64(13)
    while len(order) < n:
        raw = bits.random_raw(2 * n)
        unit = (raw >> np.uint64(11)) / 2.0**53
        for a, b in unit.reshape(-1, 2) ** 3:  # earlier pieces are in more merges
            left, right = order[int(a * len(order))], order[int(b * len(order))]
            piece = left + right
            if len(piece) <= LONGEST and "\u2581" not in piece[1:] and piece not in found:
                found[piece] = None
                order.append(piece)
                merges.append(f"{left} {right}")
            if len(order) == n:
                break
    return order, merges


def metadata(n: int, gemma4: bool) -> dict[str, Any]:
    """`tokenizer.ggml.*` of a vocabulary of `n` tokens."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    raw = [f"<0x{byte:02X}>" for byte in range(256)]
    plain, merges = pieces(n - len(special) - len(raw))
    kinds = [Kind.CONTROL] * 3 + [Kind.UNKNOWN] + [Kind.BYTE] * 256 + [Kind.NORMAL] * len(plain)
    scores = [0.0] * 260 + [-float(i) for i in range(len(plain))]
    found = {
        "model": "gemma4" if gemma4 else "llama",
        "tokens": special + raw + plain,
        "scores": np.array(scores, np.float32),
        "token_type": np.array(kinds, np.int32),
        "eos_token_id": 1, "bos_token_id": 2, "unknown_token_id": 3, "add_space_prefix": False,
    }  # fmt: skip
    if gemma4:
        found["merges"] = merges
    keys = {f"tokenizer.ggml.{key}": value for key, value in found.items()}
    return {"general.architecture": "gemma", **keys}


def text_of(n: int) -> str:
    """`n` characters of words."""
    raw = np.random.PCG64(14).random_raw(n)
    letters = np.frombuffer(("etaoinshrdlu " * 4 + LETTERS).encode("utf-32-le"), "<u4")
    return letters[raw % len(letters)].tobytes().decode("utf-32-le")


def main() -> None:
    """Write the file and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokens", type=int, default=262_144)
    parser.add_argument("--gemma4", action="store_true", help="with merges, as Gemma 4 has them")
    options = parser.parse_args()
    if not options.out.exists():
        write_gguf(options.out, metadata(options.tokens, options.gemma4), [])
    start = time.process_time()
    tokenizer = llmpy.load_tokenizer(options.out)
    opened = time.process_time()
    short = tokenizer.encode("Once upon a time, there was a little girl named Lily.")
    encoded = time.process_time()
    long = tokenizer.encode(text_of(1_000_000))
    end = time.process_time()
    print(
        f"open {opened - start:.3f} s, short text {encoded - opened:.3f} s ({len(short)} tokens), "
        f"1,000,000 characters {end - encoded:.3f} s ({len(long)} tokens)"
    )


if __name__ == "__main__":
    main()
