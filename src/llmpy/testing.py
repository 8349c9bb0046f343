"""Checks of a backend that anybody wrote: `check_backend` tries all that `Backend` promises.

Small random models go through the backend and through the reference. An AssertionError says what
was expected and what found; docs/backends.md has an example.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from llmpy import ffi
from llmpy.backends.base import (
    PAGE_TOKENS,
    Backend,
    Batch,
    Determinism,
    MemoryPool,
    Sampling,
    WindowedPool,
)
from llmpy.backends.reference.backend import ReferenceBackend
from llmpy.dtypes import BY_NAME, DType
from llmpy.engine.cache import PagedState, PagePool
from llmpy.engine.history import History
from llmpy.errors import BackendError
from llmpy.graph import Graph, Value, Weights
from llmpy.graph.check import finish
from llmpy.graph.rope import Rope
from llmpy.sampling import NativeChain, Rng
from llmpy.sampling.temperatures import Greedy, Temperature
from llmpy.sampling.truncation import TopK

__all__ = ["Checked", "check_backend"]

N_CTX = 256
N_VOCAB, N_EMBD = 96, 32
LONG = 2 * PAGE_TOKENS + 23  # tokens: across two borders between pages
Array = NDArray[np.float32]
Trace = Callable[[Value, Weights], Value]


@dataclass(frozen=True)
class Checked:
    """The operations that the backend computed, and those that it refused to compile."""

    operations: tuple[str, ...]
    missing: tuple[str, ...]


def check_backend(backend: Backend, *, tolerance: float = 1e-3) -> Checked:
    """Check that the backend fulfils its contract; raise AssertionError if not.

    `tolerance`: largest difference of logits from the reference backend's, relative to the largest
    logit. The backend must be able to run a Llama: embed, rms_norm, linear, heads, flatten, rope,
    cached, attend, silu, mul and add; the result names the other operations that it supports. It is
    tested with several sequences, batches and pages, and compared bit by bit if it is "bitwise".
    """
    _check_members(backend)
    for kv_dtype in backend.kv_dtypes:
        _check_sizes(backend, kv_dtype)
    llama = _Model(backend, _llama, tolerance)
    for check in (
        _check_prompt, _check_chunks, _check_batches, _check_output_rows, _check_repeats,
        _check_old_pages, _check_forks, _check_windows, _check_bytes, _check_refusals,
        _check_generate, _check_drawn, _check_sparse, _check_close,
    ):  # fmt: skip
        check(llama)
    for kv_dtype in backend.kv_dtypes:
        rounded = _Model(backend, _llama, max(tolerance, 0.2), kv_dtype)
        _check_prompt(rounded)
        _check_chunks(rounded)
        _check_bytes(rounded)
    done, missing = set[str](), set[str]()
    for trace in (_elementwise, _recurrent, _experts, _encoder):
        used = _operations(trace)
        try:
            model = _Model(backend, trace, tolerance)
        except BackendError:
            missing |= used
            continue
        done |= used
        _check_prompt(model)
        if model.graph.recurrences:
            _check_chunks(model)
            _check_forks(model)
            _check_bytes(model)
            _check_old_states(model)
    done |= _operations(_llama)
    return Checked(tuple(sorted(done)), tuple(sorted(missing - done)))


# Models


def _llama(x: Value, w: Weights) -> Value:
    """Two layers of a Llama."""
    for i in range(2):
        layer = w.blk[i]
        y = x.rms_norm(layer.norm, 1e-5)
        q, k, v = (y.linear(m).heads(n) for m, n in ((layer.q, 4), (layer.k, 2), (layer.v, 2)))
        rope = Rope(8, neox=bool(i))
        y = q.rope(rope).attend(k.rope(rope).cached(), v.cached(), window=50 * i)
        x = x + y.linear(layer.o)
        y = x.rms_norm(layer.norm2, 1e-5)
        x = x + (y.linear(layer.gate).silu() * y.linear(layer.up)).linear(layer.down)
    return x.rms_norm(w.norm, 1e-5).linear(w.output)


def _elementwise(x: Value, w: Weights) -> Value:
    """Operations of one value, and views."""
    y = x.layer_norm(w.norm, 1e-5) + x.scale(0.5).tanh()
    y = y.add(w.norm) + y.mul(w.norm) + (y.sigmoid() * y.sum())
    y = y.clamp(-3.0, 3.0).gelu() + y.gelu_exact() + y.relu() + y.clamp(-9.0, 2.0).exp()
    a, b = y.softplus().split(N_EMBD // 2, N_EMBD // 2)
    return b.concat(a).heads(4).repeat(8).flatten().slice(3, N_EMBD).linear(w.output)


def _recurrent(x: Value, w: Weights) -> Value:
    """Operations with a state."""
    y = x + x.previous() + x.conv(w.conv)
    heads = y.heads(4)
    dt = x.slice(0, 4).softplus()
    b, c = x.slice(0, 16).heads(2), x.slice(16, 16).heads(2)
    y = y + heads.scan(dt, b, c, w.a, w.d).flatten()
    decay = heads.sigmoid()
    y = y + heads.delta_rule(decay, heads.tanh(), heads, heads.tanh(), heads.scale(-0.1)).flatten()
    return (y + y.scale(0.1).wkv4(y, w.first, w.decay)).linear(w.output)


def _experts(x: Value, w: Weights) -> Value:
    """Routing and a mixture of experts."""
    router_weights = x.linear(w.router).route(2)
    return x.moe(router_weights, w.gates, w.ups, w.downs, 2).linear(w.output)


def _encoder(x: Value, w: Weights) -> Value:
    """Attention that looks at what comes after, and positions by a table."""
    y = x + x.graph.tokens().embed_position(w.position)
    return (
        y.heads(4).attend(y.heads(4).cached(), y.heads(4).cached(), causal=False).linear(w.output)
    )


SHAPES: dict[str, tuple[int, ...]] = {
    "token.weight": (N_VOCAB, N_EMBD), "norm.weight": (N_EMBD,), "output.weight": (N_VOCAB, N_EMBD),
    "conv.weight": (N_EMBD, 4), "a": (4, 1), "d": (4,), "first.weight": (N_EMBD,),
    "decay.weight": (N_EMBD,), "router.weight": (6, N_EMBD), "gates.weight": (6, 24, N_EMBD),
    "ups.weight": (6, 24, N_EMBD), "downs.weight": (6, N_EMBD, 24),
    "position.weight": (N_CTX, N_EMBD),
}  # fmt: skip
for _i in range(2):
    SHAPES |= {
        f"blk.{_i}.{name}.weight": shape
        for name, shape in {
            "norm": (N_EMBD,), "norm2": (N_EMBD,), "q": (32, N_EMBD), "k": (16, N_EMBD),
            "v": (16, N_EMBD), "o": (N_EMBD, 32), "gate": (48, N_EMBD), "up": (48, N_EMBD),
            "down": (N_EMBD, 48),
        }.items()
    }  # fmt: skip
_NEGATIVE = ("a", "decay.weight")


def _values(name: str) -> Array:
    """Weights of a usual size, the same for each call."""
    seed = sum(name.encode()) + len(name)
    values = np.random.Generator(np.random.PCG64(seed)).standard_normal(SHAPES[name], np.float32)
    if name in _NEGATIVE:
        return -np.abs(values)
    scale = values.shape[-1] ** -0.5 if values.ndim > 1 else 0.25
    return (values * scale + (values.ndim == 1)).astype(np.float32)


@dataclass(frozen=True)
class _Tensor:
    """A float32 tensor, as a file would have it."""

    shape: tuple[int, ...]
    dtype: DType = BY_NAME["F32"]

    @property
    def size(self) -> int:
        return 4 * int(np.prod(self.shape))


TENSORS = {name: _Tensor(shape) for name, shape in SHAPES.items()}


def _graph(trace: Trace) -> Graph:
    graph, top = Graph(SHAPES), Weights(SHAPES, n_blocks=2)
    return finish(graph, trace(graph.tokens().embed(top.token), top), harmless=["*"])


def _operations(trace: Trace) -> set[str]:
    return {node.op for node in _graph(trace).nodes}


def _buffers(backend: Backend, graph: Graph) -> dict[str, Any]:
    """Upload what a graph reads, and see that all of it becomes ready."""
    buffers = {}
    for name, uses in graph.used.items():
        data = np.ascontiguousarray(_values(name)).reshape(-1).view(np.uint8)
        data.setflags(write=False)
        buffers[name] = backend.upload(name, BY_NAME["F32"], SHAPES[name], data, frozenset(uses))
    released: list[str] = []
    ready = sorted(backend.prepare(released.append))
    _equal("names that prepare() gives", ready, sorted(graph.used))
    _true("prepare() releases tensors that were uploaded", set(released) <= graph.used.keys())
    return buffers


Part = tuple[PagedState, Sequence[int]]  # a cache, and the tokens that come next


class _Model:
    """A model on the backend, and what the reference says of it."""

    def __init__(
        self, backend: Backend, trace: Trace, tolerance: float, kv_dtype: str = "f32"
    ) -> None:
        self.backend, self.tolerance, self.kv_dtype = backend, tolerance, kv_dtype
        self.trace, self.graph = trace, _graph(trace)
        self.buffers = _buffers(backend, self.graph)
        self.kv = backend.kv_pool(self.graph, kv_dtype)
        self.plan = backend.compile(self.graph, self.buffers, self.kv, n_ctx=N_CTX)
        _equal("n_vocab of the plan", self.plan.n_vocab, N_VOCAB)
        self.pool = PagePool(self.kv)
        self.bitwise = backend.determinism == "bitwise"
        self.lengths = weakref.WeakKeyDictionary[PagedState, int]()  # tokens computed so far

    def cache(self) -> PagedState:
        return PagedState(self.pool, N_CTX)

    def step(self, parts: Sequence[Part], output_rows: Sequence[int] | None = None) -> Array:
        """One batch; the logits of all rows, or of those in `output_rows`."""
        starts = [self.lengths.get(cache, 0) for cache, _ in parts]
        for (cache, tokens), start in zip(parts, starts, strict=True):
            cache.prepare(start, start + len(tokens))
        n = sum(len(tokens) for _, tokens in parts)
        columns = (
            [token for _, tokens in parts for token in tokens],
            [at + i for (_, t), at in zip(parts, starts, strict=True) for i in range(len(t))],
            [i for i, (_, tokens) in enumerate(parts) for _ in tokens],
            range(n) if output_rows is None else output_rows,
        )
        batch = Batch(*(np.array(column, np.int32) for column in columns))
        logits = self.plan.run(batch, [cache for cache, _ in parts]).logits()
        for (cache, tokens), start in zip(parts, starts, strict=True):
            self.lengths[cache] = start + len(tokens)
            cache.done(start + len(tokens))
        _equal("shape of the logits", logits.shape, (len(batch.output_rows), N_VOCAB))
        _equal("type of the logits", logits.dtype, np.dtype(np.float32))
        return np.array(logits)

    def read(self, tokens: Sequence[int], chunks: Sequence[int]) -> Array:
        """All logits of a new sequence, computed in steps of these sizes."""
        cache, at, rows = self.cache(), 0, []
        for n in chunks:
            rows.append(self.step([(cache, tokens[at : at + n])]))
            at += n
        self.release(cache)
        return np.concatenate(rows)

    def release(self, cache: PagedState) -> None:
        self.lengths.pop(cache, None)
        cache.keep(0)

    def same(self, what: str, found: Array, expected: Array) -> None:
        """Bitwise equal for a "bitwise" backend; else near."""
        if self.bitwise and not np.array_equal(found, expected):
            distance = np.abs(found - expected).max() / np.abs(expected).max()
            raise AssertionError(
                f"{self.backend.name}: {what}: expected bitwise equal results of a backend "
                f'that is "bitwise", found a difference of {distance:.1e} of the largest logit'
            )
        self.near(what, found, expected)

    def near(self, what: str, found: Array, expected: Array) -> None:
        distance = float(np.abs(found - expected).max() / np.abs(expected).max())
        if not distance <= self.tolerance:
            raise AssertionError(
                f"{self.backend.name}: {what} (keys and values of {self.kv_dtype}): expected "
                f"logits within {self.tolerance:.0e} of the largest, found a difference of "
                f"{distance:.1e}"
            )


def _prompt(n: int, seed: int = 0) -> list[int]:
    random = np.random.Generator(np.random.PCG64(seed))
    return [int(token) for token in random.integers(0, N_VOCAB, n)]


TOKENS = _prompt(LONG)


def _equal(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise AssertionError(f"{what}: expected {expected}, found {found}")


def _true(what: str, holds: bool) -> None:
    if not holds:
        raise AssertionError(f"expected that {what}")


def _refuses(what: str, error: type[Exception], call: Callable[[], object]) -> None:
    try:
        call()
    except error:
        return
    except Exception as other:
        raise AssertionError(f"{what}: expected {error.__name__}, found {other!r}") from other
    raise AssertionError(f"{what}: expected {error.__name__}, found no error")


# Checks


def _check_members(backend: Backend) -> None:
    _true("the backend has a name", isinstance(backend.name, str) and bool(backend.name))
    _true('"f32" is one of its kv_dtypes', "f32" in backend.kv_dtypes)
    _true(
        f"determinism is one of {get_args(Determinism)}",
        backend.determinism in get_args(Determinism),
    )


def _check_sizes(backend: Backend, kv_dtype: str) -> None:
    """Requirements are what pools and uploads take."""
    for trace in (_llama, _recurrent):
        graph = _graph(trace)
        needs, pool = (
            backend.requirements(graph, TENSORS, kv_dtype),
            backend.kv_pool(graph, kv_dtype),
        )
        _equal(f"requirements().page of {kv_dtype}", needs.page, pool.pages.n_bytes)
        _equal("requirements().recurrent", needs.recurrent, pool.states.n_bytes)
        windowed = pool.windowed.n_bytes if isinstance(pool, WindowedPool) else 0
        _equal(f"requirements().windowed of {kv_dtype}", needs.windowed, windowed)
        n_bytes = sum(TENSORS[name].size for name in graph.used)
        _true(
            f"{n_bytes} bytes of float32 weights need from an eighth to twice as much, "
            f"not {needs.weights}",
            n_bytes / 8 <= needs.weights <= 2 * n_bytes,
        )
        _true("free memory is a number or None", needs.available is None or needs.available > 0)
        values = PAGE_TOKENS * sum(int(np.prod(cache.shape)) for cache in graph.caches)
        n_bytes = needs.page + needs.windowed
        _true("a page has at least a bit for each value", 8 * n_bytes >= values)


def _check_prompt(model: _Model) -> None:
    """Logits are the reference's."""
    exact = _Model(ReferenceBackend(), model.trace, 0.0).read(TOKENS, [LONG])
    model.near("a prompt", model.read(TOKENS, [LONG]), exact)


