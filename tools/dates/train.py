"""Train the dates model: `python tools/dates/train.py OUT` (needs `llmpy[train]`).

OUT gets tokenizer.json, checkpoint.pt after every `--every` steps, log.jsonl, and at the end the
folder `hf` in the form of Hugging Face. `--resume` goes on from the checkpoint. The data is made
while it trains (one shard ahead, in a process of its own) and no pair is seen twice. The same seed
gives the same data and order; sums of floats differ a little between machines.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent))

from generate import pairs
from model import Llama, Shape
from vocabulary import SPECIALS, make_tokenizer

PAD, START, END, SEPARATOR = range(len(SPECIALS))
SHARD = 65_536  # pairs
Pairs = tuple[list[np.ndarray], np.ndarray]  # tokens of each pair, and how many of them are given


def encode(tokenizer: Tokenizer, texts: list[str], outputs: list[str]) -> Pairs:
    """`<s>` text `<sep>` output `</s>` of each pair, and the length up to `<sep>`."""
    given = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    wanted = tokenizer.encode_batch_fast(outputs, add_special_tokens=False)
    whole = [
        np.array([START, *g.ids, SEPARATOR, *w.ids, END], np.int64)
        for g, w in zip(given, wanted, strict=True)
    ]
    return whole, np.array([len(g.ids) + 2 for g in given])


def shard(path: str, split: str, seed: int, count: int) -> Pairs:
    tokenizer = Tokenizer.from_file(path)
    samples = [s for _, s in itertools.islice(pairs(split, seed), count)]
    return encode(tokenizer, [s.text for s in samples], [s.output for s in samples])


def batches(data: Pairs, tokens: int, seed: int) -> Iterator[tuple[torch.Tensor, ...]]:
    """Batches of about so many tokens, pairs of like length together, in random order."""
    whole, given = data
    r = np.random.default_rng(seed)
    lengths = np.array([len(w) for w in whole])
    order = np.argsort(lengths + r.random(len(lengths)), kind="stable")
    cuts, at = [], 0
    while at < len(order):
        n = max(1, tokens // int(lengths[order[min(len(order) - 1, at + tokens // 64)]]))
        cuts.append(order[at : at + n])
        at += n
    for i in r.permutation(len(cuts)):
        yield batch(whole, given, cuts[i])


def batch(
    whole: list[np.ndarray], given: np.ndarray, which: np.ndarray
) -> tuple[torch.Tensor, ...]:
    """Ids [batch, time], and where in the flattened ids an output is predicted, and which."""
    width = max(len(whole[i]) for i in which) - 1
    ids = np.full((len(which), width + 1), PAD, np.int64)
    chosen = []
    for row, i in enumerate(which):
        ids[row, : len(whole[i])] = whole[i]
        chosen.append(row * width + np.arange(given[i] - 1, len(whole[i]) - 1))
    at = np.concatenate(chosen)
    wanted = ids[:, 1:].reshape(-1)[at]
    owner = np.repeat(np.arange(len(which)), [len(c) for c in chosen])
    return tuple(torch.from_numpy(a) for a in (ids[:, :-1].copy(), at, wanted, owner))


@torch.no_grad()
def exact(model: Llama, data: Pairs, device: torch.device, tokens: int = 16_384) -> float:
    """Share of pairs whose greedy answer is the label.

    Greedy decoding gives the label if and only if each of its tokens is the likeliest after those
    before it: one forward pass tells.
    """
    right = total = 0
    for parts in batches(data, tokens, 0):
        ids, at, wanted, owner = (p.to(device) for p in parts)
        wrong = model(ids, at).argmax(-1) != wanted
        count = int(owner[-1]) + 1
        right += count - len(owner[wrong].unique())
        total += count
    return right / total


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are made orthogonal before each step (Newton-Schulz in bfloat16)."""

    def __init__(
        self,
        matrices: list[torch.nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        decay: float = 0.01,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["mean"] = torch.zeros_like(weight)
                mean = state["mean"].lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(mean, group["momentum"])
                parts = [orthogonal(part) for part in update.split(weight.parts, 0)]
                scale = max(1.0, weight.parts / weight.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["decay"])
                weight.add_(torch.cat(parts).to(weight.dtype), alpha=-group["lr"] * scale)


def orthogonal(g: torch.Tensor) -> torch.Tensor:
    x = g.bfloat16()
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return x.T if tall else x


def optimizers(model: Llama, matrices: float, others: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of blocks; AdamW for embeddings and norms; each with its peak rate."""
    shape = model.shape
    blocks, rest = [], []
    for name, weight in model.named_parameters():
        if weight.dim() != 2 or "embedding" in name:
            rest.append(weight)
            continue
        joined = {"qkv": shape.dim, "gate_up": shape.hidden}  # several matrices in one
        weight.parts = next((n for key, n in joined.items() if key in name), weight.shape[0])
        blocks.append(weight)
    adam = torch.optim.AdamW(rest, lr=others, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    return [adam, Muon(blocks, matrices)]


def rate(step: int, steps: int, warmup: int, decay: int) -> float:
    """Linear warmup, the peak, and a line down to zero over the last `decay` steps.

    What comes before these does not depend on `steps`: a run can be resumed with other ones.
    """
    return max(0.0, min(1.0, (step + 1) / warmup, (steps - step) / decay))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--tokens", type=int, default=8192, help="of a batch")
    parser.add_argument("--muon", type=float, default=0.012, help="peak rate of the matrices")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak rate of all else")
    parser.add_argument("--warmup", type=int, default=150)
    parser.add_argument("--decay", type=int, default=3000, help="steps in which the rate falls")
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--stop", type=int, help="stop after this step, as if killed")
    parser.add_argument("--start", type=Path, help="a folder `hf` whose model is trained on")
    parser.add_argument(
        "--mean", action="store_true", help="write the mean of the weights of --start and the last"
    )
    parser.add_argument("--resume", action="store_true")
    return parser.parse_args()


class Data:
    """Batches for ever; the next shard is made while one is read."""

    def __init__(self, tokenizer: Path, tokens: int, first: int, skip: int) -> None:
        self.tokenizer, self.tokens = str(tokenizer), tokens
        self.shard, self.skip = first, skip

    def __iter__(self) -> Iterator[tuple[tuple[int, int], tuple[torch.Tensor, ...]]]:
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, context) as other:
            ahead = other.submit(shard, self.tokenizer, "train", self.shard, SHARD)
            while True:
                data = ahead.result()
                ahead = other.submit(shard, self.tokenizer, "train", self.shard + 1, SHARD)
                for i, parts in enumerate(batches(data, self.tokens, self.shard)):
                    if i >= self.skip:
                        yield (self.shard, i + 1), parts
                self.shard, self.skip = self.shard + 1, 0


class Training:
    """A model, its optimizers, and where in the data they are."""

    def __init__(self, args: argparse.Namespace) -> None:
        torch.manual_seed(args.seed)
        torch.set_num_threads(args.threads)
        self.args = args
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer = args.out / "tokenizer.json"
        if args.start and not self.tokenizer.exists():
            self.tokenizer.parent.mkdir(parents=True, exist_ok=True)
            self.tokenizer.write_bytes((args.start / "tokenizer.json").read_bytes())
        if not self.tokenizer.exists():
            make_tokenizer(self.tokenizer, args.seed)
        size = Tokenizer.from_file(str(self.tokenizer)).get_vocab_size()
        self.model = Llama(Shape(vocab=-(-size // 32) * 32)).to(self.device)
        if args.start:
            self.model.load_folder(args.start)
        if self.device.type == "cuda" or torch.cpu._is_avx512_bf16_supported():
            self.model.compute = torch.bfloat16
        self.optimizers = optimizers(self.model, args.muon, args.rate)
        self.peaks = [[group["lr"] for group in o.param_groups] for o in self.optimizers]
        self.step, self.where = 0, (args.seed * 1000, 0)
        self.saved = args.out / "checkpoint.pt"
        if args.resume and self.saved.exists():
            self.load()

    def load(self) -> None:
        state = torch.load(self.saved, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, said in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(said)
        self.step, self.where = state["step"], tuple(state["where"])

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step,
            "where": self.where,
        }
        torch.save(state, self.saved.with_suffix(".new"))
        self.saved.with_suffix(".new").replace(self.saved)

    def learn(self, parts: tuple[torch.Tensor, ...]) -> tuple[float, int]:
        """Take one step; return its loss and how many tokens it read."""
        args = self.args
        share = rate(self.step, args.steps, args.warmup, args.decay)
        for optimizer, peaks in zip(self.optimizers, self.peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * share
        ids, chosen, wanted, _ = (p.to(self.device) for p in parts)
        loss = functional.cross_entropy(self.model(ids, chosen), wanted)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.model.zero_grad(set_to_none=True)
        self.step += 1
        return loss.item(), ids.numel()

    def run(self) -> None:
        """Train to the last step, and write what is learnt."""
        args = self.args
        parameters = sum(p.numel() for p in self.model.parameters())
        print(f"{parameters:,} parameters on {self.device}", flush=True)
        check = shard(str(self.tokenizer), "validation", args.seed, 3000)
        began, first = time.perf_counter(), self.step
        seen, losses, since = 0, [], began
        for where, parts in Data(self.tokenizer, args.tokens, *self.where):
            self.where = where
            loss, tokens = self.learn(parts)
            losses.append(loss)
            seen += tokens
            last = self.step >= args.steps or self.step == args.stop
            if self.step % args.every and not last:
                continue
            now = time.perf_counter()
            left = (args.steps - self.step) * (now - began) / (self.step - first) / 60
            line = {
                "step": self.step,
                "loss": round(float(np.mean(losses)), 5),
                "exact": round(exact(self.model, check, self.device), 4),
                "tokens_a_second": round(seen / (now - since)),
                "minutes": round((now - began) / 60, 2),
                "minutes_left": round(left, 1),
            }
            print(json.dumps(line), flush=True)
            with (args.out / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            self.save()
            if last:
                break
            seen, losses, since = 0, [], time.perf_counter()
        self.write()

    def write(self) -> None:
        """Write the folder `hf`."""
        args = self.args
        if args.mean:
            trained = {k: v.clone() for k, v in self.model.state_dict().items()}
            self.model.load_folder(args.start)
            for name, weight in self.model.state_dict().items():
                weight.lerp_(trained[name], 0.5)
        ids = {name: i for i, name in enumerate(SPECIALS)}
        self.model.export(args.out / "hf", self.tokenizer, ids)


if __name__ == "__main__":
    Training(parse()).run()
