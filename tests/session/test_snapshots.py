"""Sessions in files: what goes on from one says the same; what is damaged is refused."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llmpy
from llmpy import sampling
from llmpy.backends.cpu.backend import CpuBackend
from llmpy.engine.saving import CacheSize
from llmpy.ffi import level_names, library
from llmpy.session.snapshot import open_snapshot
from tests.arch import checkpoints
from tests.session.conftest import STORIES
from tests.threads import finish

SIZES = [f.name for f in fields(CacheSize)]
PROMPT = "Once upon a time, there was a little girl named Lily."
CHAINS = [
    llmpy.greedy(),
    llmpy.default_chain(),
    llmpy.default_chain(repeat_penalty=1.3, last_n=20, logit_bias={5: -3.0, 7: float("-inf")}),
    llmpy.chain(sampling.mirostat2(tau=3.0)),
]
TOKENS = [int(t) for t in checkpoints.prompt(264, 130)]


@pytest.mark.parametrize("n", [0, 1, 30, 44, 45, 46, 150])
def test_a_loaded_session_says_what_the_saved_one_says(
    stories: llmpy.Model, tmp_path: Path, n: int
) -> None:
    saved = stories.session(seed=9)
    saved.infer(PROMPT, max_tokens=n)
    saved.save(tmp_path / "s")
    loaded = stories.load_session(tmp_path / "s")
    assert (loaded.tokens, loaded.seen, len(loaded)) == (saved.tokens, saved.seen, len(saved))
    for session in (saved, loaded):
        session.infer(max_tokens=70)
    assert loaded.tokens == saved.tokens
    assert loaded.text == saved.text


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("chain", CHAINS)
def test_sampler_and_random_numbers_go_on(
    fast_stories: llmpy.Model, tmp_path: Path, chain: llmpy.Chain, compression: str
) -> None:
    saved = fast_stories.session(sampler=chain, seed=2**64 - 1)
    saved.infer(PROMPT, max_tokens=20)
    saved.save(tmp_path / "s", compression=compression)
    loaded = fast_stories.load_session(tmp_path / "s")
    assert loaded.sampler.steps == chain.steps if isinstance(chain, llmpy.Chain) else True
    for session in (saved, loaded):
        session.infer(max_tokens=100)
    assert loaded.tokens == saved.tokens


@pytest.mark.parametrize("name", ["mamba2", "granitehybrid", "lfm2", "gemma3"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_recurrent_states_go_on(name: str, backend: str, tmp_path: Path) -> None:
    golden = checkpoints.load_golden(name)
    weights = golden.weights(checkpoints.spec(name))
    folder = checkpoints.write(tmp_path / "model", golden.about["config"], weights)
    with llmpy.load(folder, backend=backend, n_threads=2) as model:
        n = min(model.n_ctx - 20, len(TOKENS))
        saved = model.session(sampler=llmpy.greedy())
        saved.feed(TOKENS[:n])
        saved.save(tmp_path / "s")
        loaded = model.load_session(tmp_path / "s")
        assert loaded.seen == saved.seen == n - 1
        for session in (saved, loaded):
            session.infer(max_tokens=12)
        assert loaded.tokens == saved.tokens


def test_the_size_is_that_of_the_tokens(fast_stories: llmpy.Model, tmp_path: Path) -> None:
    sizes = {}
    for n in (2, 65, 128, 129, 193):
        session = fast_stories.session()
        session.feed([5] * n)
        session.save(tmp_path / "s")
        sizes[n] = (tmp_path / "s").stat().st_size - 4 * n
    per_token = (sizes[193] - sizes[129]) / 64
    assert per_token == pytest.approx((sizes[129] - sizes[65]) / 64, abs=0.5)
    assert sizes[129] - sizes[128] == pytest.approx(per_token, abs=16)
    assert sizes[2] < 2 * per_token + 1500


def test_nothing_is_saved_but_what_was_said(fast_stories: llmpy.Model, tmp_path: Path) -> None:
    """Neither what was taken back nor what other sessions left in the pages."""
    secret = fast_stories.session()
    secret.feed([9] * 200)
    secret.close()
    direct, roundabout = (fast_stories.session(sampler=llmpy.greedy(), seed=1) for _ in range(2))
    direct.feed(TOKENS[:50])
    roundabout.feed(TOKENS[:30] + [8] * 160)
    roundabout.rewind(30)
    roundabout.feed(TOKENS[30:50])
    direct.save(tmp_path / "direct")
    roundabout.save(tmp_path / "roundabout")
    assert (tmp_path / "direct").read_bytes() == (tmp_path / "roundabout").read_bytes()


def test_another_sampler_seed_or_overflow_may_take_the_place(
    fast_stories: llmpy.Model, tmp_path: Path
) -> None:
    saved = fast_stories.session(seed=1, overflow="shift")
    saved.feed(PROMPT)
    saved.save(tmp_path / "s")
    assert fast_stories.load_session(tmp_path / "s").makes_room
    assert not fast_stories.load_session(tmp_path / "s", overflow="error").makes_room
    other = fast_stories.load_session(tmp_path / "s", sampler=llmpy.greedy(), seed=5)
    expected = fast_stories.session(sampler=llmpy.greedy())
    for session in (other, expected):
        session.infer("" if session is other else PROMPT, max_tokens=20)
    assert other.tokens == expected.tokens


def test_a_step_of_ones_own_must_be_given_again(fast_stories: llmpy.Model, tmp_path: Path) -> None:
    saved = fast_stories.session(sampler=lambda logits, _session: logits)
    saved.feed(PROMPT)
    saved.save(tmp_path / "s")
    with pytest.raises(llmpy.SnapshotError, match=r"sampler: .*Pass it as sampler="):
        fast_stories.load_session(tmp_path / "s")
    assert len(fast_stories.load_session(tmp_path / "s", sampler=llmpy.greedy())) == len(saved)


# What is refused


@pytest.fixture
def small(fast_stories: llmpy.Model, tmp_path: Path) -> Path:
    session = fast_stories.session(sampler=llmpy.greedy(), seed=1)
    session.feed([1, 5])
    session.save(tmp_path / "small")
    return tmp_path / "small"


def test_every_bit_counts(fast_stories: llmpy.Model, small: Path) -> None:
    whole = small.read_bytes()
    places = [*range(0, len(whole), 7), len(whole) - 1]
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        small.write_bytes(changed)
        with pytest.raises(llmpy.SnapshotError):
            fast_stories.load_session(small)
    small.write_bytes(whole)
    assert len(fast_stories.load_session(small)) == 2


def test_a_part_of_a_file_is_refused(fast_stories: llmpy.Model, small: Path) -> None:
    whole = small.read_bytes()
    for n in [*range(0, len(whole), 11), len(whole) - 1]:
        small.write_bytes(whole[:n])
        with pytest.raises(llmpy.SnapshotError):
            fast_stories.load_session(small)
    small.write_bytes(whole + b"\0")
    with pytest.raises(llmpy.SnapshotError):
        fast_stories.load_session(small)


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The snapshot with other metadata, and a checksum that fits."""
    import hashlib

    data = path.read_bytes()
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n])
    change(header["__metadata__"])
    header["__metadata__"]["sha256"] = "0" * 64
    text = json.dumps(header).encode()
    digest = hashlib.sha256(text + hashlib.sha256(data[8 + n :]).digest()).hexdigest()
    text = text.replace(b"0" * 64, digest.encode(), 1)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + n :])
    return path


