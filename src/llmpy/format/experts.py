"""Tensors of experts in older or other layouts, made those of today: one stack a matrix.

blk.N.ffn_gate.E (an expert a tensor) and blk.N.ffn_gate_up_exps (two matrices in one) become
blk.N.ffn_gate_exps and blk.N.ffn_up_exps, as pieces of the file, without copying it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from llmpy.errors import ModelFileError
from llmpy.format.container import TensorInfo
from llmpy.format.cursor import quoted

__all__ = ["stack_experts"]

_MAX_EXPERTS = 1 << 14
_EXPERT = re.compile(r"(blk\.\d+\.ffn_(?:gate|up|down))\.(\d{1,5})\.(weight|bias)")
_BOTH = re.compile(r"(blk\.\d+\.ffn_)gate_up_exps\.(weight|bias)")
_ROUTER_BIAS = re.compile(r"blk\.\d+\.exp_probs_b\.bias")
_SHARED_GATE = re.compile(r"blk\.\d+\.ffn_gate_inp_shexp\.weight")


def stack_experts(path: Path, tensors: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """The same tensors, those of experts in the layout that architectures read.

    Also, the gate of a shared expert, stored as a vector, becomes the one row that it is, and a
    router's bias, stored as a row, a vector. Raises ModelFileError where experts do not fit
    together.
    """
    result: dict[str, TensorInfo] = {}
    stacks: dict[str, dict[int, TensorInfo]] = {}
    made: list[TensorInfo] = []
    for name, info in tensors.items():
        if m := _EXPERT.fullmatch(name):
            stacks.setdefault(f"{m[1]}_exps.{m[3]}", {})[int(m[2])] = info
        elif m := _BOTH.fullmatch(name):
            made += _halves(path, info, m[1], m[2])
        elif _SHARED_GATE.fullmatch(name) and len(info.shape) == 1:
            result[name] = replace(info, shape=(1, *info.shape))
        elif _ROUTER_BIAS.fullmatch(name) and info.shape[:-1] == (1,):
            result[name] = replace(info, shape=info.shape[1:])
        else:
            result[name] = info
    made += [_stack(path, name, experts) for name, experts in stacks.items()]
    for info in made:
        if info.name in result:
            raise ModelFileError(
                path, f"tensor {quoted(info.name)}", "experts in one layout", "them in two"
            )
        result[info.name] = info
    return result


def _stack(path: Path, name: str, experts: Mapping[int, TensorInfo]) -> TensorInfo:
    """The experts' tensors, in the order of their numbers, as one."""
    pieces = tuple(experts[i] for i in sorted(experts))
    if sorted(experts) != list(range(len(experts))):
        found = ", ".join(map(str, sorted(experts)[:20]))
        raise ModelFileError(
            path, f"experts of {quoted(name)}", "all from 0 on", f"those of the numbers {found}"
        )
    first = pieces[0]
    for piece in pieces:
        if (piece.dtype, piece.shape) != (first.dtype, first.shape):
            raise ModelFileError(
                path,
                f"tensor {quoted(piece.name)}",
                f"{first.dtype} {first.shape}, as its first expert",
                f"{piece.dtype} {piece.shape}",
            )
    size = sum(piece.size for piece in pieces)
    shape = (len(pieces), *first.shape)
    return replace(first, name=name, shape=shape, size=size, pieces=pieces)


def _halves(path: Path, info: TensorInfo, start: str, kind: str) -> list[TensorInfo]:
    """Gate and up out of a tensor [n_expert, 2 n_ff, n_embd] (weights) or [n_expert, 2 n_ff]."""
    n_dims = {"weight": 3, "bias": 2}[kind]
    whole = 2 * (info.dtype.block if kind == "bias" else 1)
    if len(info.shape) != n_dims or info.shape[1] % whole or info.shape[0] > _MAX_EXPERTS:
        raise ModelFileError(
            path,
            f"tensor {quoted(info.name)} shape",
            f"({_MAX_EXPERTS} experts at most, two halves{', n_embd' if n_dims == 3 else ''})",
            str(info.shape),
        )
    n_expert, rows = info.shape[:2]
    shape = (n_expert, rows // 2, *info.shape[2:])
    size = info.size // (2 * n_expert)  # of one expert's half
    halves = []
    for half, part in enumerate(("gate", "up")):
        name = f"{start}{part}_exps.{kind}"
        pieces = tuple(
            replace(info, shape=shape[1:], offset=info.offset + (2 * e + half) * size, size=size)
            for e in range(n_expert)
        )
        halves.append(replace(info, name=name, shape=shape, size=size * n_expert, pieces=pieces))
    return halves
