"""Two thousand damaged files: each opens, or is refused with our error, quickly."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmpy.errors import ModelFileError
from llmpy.format import open_gguf
from tests.format.mutants import mutants
from tools import random_gguf


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> bytes:
    """A tiny random model, so that this test needs no files from elsewhere."""
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    random_gguf.make("tiny", path, dtype="Q4_0", vocabulary=None, seed=0)
    return path.read_bytes()


def outcome(path: Path, data: bytes) -> str:
    path.unlink(missing_ok=True)  # some file systems flush a file that is cut and written again
    path.write_bytes(data)
    try:
        with open_gguf(path) as file:
            for name, info in file.tensors.items():
                assert len(file.data(name)[-1:].tobytes()) == 1 <= info.size
            return "opened" if file.tensors else "no tensors"
    except ModelFileError as error:
        str(error).encode()
        return "refused"


def test_every_mutant_opens_or_is_refused(sound, tmp_path):
    start = time.process_time()
    found = Counter(outcome(tmp_path / "m.gguf", data) for _, data in mutants(sound))
    assert time.process_time() - start < 20
    assert found.total() >= 1500
    assert found["refused"] > 1000
    assert found["opened"] > 500


def test_mutants_are_distinctly_labelled_and_the_same_each_time(sound):
    first = [(label, hash(data)) for label, data in mutants(sound)]
    assert first == [(label, hash(data)) for label, data in mutants(sound)]
    assert len({label for label, _ in first}) == len(first)


def test_the_sound_file_rebuilt_still_opens(sound, tmp_path):
    label, data = next(mutants(sound))
    assert label == "rebuilt"
    assert outcome(tmp_path / "m.gguf", sound) == outcome(tmp_path / "m.gguf", data) == "opened"


@settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    version=st.integers(0, 4),
    counts=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    rest=st.lists(
        st.one_of(
            st.integers(0, 13).map(lambda n: n.to_bytes(4, "little")),
            st.integers(0, 40).map(lambda n: n.to_bytes(8, "little")),
            st.binary(max_size=20),
        ),
        max_size=30,
    ),
)
def test_whatever_follows_the_magic_is_read_or_refused(tmp_path, version, counts, rest):
    head = b"GGUF" + version.to_bytes(4, "little")
    width = 4 if version == 1 else 8
    data = head + b"".join(n.to_bytes(width, "little") for n in counts) + b"".join(rest)
    assert outcome(tmp_path / "m.gguf", data) in ("opened", "no tensors", "refused")
