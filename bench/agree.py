"""Do llmpy and llama-cpp-python compute the same logits from the same file and the same tokens?

Three computations of every position's logits: the peer, llmpy's compiled backend, and llmpy's
reference backend, which computes in float32 throughout and so is the yardstick. The peer rounds
activations as well: its distance from the yardstick is what such rounding costs, and llmpy's
distance is judged as a multiple of it. Keys and values are kept in float32 on all sides.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from lines import Worker
from numpy.typing import NDArray
from turns import token_ids

# Below this, differences are those of the order of summation in float32, whoever is nearer.
NOISE = 1e-4


def difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> dict[str, float]:
    """How far `a` is from `b`, both [tokens, vocabulary], in units of b's standard deviation."""
    delta = a.astype(np.float64) - b
    scale = float(b.std())
    return {
        "max": float(np.abs(delta).max()) / scale,
        "rms": float(np.sqrt(np.mean(delta**2))) / scale,
        "argmax": float(np.mean(a.argmax(axis=1) == b.argmax(axis=1))),
    }


def logits_of(
    worker: Worker, path: Path, tokens: list[int], out: Path, **options: Any
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """The logits that `worker` computes, float32 [tokens, vocabulary], and its answer."""
    worker("open", path=str(path), n_ctx=256, **options)
    answer = worker("logits", tokens=tokens, out=str(out))
    worker("close")
    return np.load(out), answer


def agreement(path: Path, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All comparisons for one file."""
    out = folder / "logits.npy"
    with Worker(arguments.peer_python, "peer_worker.py") as peer:
        n_vocab = peer("open", path=str(path))["n_vocab"]
        peer("close")
        tokens = token_ids(arguments.tokens, n_vocab)
        theirs, _ = logits_of(peer, path, tokens, out, n_outputs=arguments.tokens)
    ours, same_bits = {}, {}
    for backend in ("cpu", "reference"):
        with Worker(sys.executable, "llmpy_worker.py") as worker:
            ours[backend], answer = logits_of(
                worker, path, tokens, out, backend=backend, kv_dtype="f32"
            )
            same_bits[backend] = answer["same_bits"]
    result: dict[str, Any] = {
        "file": path.name,
        "cpu_reference": difference(ours["cpu"], ours["reference"]),
        "peer_reference": difference(theirs, ours["reference"]),
        "cpu_peer": difference(ours["cpu"], theirs),
    }
    rms, peer_rms = result["cpu_reference"]["rms"], result["peer_reference"]["rms"]
    result["times_peer_error"] = rms / peer_rms
    result["same_bits"] = same_bits
    near = rms <= NOISE or rms <= arguments.limit * peer_rms
    result["passed"] = near and same_bits["cpu"]
    return result


def line(result: dict[str, Any]) -> str:
    """One row of the table."""
    cells = [f"{result['file']:22}"]
    for pair in ("cpu_reference", "peer_reference", "cpu_peer"):
        numbers = result[pair]
        cells.append(f"{numbers['max']:.1e} {numbers['rms']:.1e} {numbers['argmax']:5.0%}")
    cells.append(f"{result['times_peer_error']:6.2f}")
    cells.append("yes" if result["same_bits"]["cpu"] else "NO ")
    cells.append("pass" if result["passed"] else "FAIL")
    return "| " + " | ".join(cells) + " |"


HEADING = (
    "Differences of logits over the standard deviation of the second one's logits:\n"
    "maximum, root mean square, positions whose likeliest token is the same.\n"
    "Bits: whether the tokens read at once end in the same bits as one by one (cpu).\n\n"
    "| file                   | cpu - reference       | peer - reference      | cpu - peer"
    "            | x peer | bits |      |\n"
    "|------------------------|-----------------------|-----------------------|-----------"
    "------------|--------|------|------|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="GGUF files")
    parser.add_argument("--peer-python", required=True, help="python of the peer's environment")
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument(
        "--limit",
        type=float,
        default=1.5,
        help="pass while llmpy's error is at most this many times the peer's (default 1.5)",
    )
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    arguments = parser.parse_args()
    print(HEADING)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.files:
            results.append(agreement(path, arguments, Path(folder)))
            print(line(results[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    sys.exit(not all(result["passed"] for result in results))


if __name__ == "__main__":
    main()
