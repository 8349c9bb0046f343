"""Finding the files of a model: in a package, a repository or a folder, from their names alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from llmpy.errors import PullError
from llmpy.hub.names import readable_name
from llmpy.machine.memory import readable_bytes

__all__ = ["Variant", "chosen", "fitting", "variants"]

_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
_QUANT = re.compile(
    r"(?:^|[-._/])((?:UD-)?(?:I?Q[1-8](?:_[A-Z0-9]+)*|TQ[12]_0|MXFP4(?:_MOE)?|BF16|FP?16|FP?32))"
    r"(?=$|[-._/])",
    re.IGNORECASE,
)
_PLAIN = {"FP16": "F16", "FP32": "F32"}
_ASIDE = re.compile(r"(?:^|[-._/])(?:mmproj|imatrix)(?=[-._/])|vocab", re.IGNORECASE)
_WEIGHTS = re.compile(r"(?:model|pytorch_model)(?:-\d{5}-of-\d{5})?\.safetensors")
_BESIDE = re.compile(
    r"[^/]*\.(?:json|txt|model|jinja)|1_Pooling/config\.json|merges\.txt|LICENSE[^/]*|README\.md",
    re.IGNORECASE,
)
WIDE = ("F16", "BF16", "F32")  # slower than 8 bits, and hardly more accurate
CHECKPOINT = "safetensors"


@dataclass(frozen=True, slots=True)
class Variant:
    """One model among files: its label ("Q4_K_M"), its files in order, their bytes."""

    label: str
    files: tuple[str, ...]
    size: int

    @property
    def is_checkpoint(self) -> bool:
        """Whether it is the folder of a checkpoint, and no GGUF file."""
        return self.label == CHECKPOINT


def variants(sizes: dict[str, int]) -> list[Variant]:
    """Return the models among files, whose sizes are given by name: GGUF files, and a checkpoint.

    The parts of a GGUF model are one; projectors and importance matrices are none.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(sizes):
        if name.lower().endswith(".gguf") and not _ASIDE.search(name):
            part = _PART.fullmatch(name)
            groups.setdefault(f"{part[1]}.gguf" if part else name, []).append(name)
    found = []
    for name, files in groups.items():
        last = _PART.fullmatch(files[-1])
        if last is None or int(last[3]) == len(files):  # with all its parts
            size = sum(sizes[file] for file in files)
            found.append(Variant(quantization(name) or name, tuple(files), size))
    if "config.json" in sizes and any(_WEIGHTS.fullmatch(name) for name in sizes):
        names = [n for n in sorted(sizes) if _WEIGHTS.fullmatch(n) or _BESIDE.fullmatch(n)]
        found.append(Variant(CHECKPOINT, tuple(names), sum(sizes[name] for name in names)))
    return found


def quantization(name: str) -> str | None:
    """The type of weights that a file's name tells: "Q4_K_M"; None where it tells none."""
    found = _QUANT.findall(re.sub(r"\.gguf$", "", name, flags=re.IGNORECASE))
    return _PLAIN.get(found[-1].upper(), found[-1].upper()) if found else None


def chosen(found: Iterable[Variant], wanted: str, source: str) -> Variant:
    """Return the variant of a label or a file's name; PullError with all labels for another."""
    known = list(found)
    key = wanted.lower()
    for test in (
        lambda v: v.files[0].lower() == key,
        lambda v: v.label.lower() == _PLAIN.get(wanted.upper(), wanted).lower(),
        lambda v: v.files[0].lower().rpartition("/")[2] in (key, f"{key}.gguf"),
    ):
        if hits := [variant for variant in known if test(variant)]:
            if len(hits) > 1:
                names = ", ".join(readable_name(hit.files[0]) for hit in hits[:12])
                raise PullError(
                    f"{source}: {readable_name(wanted)!r} means several files; give one's name: "
                    f"{names}"
                )
            return hits[0]
    raise PullError(f"{source}: expected one of {_listed(known)}, found {readable_name(wanted)!r}")


def fitting(found: Iterable[Variant], memory: int | None, source: str) -> Variant:
    """Return the most accurate variant that leaves the machine room.

    Of those up to 8 bits a weight the largest that takes at most half of `memory` (bytes; None:
    unknown), else the smallest, if memory can hold it at all; wider ones only where there is
    nothing else. A checkpoint is taken where there is no GGUF file.
    """
    known = list(found)
    gguf = [variant for variant in known if not variant.is_checkpoint]
    narrow = [variant for variant in gguf if variant.label not in WIDE]
    candidates = sorted(narrow or gguf or known, key=lambda variant: variant.size)
    if not candidates:
        raise PullError(
            f"{source}: expected a GGUF file, or config.json with safetensors; found neither"
        )
    if memory is None:
        return candidates[len(candidates) // 2]
    comfortable = [variant for variant in candidates if variant.size <= memory // 2]
    best = comfortable[-1] if comfortable else candidates[0]
    if best.size > memory:
        raise PullError(
            f"{source}: even the smallest, {readable_name(best.label)} with "
            f"{readable_bytes(best.size)}, does not fit into the {readable_bytes(memory)} of free "
            f"memory; name one to take it all the same: {_listed(known)}"
        )
    return best


def _listed(known: list[Variant]) -> str:
    few = ", ".join(f"{readable_name(v.label)} ({readable_bytes(v.size)})" for v in known[:40])
    return few or "no model at all"
