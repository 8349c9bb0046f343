"""Attention over several chunks of positions: for few tokens each is a workgroup's of its own."""

from __future__ import annotations

import numpy as np
import pytest

from llmpy.backends.gpu.backend import GpuBackend
from llmpy.backends.gpu.header import CHUNK
from llmpy.backends.gpu.lowering import FEW
from llmpy.backends.reference.backend import ReferenceBackend
from tests.backends.gpu.devices import gpu_backend
from tests.backends.gpu.recording import RecordingDevice
from tests.ops.harness import Model, near, random
from tests.ops.test_attention import KINDS, any_kind

N = 2 * CHUNK + 60
STEPS = (CHUNK - 1, 1, 1, FEW, CHUNK, 1, FEW - 1, FEW + 1)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "causal" not in KINDS[kind]])
@pytest.mark.parametrize("on", ["numpy", "adapter"])
def test_few_tokens_behind_many_give_the_bits_of_one_batch(on: str, kind: str) -> None:
    n_head, n_kv, d, d_value = 4, 2, 16, 12
    x = random(1, N, n_head * d + n_kv * (d + d_value)) * 2
    weights = {"sinks.weight": ("F32", random(2, n_head))}
    backend = GpuBackend(RecordingDevice()) if on == "numpy" else gpu_backend()

    def model(made: object) -> Model:
        return Model(made, x, any_kind(n_head, n_kv, d, d_value, **KINDS[kind]), weights)

    ours = model(backend)
    whole, state, found, start = ours.rows(), ours.state(), [], 0
    for n in STEPS:
        found.append(ours.step([(state, start, list(range(start, start + n)))]))
        start += n
    compare = np.testing.assert_array_equal if on == "adapter" else near_enough
    compare(np.concatenate(found), whole[:start])
    near(whole, model(ReferenceBackend()).rows(), 1e-5)
    if on == "numpy":
        assert {"attend", "attend_part", "attend_merge"} <= set(backend.device.ran)


def near_enough(found: np.ndarray, expected: np.ndarray) -> None:
    near(found, expected, 1e-6)
