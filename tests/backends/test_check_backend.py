"""check_backend passes our backends, and fails each backend with one deliberate fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from llmpy.backends.array.backend import ArrayBackend
from llmpy.backends.base import Batch, KvCache, KvPool, Requirements, Sampling
from llmpy.backends.pool import ArrayPool, Logits
from llmpy.backends.reference.backend import ReferenceBackend, ReferencePlan
from llmpy.graph import OPS, Graph
from llmpy.testing import check_backend
from tests.ops.harness import LEVELS, cpu_backend


@pytest.mark.parametrize("level", LEVELS)
def test_the_cpu_backend_passes(level: str) -> None:
    assert check_backend(cpu_backend(level, 2)).missing == ()


@pytest.mark.parametrize("make", [ReferenceBackend, ArrayBackend])
def test_the_backends_in_python_pass(make: Callable[[], Any]) -> None:
    assert check_backend(make()).missing == ()


def test_an_array_backend_that_is_not_bitwise_passes() -> None:
    assert check_backend(ArrayBackend(bitwise=False)).missing == ()


def test_all_operations_are_tried() -> None:
    assert set(check_backend(ReferenceBackend()).operations) == set(OPS) - {"embed_row"} - UNTRIED


UNTRIED = {"linear_heads"}


class Broken(ReferenceBackend):
    """A backend whose pools and plans a test can replace parts of."""

    def pool_fault(self, pool: Any) -> None:
        """Break a pool."""

    def plan_fault(self, plan: Any) -> None:
        """Break a plan."""

    def kv_pool(self, graph: Graph, kv_dtype: str) -> Any:
        pool = super().kv_pool(graph, kv_dtype)
        self.pool_fault(pool)
        return pool

    def compile(self, graph: Graph, buffers: Any, pool: KvPool, *, n_ctx: int) -> ReferencePlan:
        plan = super().compile(graph, buffers, pool, n_ctx=n_ctx)
        self.plan_fault(plan)
        return plan


class CopiesNothing(Broken):
    def pool_fault(self, pool: Any) -> None:
        pool.pages.copy = lambda source, target: None  # noqa: ARG005


class SharesCopies(Broken):
    """The copy of a page is the page."""

    def pool_fault(self, pool: Any) -> None:
        pages: ArrayPool = pool.pages

        def copy(source: int, target: int) -> None:
            pages._pieces[target] = pages.arrays(source)

        pool.pages.copy = copy


class ForgetsStates(Broken):
    """A copied recurrent state begins anew."""

    def pool_fault(self, pool: Any) -> None:
        pool.states.copy = lambda source, target: None  # noqa: ARG005


class ReusesStates(Broken):
    """A new recurrent state is what an old one was."""

    def pool_fault(self, pool: Any) -> None:
        states: ArrayPool = pool.states
        kept: list[int] = []
        allocate = states.allocate
        pool.states.free = kept.append
        pool.states.allocate = lambda: kept.pop() if kept else allocate()


class StaleLogits(Broken):
    """Logits are those of the step before, where they have the same shape."""

    def plan_fault(self, plan: Any) -> None:
        run, last = plan.run, [np.zeros((0, 0), np.float32)]

        def stale(batch: Batch, caches: Sequence[KvCache]) -> Logits:
            now, before = run(batch, caches).logits(), last[0]
            last[0] = now
            return Logits(before if before.shape == now.shape else now)

        plan.run = stale


class VariesWithTheBatch(Broken):
    """Says that it is bitwise; the last bits depend on how many tokens there are."""

    def plan_fault(self, plan: Any) -> None:
        run = plan.run

        def vary(batch: Batch, caches: Sequence[KvCache]) -> Logits:
            return Logits(run(batch, caches).logits() * np.float32(1 + 1e-6 * len(batch.tokens)))

        plan.run = vary


class SmallPages(Broken):
    def requirements(self, *arguments: Any) -> Requirements:
        needs = super().requirements(*arguments)
        return needs._replace(page=needs.page // 2)


class WeighsNothing(Broken):
    def requirements(self, *arguments: Any) -> Requirements:
        return super().requirements(*arguments)._replace(weights=0)


class ReadsOldPages(Broken):
    """Adds a little of what the last slot of the first page holds."""

    def plan_fault(self, plan: Any) -> None:
        run, pages = plan.run, plan._pool.pages

        def read(batch: Batch, caches: Sequence[KvCache]) -> Logits:
            logits = run(batch, caches).logits()
            first = [pages.arrays(int(c.page_table[0]))[0] for c in caches if c.n_pages]
            old = np.float32(sum(float(page[-1].astype(np.float32).mean()) for page in first))
            return Logits(logits + 1e-6 * old)

        plan.run = read


class WritesHalfOfAPage(Broken):
    def pool_fault(self, pool: Any) -> None:
        pages, write = pool.pages, pool.pages.write

        def half(piece: int, data: bytes) -> None:
            n = len(data) // 2
            write(piece, data[:n] + pages.read(piece)[n:] if len(data) == pages.n_bytes else data)

        pool.pages.write = half


class TakesAnyToken(Broken):
    def plan_fault(self, plan: Any) -> None:
        plan._check = lambda batch, caches: None  # noqa: ARG005


class WrongSilu(Broken):
    def plan_fault(self, plan: Any) -> None:
        operations = dict(plan.operations)
        operations["silu"] = operations["relu"]
        plan.operations = operations


class DrawsTheLast(Broken):
    """Says that each sampler draws the last token."""

    def plan_fault(self, plan: Any) -> None:
        run = plan.run

        class Drawn(Logits):
            def drawn(self, samplings: Sequence[Sampling]) -> list[int | None]:
                return [self.logits().shape[1] - 1 for _ in samplings]

        plan.run = lambda batch, caches: Drawn(run(batch, caches).logits())


class Forgetful(Broken):
    """Never says that tensors are ready."""

    def prepare(self, release: Callable[[str], object] = str) -> Any:  # noqa: ARG002
        return iter(())


class HalfPrecision(Broken):
    """Has no float32 keys and values."""

    kv_dtypes = ("f16",)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (CopiesNothing, "a fork"),
        (SharesCopies, "a fork that goes on"),
        (ForgetsStates, "a fork"),
        (ReusesStates, "expected logits|bitwise equal"),
        (StaleLogits, "a prompt in|in one batch|a row|rows"),
        (VariesWithTheBatch, 'bitwise equal results of a backend that is "bitwise"'),
        (SmallPages, "requirements..\\.page"),
        (WeighsNothing, "weights need"),
        (ReadsOldPages, "used before|shape|bitwise equal|token .* alone"),
        (WritesHalfOfAPage, "read\\(\\) gives what write"),
        (TakesAnyToken, "a token .*: expected ValueError"),
        (WrongSilu, "a prompt .*expected logits within"),
        (DrawsTheLast, "drawn.. gives the tokens"),
        (Forgetful, "names that prepare"),
        (HalfPrecision, '"f32" is one of its kv_dtypes'),
    ],
)
def test_a_broken_backend_fails(fault: type[Broken], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_backend(fault())