def _check_chunks(model: _Model) -> None:
    """A prompt in pieces is a prompt."""
    whole = model.read(TOKENS, [LONG])
    for chunks in ([1] * LONG, [PAGE_TOKENS - 1, 2, LONG - PAGE_TOKENS - 1]):
        model.same(f"a prompt in {len(chunks)} steps", model.read(TOKENS, chunks), whole)


def _check_batches(model: _Model) -> None:
    """Sequences in one batch are as alone."""
    prompts = [TOKENS, _prompt(70, 1), _prompt(3, 2)]
    alone = [model.read(tokens, [len(tokens)]) for tokens in prompts]
    a, b, c = (model.cache() for _ in prompts)
    first = model.step([(b, prompts[1][:60]), (a, prompts[0][:30])])
    second = model.step([(c, prompts[2]), (a, prompts[0][30:]), (b, prompts[1][60:])])
    expected = [alone[1][:60], alone[0][:30], alone[2], alone[0][30:], alone[1][60:]]
    found = np.concatenate([first, second])
    model.same("three sequences in one batch", found, np.concatenate(expected))
    one = model.step([(cache, [7]) for cache in (a, b, c)])
    cache = model.cache()
    model.step([(cache, prompts[1])])
    model.same("a token of each sequence", one[1:2], model.step([(cache, [7])]))


