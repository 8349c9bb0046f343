"""A plan that runs the parts of a graph one after another, each on its backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpy.backends.base import Batch, KvCache, Plan, StepResult
from llmpy.backends.batches import BatchCheck
from llmpy.backends.split.pool import SplitKvPool
from llmpy.errors import BackendError
from llmpy.graph import Graph, Part

__all__ = ["SplitPlan"]


class SplitPlan:
    """Runs `plans`, of which all but the first are given what the one before has computed.

    That crosses through host memory, float32 [T, width].
    """

    def __init__(
        self, graph: Graph, plans: Sequence[Plan], parts: Sequence[Part], pool: SplitKvPool,
        n_ctx: int,
    ) -> None:  # fmt: skip
        self.n_vocab = graph.n_vocab
        self._plans: Sequence[Any] = plans
        self._rows = [part.rows for part in parts]
        self._pool = pool
        self._check = BatchCheck(graph, n_ctx)

    def run(self, batch: Batch, caches: Sequence[KvCache]) -> StepResult:
        """Compute the batch; see `Plan`."""
        if not self._plans:
            raise BackendError("this plan is closed")
        self._check(batch, caches)
        given: NDArray[np.float32] | None = None
        every = batch._replace(output_rows=np.arange(len(batch.tokens), dtype=np.int32))
        for i, plan in enumerate(self._plans):
            own = [self._pool.cache(i, cache) for cache in caches]
            last = i == len(self._plans) - 1
            some = batch if last or self._rows[i] == "output" else every
            result = plan.run(some, own) if given is None else plan.run_given(some, own, given)
            if not last:
                given = result.logits()
        found: StepResult = result
        return found

    def warm_up(self) -> None:
        """Warm up all parts."""
        for plan in self._plans:
            plan.warm_up()

    def close(self) -> None:
        """Close all parts."""
        plans, self._plans = self._plans, ()
        for plan in plans:
            plan.close()
