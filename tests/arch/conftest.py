"""Tiny models, written once and loaded once for each backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.arch import tiny
from tests.arch.steps import Runner, load, make_backend

Load = Callable[..., Runner]


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    folder, made = tmp_path_factory.mktemp("tiny"), {}

    def find(variant: tiny.Variant, dtype: str = "F32") -> Path:
        name = f"{variant.name}-{dtype}.gguf"
        if name not in made:
            made[name] = tiny.write(folder / name, variant, dtype)
        return made[name]

    return find


@pytest.fixture(scope="session")
def loaded(tiny_file: Callable[..., Path]) -> Load:
    """`loaded(variant, backend name, weight type, type of keys and values, threads)`."""
    made: dict[tuple[object, ...], Runner] = {}

    def find(
        variant: tiny.Variant,
        backend: str,
        dtype: str = "F32",
        kv_dtype: str = "f32",
        n_threads: int = 2,
    ) -> Runner:
        key = (variant.name, backend, dtype, kv_dtype, n_threads)
        if key not in made:
            engine = make_backend(backend, n_threads)
            made[key] = load(tiny_file(variant, dtype), engine, kv_dtype)
        return made[key]

    return find