def _check_output_rows(model: _Model) -> None:
    """Logits are those of the rows that are asked for, of this step."""
    whole = model.read(TOKENS, [LONG])
    for output_rows in ([LONG - 1], [0, 17, PAGE_TOKENS], [], [3]):
        found = model.step([(model.cache(), TOKENS)], output_rows)
        if output_rows:
            model.same(f"the logits of rows {output_rows}", found, whole[output_rows])
    cache = model.cache()
    for i in range(3):
        model.same(f"token {i} alone", model.step([(cache, TOKENS[i : i + 1])]), whole[i : i + 1])


def _check_repeats(model: _Model) -> None:
    """The same calls give bitwise equal results."""
    first, second = (model.read(TOKENS, [50, 1, LONG - 51]) for _ in range(2))
    _true("the same steps give bitwise equal results twice", np.array_equal(first, second))


def _check_old_pages(model: _Model) -> None:
    """Check that the former content of a page is never read."""
    expected, cache = model.read(TOKENS, [80, LONG - 80]), model.cache()
    cache.prepare(0, LONG)
    for page in cache.pages:
        model.pool.write(page, True, bytes([0xFF]) * model.pool.page_bytes)  # no numbers at all
    cache.done(0)
    found = [model.step([(cache, part)]) for part in (TOKENS[:80], TOKENS[80:])]
    model.same("a prompt over pages that were used before", np.concatenate(found), expected)