def about(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(metadata: dict[str, Any]) -> None:
        stored = json.loads(metadata["about"])
        metadata["about"] = json.dumps(stored | changes)

    return change


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda m: m.update(format="pt"), "format"),
        (lambda m: m.update(version="1"), "version"),
        (lambda m: m.pop("version"), "version"),
        (about(model="0" * 64), "model"),
        (about(layout="cpu/other/00000000"), "layout"),
        (about(cache={"n_tokens": 1}), "about.cache"),
        (about(cache=dict.fromkeys(SIZES, -1)), "about.cache"),
        (about(cache=dict.fromkeys(SIZES, 0)), "cache"),
        (about(n_tokens=7), "tokens"),
        (about(n_fed=-1), "n_fed"),
        (about(n_fed="2"), "n_fed"),
        (about(rng=[2**64, 0]), "rng"),
        (about(rng=None), "rng"),
        (about(sampler_state=[1.0]), "sampler_state"),
        (about(sampler_state=None), "sampler_state"),
        (about(sampler=[{"step": "Wild"}]), "sampler"),
        (about(sampler=[{"step": "TopK", "k": -1}]), "sampler"),
        (about(sampler=[{"step": "TopK", "n": 1}]), "sampler"),
        (about(sampler="greedy"), "sampler"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(
    fast_stories: llmpy.Model, small: Path, change: Callable[[dict[str, Any]], object], field: str
) -> None:
    with pytest.raises(llmpy.SnapshotError) as caught:
        fast_stories.load_session(rewritten(small, change))
    assert caught.value.field == field
    assert caught.value.path == str(small)


def test_an_unchanged_header_with_a_new_checksum_is_accepted(
    fast_stories: llmpy.Model, small: Path
) -> None:
    assert len(fast_stories.load_session(rewritten(small, about()))) == 2


@pytest.mark.parametrize("data", [b"", b"{}", b"GGUF" + bytes(60), b"\xff" * 100])
def test_another_file_is_none(fast_stories: llmpy.Model, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "other").write_bytes(data)
    with pytest.raises(llmpy.SnapshotError):
        fast_stories.load_session(tmp_path / "other")
    with pytest.raises(llmpy.SnapshotError, match="no such file"):
        fast_stories.load_session(tmp_path / "nowhere")


def test_another_model_is_refused_by_name(
    shared_data: Callable[[str], Path], small: Path, tmp_path: Path
) -> None:
    """One byte of one weight is another model, and so is another rotation."""
    copy = tmp_path / "copy.gguf"
    shutil.copy(shared_data(STORIES), copy)
    with llmpy.load(copy) as same:
        assert len(same.load_session(small)) == 2
    data = bytearray(copy.read_bytes())
    data[same.tensors["blk.2.ffn_up.weight"].offset] ^= 1
    copy.write_bytes(data)
    message = (
        r"model: expected one of 'copy.gguf' \(\w{16}\), found a snapshot of 'stories260K.gguf'"
    )
    with llmpy.load(copy) as other, pytest.raises(llmpy.SnapshotError, match=message):
        other.load_session(small)
    with (
        llmpy.load(shared_data(STORIES), rope={"freq_base": 5000.0}) as turned,
        pytest.raises(llmpy.SnapshotError, match="model"),
    ):
        turned.load_session(small)


def test_a_model_file_that_has_changed_is_not_taken_for_the_loaded_one(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    copy, file = tmp_path / "copy.gguf", tmp_path / "s"
    shutil.copy(shared_data(STORIES), copy)
    file.write_bytes(b"before")
    with llmpy.load(copy, mmap=False) as model:
        session = model.session()
        session.feed(PROMPT)
        copy.write_bytes(b"other")
        with pytest.raises(llmpy.SnapshotError, match="has changed since the model was loaded"):
            session.save(file)
    assert file.read_bytes() == b"before"
    assert {p.name for p in tmp_path.iterdir()} == {"copy.gguf", "s"}


def test_another_layout_is_refused_or_computed_again(
    fast_stories: llmpy.Model, shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    saved = fast_stories.session(sampler=llmpy.greedy())
    saved.infer(PROMPT, max_tokens=40)
    saved.save(tmp_path / "s")
    for options in ({"kv_dtype": "f32"}, {"backend": "reference"}):
        with llmpy.load(shared_data(STORIES), **options) as other:  # type: ignore[arg-type]
            with pytest.raises(llmpy.SnapshotError, match=r"layout: .*recompute=True"):
                other.load_session(tmp_path / "s")
            loaded = other.load_session(tmp_path / "s", recompute=True)
            assert (loaded.tokens, loaded.seen) == (saved.tokens, 0)
            expected = other.session(sampler=llmpy.greedy())
            expected.feed(saved.tokens)
            for session in (loaded, expected):
                session.infer(max_tokens=10)
            assert loaded.tokens == expected.tokens


def test_more_tokens_than_the_context_are_refused(
    fast_stories: llmpy.Model, shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    saved = fast_stories.session()
    saved.feed([5] * 100)
    saved.save(tmp_path / "s")
    with (
        llmpy.load(shared_data(STORIES), n_ctx=99) as short,
        pytest.raises(llmpy.SnapshotError, match=r"n_ctx: .*found 100\. Load it with n_ctx=100"),
    ):
        short.load_session(tmp_path / "s")


def test_where_pages_are_missing_tokens_are_computed_again(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    with llmpy.load(shared_data(STORIES), n_ctx=256, max_total_tokens=256) as model:
        saved = model.session(sampler=llmpy.greedy())
        saved.feed([5] * 150)
        saved.save(tmp_path / "s")
        loaded = model.load_session(tmp_path / "s")
        assert (loaded.tokens, loaded.seen) == (saved.tokens, 0)
        for session in (saved, loaded):
            session.infer(max_tokens=5)
        assert loaded.tokens == saved.tokens


def test_a_pool_that_does_not_tell_bytes_apart_keeps_whole_pages(
    fast_stories: llmpy.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_stories._engine.pool, "slots", lambda: None)
    saved = fast_stories.session(seed=4)
    saved.infer(PROMPT, max_tokens=80)
    saved.save(tmp_path / "s")
    loaded = fast_stories.load_session(tmp_path / "s")
    assert loaded.seen == saved.seen // 64 * 64
    for session in (saved, loaded):
        session.infer(max_tokens=10)
    assert loaded.tokens == saved.tokens


def test_a_failed_load_leaves_no_pages(fast_stories: llmpy.Model, small: Path) -> None:
    before = fast_stories._engine.pool.in_use
    with pytest.raises(llmpy.SnapshotError):
        fast_stories.load_session(rewritten(small, about(n_fed=99)))
    assert fast_stories._engine.pool.in_use == before


def test_without_the_package_compression_says_what_to_do(
    fast_stories: llmpy.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = fast_stories.session()
    session.feed(PROMPT)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(ImportError, match="pip install zstandard"):
        session.save(tmp_path / "s", compression="zstd")
    with pytest.raises(ValueError, match="compression: expected one of none, zstd, found 'gzip'"):
        session.save(tmp_path / "s", compression="gzip")
    assert not (tmp_path / "s").exists()


def test_a_session_in_use_is_not_saved_and_a_closed_one_never(
    fast_stories: llmpy.Model, tmp_path: Path
) -> None:
    session = fast_stories.session()
    entered, left = threading.Event(), threading.Event()

    def wait(_piece: llmpy.Piece) -> None:
        entered.set()
        left.wait(10)

    thread = threading.Thread(target=session.infer, args=(PROMPT, wait), kwargs={"max_tokens": 2})
    thread.start()
    entered.wait(10)
    with pytest.raises(llmpy.SessionInUse):
        session.save(tmp_path / "s")
    left.set()
    finish(thread)
    session.close()
    with pytest.raises(llmpy.SessionClosed):
        session.save(tmp_path / "s")


def test_what_was_said_is_played_back(fast_stories: llmpy.Model, tmp_path: Path) -> None:
    session = fast_stories.session(seed=3)
    pieces = [p for p in session.stream(PROMPT, max_tokens=10) if p.kind != "end"]
    session.save(tmp_path / "s")
    played = list(fast_stories.load_session(tmp_path / "s").playback())
    assert [p.token for p in played] == [p.token for p in pieces]
    assert [p.kind for p in played] == [p.kind for p in pieces]
    assert "".join(p.text for p in played) == "".join(p.text for p in pieces)


def test_a_snapshot_is_safetensors_that_others_can_read(
    fast_stories: llmpy.Model, tmp_path: Path
) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    session = fast_stories.session()
    session.feed(TOKENS[:70])
    session.save(tmp_path / "s")
    tensors = safetensors.load_file(tmp_path / "s")
    np.testing.assert_array_equal(tensors["tokens"], TOKENS[:70])
    snapshot = open_snapshot(tmp_path / "s")
    assert b"".join(snapshot.pieces()) == tensors["cache"].tobytes()
    snapshot.file.close()


@pytest.mark.parametrize("kv_dtype", ["int14", "f32", "q8_0"])
def test_another_instruction_set_goes_on_or_says_why_not(
    shared_data: Callable[[str], Path], tmp_path: Path, kv_dtype: str
) -> None:
    runs = library().llmpy_level_runs_here
    levels = [name for i, name in enumerate(level_names()) if i and runs(i)]  # 0 is portable
    with llmpy.load(
        shared_data(STORIES), backend=CpuBackend(level="portable"), kv_dtype=kv_dtype
    ) as model:
        saved = model.session(sampler=llmpy.greedy())
        saved.infer(PROMPT, max_tokens=40)
        saved.save(tmp_path / "s")
        layout = model._engine.pool.kv.layout
        tokens = saved.tokens
    for level in levels:
        with llmpy.load(
            shared_data(STORIES), backend=CpuBackend(level=level), kv_dtype=kv_dtype
        ) as other:
            if other._engine.pool.kv.layout == layout:
                loaded = other.load_session(tmp_path / "s")
                assert loaded.seen == len(tokens) - 1
            else:
                assert level in ("avx_vnni", "avx512", "amx")
                assert kv_dtype == "q8_0"
                with pytest.raises(llmpy.SnapshotError, match=r"q8_0-offset.*instruction set"):
                    other.load_session(tmp_path / "s")
                loaded = other.load_session(tmp_path / "s", recompute=True)
            fresh = other.session(sampler=llmpy.greedy())
            fresh.feed(tokens)
            for session in (loaded, fresh):
                session.infer(max_tokens=20)
            assert loaded.text == fresh.text
