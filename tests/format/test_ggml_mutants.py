"""Damaged old files: each opens and can be built, or is refused with our error, quickly."""

from __future__ import annotations

import random
import struct
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

import llmpy
from llmpy.arch.base import build
from llmpy.errors import LlmpyError
from llmpy.tokenizer import build_tokenizer
from tests.format.old_files import Old
from tests.format.tiny_old import tiny

NUMBERS = (0, 1, 3, 7, 31, 255, 65_535, 2**16 + 1, 2**24, 2**31 - 1, 2**31, 2**32 - 32, 2**32 - 1)


def fields(old: Old) -> list[int]:
    """Where the 32-bit numbers in front of the tensors, and of some tokens and records, stand."""
    empty = replace(old, tensors=[])
    start = len(replace(empty, tokens=[]).bytes())
    found = list(range(0, start, 4))
    for n in (0, 1, 100, 299):
        found.append(len(replace(empty, tokens=old.tokens[:n]).bytes()))
    for n in (0, 1, 5, len(old.tensors) - 1):
        at = len(replace(old, tensors=old.tensors[:n]).bytes())
        found += range(at, at + 4 * (3 + len(old.tensors[n].shape)), 4)
    return found


def mutants(old: Old) -> Iterator[tuple[str, bytes]]:
    data = old.bytes()
    for at in fields(old):
        for number in NUMBERS:
            yield f"{number} at {at}", data[:at] + struct.pack("<I", number) + data[at + 4 :]
    head = len(replace(old, tensors=old.tensors[:1]).bytes())
    dice = random.Random(old.architecture)
    for i in range(150):
        changed = bytearray(data)
        for _ in range(1 + i % 4):
            changed[dice.randrange(4, head)] = dice.randrange(256)
        yield f"noise {i}", bytes(changed)
    for i in range(60):
        cut = dice.randrange(5, len(data))
        yield f"cut {i}", data[:cut]
        yield f"hole {i}", data[: cut // 2] + data[cut:]
    yield "longer", data + b"\0"
    yield "much longer", data + bytes(64)


def outcome(path, data: bytes, architecture: str) -> str:
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*are read as F32")
            file = llmpy.open_model(path, architecture=architecture)
        with file:
            for name, info in file.tensors.items():
                assert len(file.data(name)) == info.size
            build(file, {name: info.shape for name, info in file.tensors.items()})
            build_tokenizer(file.metadata, path)
        return "opened"
    except LlmpyError as error:
        str(error).encode()
        return "refused"


@pytest.mark.parametrize("architecture", ["llama", "gptneox"])
@pytest.mark.parametrize(("container", "version"), [("GGML", 0), ("GGJT", 3)])
def test_every_mutant_opens_or_is_refused(tmp_path, architecture, container, version):
    old = tiny(architecture, container, version, "F16")
    assert outcome(tmp_path / "sound.bin", old.bytes(), architecture) == "opened"
    start = time.process_time()
    labels = []
    found: Counter[str] = Counter()
    for label, data in mutants(old):
        labels.append(label)
        found[outcome(tmp_path / "m.bin", data, architecture)] += 1
    assert time.process_time() - start < 60
    assert found.total() == len(set(labels)) > 500
    assert found["refused"] > 300
    assert found["opened"] > 50