def _check_old_states(model: _Model) -> None:
    """A new state is as before the first token, also where memory is used again."""
    expected = model.read(TOKENS, [LONG])
    for _ in range(3):
        model.same("a sequence after others ended", model.read(TOKENS, [LONG]), expected)


def _check_forks(model: _Model) -> None:
    """A copy goes its own way, and leaves its origin alone."""
    ends = [_prompt(20, 3), _prompt(20, 4)]
    alone = [model.read(TOKENS[:80] + end, [80, 15, 5])[80:] for end in ends]
    origin = model.cache()
    model.step([(origin, TOKENS[:80])])
    branch = origin.fork()
    model.lengths[branch] = 80
    turns = ((branch, ends[1][:15]), (origin, ends[0]), (branch, ends[1][15:]))
    found = [model.step([turn]) for turn in turns]
    model.same("a fork", found[0], alone[1][:15])
    model.same("what was forked", found[1], alone[0])
    model.same("a fork that goes on", found[2], alone[1][15:])


def _check_windows(model: _Model) -> None:
    """Check that what no window shows any more is freed, and not read."""
    if not isinstance(model.kv, WindowedPool) or not model.kv.window:
        return
    tokens = _prompt(N_CTX - 2, 5)
    whole, cache, rows = model.read(tokens, [len(tokens)]), model.cache(), []
    for start in range(0, len(tokens), 40):
        part = tokens[start : start + 40]
        rows.append(model.step([(cache, part)]))
        cache.pass_by(start + len(part))
    _true("pages of layers with a window are freed", cache.n_far > 0)
    model.same("a prompt whose old pages are freed", np.concatenate(rows), whole)
    model.release(cache)


