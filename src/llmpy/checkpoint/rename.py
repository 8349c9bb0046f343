"""From the tensors of a checkpoint to those of the neutral form: renamed, changed, stacked, split.

`plan` matches names with an architecture's rules and learns shapes without reading data; `Planned`
then gives the bytes of one tensor, piece by piece, when its turn comes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.arch.checkpoint import Tensor
from llmpy.checkpoint.weights import FLOATS
from llmpy.dtypes import BY_NAME, DType
from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.format.cursor import quoted
from llmpy.format.safetensors import Safetensors, Stored

__all__ = ["FAILURES", "Planned", "decode", "plan", "stays_f32"]

Array = NDArray[Any]
FAILURES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

# Matrices that the ecosystem leaves in F32 (list of llama.cpp's converter).
_F32_NAMES = re.compile(
    r".*_norm\.weight|(position_embd|token_types)\.weight|blk\.\d+\."
    r"(ffn_gate_inp(_shexp)?|ssm_conv1d(_[qkv])?|shortconv\.conv|time_mix_(first|w1|w2|decay_w1"
    r"|decay_w2|lerp_fused)|altup_(correct|predict)_coef)\.weight|.*attn_rel_b\.weight"
)
_NUMBER = re.compile(r"(?<![^.])(?:\d+|\{[ie]\})(?![^.])")  # a part of a name, between dots


def stays_f32(name: str, shape: Sequence[int]) -> bool:
    """Whether a tensor is always F32: vectors, norms, routers, short convolutions and the like."""
    weight = name.endswith(".weight")
    return len(shape) == 1 or not weight or _F32_NAMES.fullmatch(name) is not None


@dataclass
class _Group:
    """The stored tensors that one use of a rule takes: by expert (-1: no experts), by source."""

    rule: Tensor
    block: str
    kind: str
    members: dict[int, dict[int, Stored]] = field(default_factory=dict)


@dataclass(frozen=True)
class Planned:
    """One tensor to be: `name`, `dtype`, `shape`, and how its bytes are had.

    `sources` are the stored tensors of each expert; `output` says which result of `change` it is.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    sources: tuple[tuple[Stored, ...], ...] = ()
    change: Callable[..., Any] | None = None
    output: int = 0
    given: Array | None = None

    def pieces(self, files: Safetensors) -> Iterator[NDArray[np.uint8]]:
        """The bytes in the neutral form, one array for each stacked tensor."""
        if self.given is not None:
            yield encode(self.given, self.dtype)
        for stored in self.sources:
            if self.change is None:
                raw = files.data(stored[0].name)
                same = stored[0].dtype == self.dtype.name
                yield raw if same else encode(decode(stored[0], raw), self.dtype)
            else:
                arrays = [decode(s, files.data(s.name)).reshape(s.shape) for s in stored]
                with np.errstate(all="ignore"):
                    outputs = _outputs(self.change(*arrays))
                yield encode(outputs[self.output], self.dtype)


