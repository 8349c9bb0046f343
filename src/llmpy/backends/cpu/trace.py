"""Times of the operations of a plan, by name, with the speed that they reached."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from llmpy.backends.cpu.lower.program import Cost
from llmpy.backends.trace import OpTime
from llmpy.ffi import abi

__all__ = ["Times"]


class Times:
    """The array in which native code adds up the time of each operation of a program."""

    def __init__(self, costs: Sequence[Cost]) -> None:
        self._costs = costs
        self.array = np.zeros(len(costs), abi.OP_TIME)

    def table(self) -> list[OpTime]:
        """Return one row for each kind of operation over all layers, the longest time first.

        Linear operations that ran as one parallel region are one row.
        """
        rows: dict[str, OpTime] = {}
        for i in np.flatnonzero(self.array["calls"]).tolist():
            time = self.array[i]
            together = self._costs[i : i + max(1, int(time["ops"]))]
            name = _name(together)
            calls, n_rows = int(time["calls"]), int(time["rows"])
            found = OpTime(
                name,
                calls,
                float(time["nanoseconds"]) / 1e9,
                calls * sum(cost.bytes for cost in together),
                n_rows * sum(cost.macs for cost in together),
            )
            before = rows.get(name, OpTime(name, 0, 0.0, 0, 0))
            rows[name] = OpTime(
                name,
                before.calls + found.calls,
                before.seconds + found.seconds,
                before.bytes + found.bytes,
                before.macs + found.macs,
            )
        return sorted(rows.values(), key=lambda row: -row.seconds)


def _name(costs: Sequence[Cost]) -> str:
    """Return "linear attn_q attn_k Q4_0": operation, its weights in any layer, their types.

    Other operations that ran in the same region follow: "linear attn_q attn_k Q4_0 rope attend".
    """
    weights = [re.sub(r"^blk\.\d+\.|\.weight$", "", cost.weight) for cost in costs if cost.weight]
    types = dict.fromkeys(cost.dtype for cost in costs if cost.dtype)
    others = dict.fromkeys(cost.op for cost in costs[1:] if cost.op != costs[0].op)
    return " ".join([costs[0].op, *dict.fromkeys(weights), *types, *others])