def _check_bytes(model: _Model) -> None:
    """Pages and states as bytes go on in another pool of the same layout."""
    other = _Model(model.backend, model.trace, model.tolerance, model.kv_dtype)
    _equal("layout of a second pool", other.kv.layout, model.kv.layout)
    origin, copy = model.cache(), other.cache()
    model.step([(origin, TOKENS[:80])])
    copy.prepare(0, 80)
    for page, to in zip(origin.pages, copy.pages, strict=True):
        _move(model.kv.pages, page.id, other.kv.pages, to.id)
        if isinstance(model.kv, WindowedPool) and isinstance(other.kv, WindowedPool):
            _move(model.kv.windowed, page.windowed, other.kv.windowed, to.windowed)
    if origin.state:
        _move(model.kv.states, origin.state, other.kv.states, copy.state)
    copy.done(80)
    other.lengths[copy] = 80
    rest = TOKENS[80:]
    found, expected = other.step([(copy, rest)]), model.step([(origin, rest)])
    model.same("a sequence from its bytes", found, expected)


def _move(source: MemoryPool, piece: int, target: MemoryPool, to: int) -> None:
    data = source.read(piece)
    _equal("type of read()", type(data), bytes)
    _equal("length of read()", len(data), source.n_bytes)
    target.write(to, data)
    _true("read() gives what write() was given", target.read(to) == data)


def _check_refusals(model: _Model) -> None:
    """Check that wrong arguments are refused, and change nothing."""
    pages, cache = model.kv.pages, model.cache()
    expected = model.step([(cache, TOKENS[:10])])
    ids = {pages.allocate() for _ in range(3)}
    _true("ids are different numbers from 1 to 2**64 - 1", _are_ids(ids | {cache.pages[0].id}, 4))
    unknown = 1 + max(ids | {page.id for page in cache.pages})
    _refuses("read() of an id that is none", ValueError, lambda: pages.read(unknown))
    _refuses("write() to one", ValueError, lambda: pages.write(unknown, bytes(pages.n_bytes)))
    page = ids.pop()
    _refuses("write() of other sizes", ValueError, lambda: pages.write(page, bytes(1)))
    for piece in (page, *ids):
        pages.free(piece)
    for what, batch in WRONG.items():
        arrays = Batch(*(np.array(column, np.int32) for column in batch))
        _refuses(what, ValueError, lambda arrays=arrays: model.plan.run(arrays, [cache]))  # type: ignore[misc]
    model.same("a step after refused ones", model.step([(model.cache(), TOKENS[:10])]), expected)
    wrong = model.backend.kv_pool(_graph(_recurrent), model.kv_dtype)
    compile_wrong: Callable[[], object] = lambda: model.backend.compile(  # noqa: E731
        model.graph, model.buffers, wrong, n_ctx=N_CTX
    )
    _refuses("compile() over a pool of another layout", BackendError, compile_wrong)