def decode(stored: Stored, raw: NDArray[np.uint8]) -> Array:
    """Stored bytes as float32 (U8 as they are), flat."""
    if stored.dtype == "U8":
        return raw
    if stored.dtype == "BF16":
        return (raw.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    with np.errstate(over="ignore"):
        return raw.view({"F32": "<f4", "F16": "<f2", "F64": "<f8"}[stored.dtype]).astype("f4")


def encode(values: Array, dtype: DType) -> NDArray[np.uint8]:
    """Numbers as the bytes of a plain type; the bytes of block types pass as they are."""
    if not dtype.is_float:
        return np.ascontiguousarray(values, np.uint8).reshape(-1)
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    if dtype.name == "BF16":  # to nearest, ties to even; a NaN stays one
        bits = flat.view(np.uint32)
        nearest = (bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) >> 16
        return np.where(np.isnan(flat), 0x7FC0, nearest).astype("<u2").view(np.uint8)
    with np.errstate(over="ignore"):
        return flat.astype({"F32": "<f4", "F16": "<f2"}[dtype.name], copy=False).view(np.uint8)


def plan(files: Safetensors, names: Mapping[str, str], rules: Sequence[Tensor]) -> list[Planned]:
    """The tensors that `rules` make of those in `files`; `names` has what each name means to them.

    Raises UnsupportedModelError for a name without a rule or a type without a reader, and
    ModelFileError where sources are missing or have the wrong shapes.
    """
    groups = _match(files, names, rules)
    shapes: dict[tuple[int, tuple[tuple[int, ...], ...]], list[Array]] = {}
    planned: dict[str, Planned] = {}
    for group in groups:
        if group.rule.target is None:
            continue
        for tensor in _of_group(files, group, shapes):
            if tensor.name in planned:
                first = group.members[min(group.members)]
                path = files.path(next(iter(first.values())).name)
                raise ModelFileError(
                    path, f"tensors for {tensor.name!r}", "one of them", "two under different names"
                )
            planned[tensor.name] = tensor
    return list(planned.values())


def _match(
    files: Safetensors, names: Mapping[str, str], rules: Sequence[Tensor]
) -> Iterable[_Group]:
    """Stored tensors, grouped by the rule that takes them, the block and the kind."""
    patterns: dict[str, list[tuple[int, int, re.Pattern[str]]]] = {}
    for number, rule in enumerate(rules):
        sources = (rule.source,) if isinstance(rule.source, str) else rule.source
        for place, source in enumerate(sources):
            for kind in ("", ".weight", ".bias"):
                outline = _NUMBER.sub("#", source + kind)
                pattern = re.escape(source).replace(r"\{i\}", r"(?P<i>\d{1,6})")
                pattern = pattern.replace(r"\{e\}", r"(?P<e>\d{1,6})") + f"(?P<kind>{kind})"
                patterns.setdefault(outline, []).append((number, place, re.compile(pattern)))
    groups: dict[tuple[int, str, str], _Group] = {}
    for stored in files.tensors.values():
        if stored.name not in names:
            continue
        name = names[stored.name]
        uses = patterns.get(_NUMBER.sub("#", name), ())
        fitting = ((n, place, m) for n, place, regex in uses if (m := regex.fullmatch(name)))
        number, place, found = next(fitting, (-1, 0, None))
        if found is None:
            raise UnsupportedModelError(
                files.path(stored.name), f"tensor {quoted(stored.name)}",
                "a name that this architecture has a use for", "one that it does not know",
            )  # fmt: skip
        parts = found.groupdict()
        block, kind = str(int(parts.get("i") or 0)), parts["kind"]
        group = groups.setdefault((number, block, kind), _Group(rules[number], block, kind))
        expert = int(parts["e"]) if "e" in parts else -1
        group.members.setdefault(expert, {})[place] = stored
    return groups.values()


def _of_group(
    files: Safetensors,
    group: _Group,
    shapes: dict[tuple[int, tuple[tuple[int, ...], ...]], list[Array]],
) -> list[Planned]:
    """The tensors that one rule makes for one block."""
    rule = group.rule
    experts = sorted(group.members)
    n_sources = 1 if isinstance(rule.source, str) else len(rule.source)
    sources = tuple(tuple(group.members[e][p] for p in sorted(group.members[e])) for e in experts)
    first = sources[0][0]

    def refuse(expected: str, found: str, kind: type[ModelFileError] = ModelFileError) -> Exception:
        return kind(files.path(first.name), f"tensor {quoted(first.name)}", expected, found)

    if any(len(stored) != n_sources for stored in sources):
        raise refuse(f"{n_sources} tensors that belong together", f"{len(sources[0])} of them")
    if experts[0] >= 0 and experts != list(range(len(experts))):
        raise refuse("one for each expert, from 0 on", f"experts {experts[:20]}")
    if any([s.shape for s in stored] != [s.shape for s in sources[0]] for stored in sources):
        raise refuse("one shape for all experts", "several")
    for stored in {s.dtype: s for part in sources for s in part}.values():
        if stored.dtype not in FLOATS and not (stored.dtype == "U8" and rule.change):
            raise refuse("weights of F32, F16 or BF16", f"{stored.dtype}", UnsupportedModelError)
    targets = (rule.target,) if isinstance(rule.target, str) else tuple(rule.target or ())
    key = (id(rule), tuple(s.shape for s in sources[0]))
    if key not in shapes:
        shapes[key] = _probe(rule, sources[0], len(targets), refuse)
    stack = (len(experts),) if experts[0] >= 0 else ()
    result = []
    for i, (target, output) in enumerate(zip(targets, shapes[key], strict=True)):
        name = target.replace("{i}", group.block) + group.kind
        shape = (*stack, *output.shape) or (1,)
        dtype = _dtype(rule, name, shape, sources)
        if not dtype.is_float:
            shape = (*shape[:-1], shape[-1] // dtype.size * dtype.block)
        if len(shape) > 4 or min(shape) < 1:
            raise refuse("1 to 4 dimensions above 0", str(shape))
        result.append(Planned(name, dtype, shape, sources, rule.change, i))
    return result


def _dtype(
    rule: Tensor, name: str, shape: tuple[int, ...], sources: tuple[tuple[Stored, ...], ...]
) -> DType:
    if rule.dtype is not None:
        return BY_NAME[rule.dtype]
    stored = {s.dtype for part in sources for s in part}
    known = stored <= {"F16", "BF16"} and len(stored) == 1
    return BY_NAME[stored.pop() if known and not stays_f32(name, shape) else "F32"]


def _probe(
    rule: Tensor,
    stored: tuple[Stored, ...],
    n_targets: int,
    refuse: Callable[[str, str], Exception],
) -> list[Array]:
    """Apply `change` to zeros in the shapes of the stored tensors; return arrays of its shapes."""
    zeros = [
        np.broadcast_to(np.zeros((), np.uint8 if s.dtype == "U8" else np.float32), s.shape)
        for s in stored
    ]
    if rule.change is None:
        return zeros[:1]
    try:
        with np.errstate(all="ignore"):
            outputs = _outputs(rule.change(*zeros))
    except FAILURES as error:
        shapes = " and ".join(str(list(s.shape)) for s in stored)
        raise refuse("the shape that config.json implies", f"{shapes} ({error})") from None
    if len(outputs) != n_targets:
        raise refuse(f"{n_targets} parts", f"{len(outputs)}")
    return [np.broadcast_to(np.zeros((), np.float32), output.shape) for output in outputs]


def _outputs(changed: Any) -> list[Array]:
    return [changed] if isinstance(changed, np.ndarray) else list(changed)