WRONG: dict[str, tuple[list[int], ...]] = {  # tokens, positions, sessions, output_rows
    "a token beyond the vocabulary": ([N_VOCAB], [10], [0], [0]),
    "a token below 0": ([-1], [10], [0], [0]),
    "a position beyond n_ctx": ([1], [N_CTX], [0], [0]),
    "a position without a page": ([1], [PAGE_TOKENS], [0], [0]),
    "a cache that is not there": ([1], [10], [1], [0]),
    "a row that is not there": ([1], [10], [0], [1]),
    "positions that leave one out": ([1, 2], [10, 12], [0, 0], [0]),
    "rows that do not ascend": ([1, 2], [10, 11], [0, 0], [1, 0]),
}


def _are_ids(ids: set[int], n: int) -> bool:
    return len(ids) == n and all(isinstance(i, int) and 0 < i < 1 << 64 for i in ids)


def _check_generate(model: _Model) -> None:
    """A `GeneratingPlan` appends what `run` and the sampler give."""
    generate = getattr(model.plan, "generate", None)
    if generate is None or not ffi.available():
        return
    chain = NativeChain((Greedy(),), N_VOCAB)
    expected, cache = TOKENS[:60], model.cache()
    model.step([(cache, expected[:-1])], [])
    for _ in range(12):
        expected = [*expected, int(np.argmax(model.step([(cache, expected[-1:])])))]
    ids, other = History(), model.cache()
    ids.append(TOKENS[:60])
    ids.make_room(12)
    model.step([(other, TOKENS[:59])], [])
    other.prepare(59, 60 + 12)
    while len(ids) < 60 + 12:
        n = generate(other, ids, 60 + 12 - len(ids), chain, Rng(0))
        _true("generate() appends at least a token", n > 0)
        ids.count(n)
    _equal("tokens that generate() appends", ids.tolist(), expected)


def _result_of_ten(model: _Model, n_rows: int = 1) -> Any:
    """The result of a step of ten tokens, the last of which have logits."""
    cache = model.cache()
    cache.prepare(0, 10)
    rows = np.arange(10, dtype=np.int32)
    result = model.plan.run(Batch(rows, rows, 0 * rows, rows[-n_rows:]), [cache])
    cache.done(10)
    return result


def _check_drawn(model: _Model) -> None:
    """A `DrawnResult` draws the tokens that samplers draw from all logits, or none."""
    result = _result_of_ten(model, 3)
    drawn = getattr(result, "drawn", None)
    if drawn is None or not ffi.available():
        return
    chains = [NativeChain((TopK(5), Temperature(0.7)), N_VOCAB) for _ in range(3)]
    tokens = drawn([Sampling(chain, 0, 0, None, Rng(i)) for i, chain in enumerate(chains)])
    for i, (chain, token) in enumerate(zip(chains, tokens, strict=True)):
        expected = chain.sample(ffi.address(result.logits()[i]), N_VOCAB, 0, 0, Rng(i))
        _true("drawn() gives the tokens of all logits", token in (None, expected))


def _check_sparse(model: _Model) -> None:
    """A `SparseResult` has the logits that a sampler needs, and no others."""
    result = _result_of_ten(model)
    largest = getattr(result, "largest", None)
    if largest is None or not ffi.available():
        return
    found = largest([Sampling(NativeChain((TopK(5),), N_VOCAB), 0, 0)])
    if found is not None:
        found, whole = found.copy(), result.logits()
        kept = found > -np.inf
        _true("largest() has logits of logits()", np.array_equal(found[kept], whole[kept]))
        _true("largest() has the 5 largest", bool(kept[0, np.argsort(-whole[0])[:5]].all()))


def _check_close(model: _Model) -> None:
    """A plan closes twice, and its pool outlives it."""
    plan = model.backend.compile(model.graph, model.buffers, model.kv, n_ctx=N_CTX)
    cache = model.cache()
    model.step([(cache, TOKENS[:10])])
    before = model.kv.pages.read(cache.pages[0].id)
    plan.warm_up()
    plan.close()
    plan.close()
    _true("pages outlive a plan", model.kv.pages.read(cache.pages[0].id) == before)
    model.step([(cache, TOKENS[10:20])])
