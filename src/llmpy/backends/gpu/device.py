"""The protocol of a device: buffers, and kernels by name that run one after another.

The core decides what is computed, where everything lies and in which order; a device only executes.
All that is particular to an API (WebGPU, CUDA) is in the module of its device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

__all__ = [
    "FLOATS",
    "KERNELS",
    "ROWS",
    "Buffer",
    "Device",
    "Held",
    "Kernel",
    "Program",
    "Step",
    "n_items",
]

Buffer = Any  # of the device
Program = Any  # of the device

ROWS = ("all", "output", "sessions", "once", "chunks", "output_chunks")
"""What a step is computed for: each token, each output row, each sequence of the batch, or once;
each token or output row and each chunk of its sequence."""


class Kernel(NamedTuple):
    """The interface of a kernel, the same on every device.

    `fields`: its parameters, 32 bits each, after `rows` (a number of ROWS) and `items`; those in
    FLOATS are float32, the others uint32. `buffers`: what it is bound to besides the header and the
    arena, in order, as name:type; an exclamation mark follows what it writes. `lanes`: the size of
    the workgroup that computes an item together; 0 where one invocation does. `meaning`: words.
    """

    fields: tuple[str, ...]
    buffers: tuple[str, ...]
    lanes: int
    meaning: str


def _kernel(meaning: str, fields: str, buffers: str = "", lanes: int = 0) -> Kernel:
    return Kernel(("rows", "items", *fields.split()), tuple(buffers.split()), lanes, meaning)


FLOATS = {"eps", "factor", "low", "high", "softcap"}
"""The parameters that are float32."""

KERNELS: dict[str, Kernel] = {
    "pack": _kernel(
        "rows of a file to tiles of 32 rows, word after word",
        "n_rows row_bytes words start to", "raw:u32 packed:u32!",
    ),
    "embed": _kernel(
        "`embed`, `embed_position`, `embed_row` (mode 0, 1, 2): rows of a table",
        "y n words base mode offset first n_rows", "weights:u32",
    ),
    "linear": _kernel(
        "`linear`, `linear_heads`, matmuls of `moe` (mode 0, 1, 2), plus a bias and a residual; "
        "up to three `linear` of one input",
        "x y n_in n_out words base tiles first_row mode per same_x chosen first_matrix n_matrices "
        "n_rows has_bias has_residual residual tile1 y1 n1 tile2 y2 n2",
        "weights:u32 bias:f32", 256,
    ),
    "norm": _kernel(
        "`rms_norm`, `layer_norm`, `sum` (kind 0, 1, 2)",
        "x y width eps kind n_weight n_bias per", "weight:f32 bias:f32", 64,
    ),
    "rope": _kernel(
        "`rope`, of one value or of two, such as queries and keys",
        "x y heads x1 y1 heads1 d n_dims neox table",
    ),
    "store": _kernel(
        "`cached`: keys or values to their pages, of one cache or of two",
        "x heads d words stride items1 x1 heads1 d1 words1 stride1 kind windowed",
        "cache:u32! cache1:u32!",
    ),
    "attend": _kernel(
        "`attend`, with windows, sinks, ALiBi and softcaps",
        "q y heads kv d dv factor window causal softcap has_alibi has_sinks kind key_stride "
        "value_stride windowed", "keys:u32 values:u32 slopes:f32 sinks:f32", 64,
    ),
    "attend_part": _kernel(
        "a chunk of `attend`, for few tokens",
        "q heads kv d dv factor window causal softcap has_alibi kind key_stride value_stride "
        "windowed", "keys:u32 values:u32 slopes:f32 parts:f32!", 64,
    ),
    "attend_merge": _kernel(
        "the chunks of `attend` together",
        "y heads dv window causal has_sinks", "sinks:f32 parts:f32", 64,
    ),
    "map": _kernel(
        "`add`, `mul`, `add_weight`, `mul_weight`, `scale`, `clamp`, functions of one number, and "
        "these times another value",
        "x b y op last n_weight factor low high", "weight:f32",
    ),
    "copy": _kernel(
        "`slice`, `concat`, `repeat`, `output_rows`",
        "x y inner repeat x_row x_stride x_start y_row y_stride y_start gather",
    ),
    "route": _kernel(
        "`route`",
        "x y n n_used gating normalize factor n_group n_group_used has_bias scratch", "bias:f32",
    ),
    "choose": _kernel("of `moe`: the experts and their weights, largest first", "x y n n_used"),
    "combine": _kernel("of `moe`: the weighted sum of the experts' results", "x y n n_used chosen"),
    "top": _kernel(
        "the largest logits of each 512, and the weight of the others, for samplers",
        "x n n_seen parts", "samplers:u32 ids:u32 found:u32!", 64,
    ),
    "draw": _kernel(
        "the token that a chain of samplers draws from those, where that is sure",
        "x n n_seen parts room counts", "samplers:u32 found:u32 changed:u32! ids:u32!", 256,
    ),
    "largest_part": _kernel(
        "the largest of each 2048 logits, for greedy samplers", "x n parts", "found:u32!", 256,
    ),
    "largest": _kernel(
        "the token of the largest logit, of those", "x n parts", "found:u32 ids:u32!", 256,
    ),
    "previous": _kernel("`previous`", "x y n", "state:f32!"),
    "conv": _kernel("`conv`", "x y n width has_bias", "weight:f32 bias:f32 state:f32!"),
    "scan": _kernel("`scan`", "x dt b c y heads d groups n n_a", "a:f32 skip:f32 state:f32!"),
    "delta_rule": _kernel("`delta_rule`", "q decay k v a b y heads dk dv n_decay", "state:f32!"),
    "wkv4": _kernel("`wkv4`", "k v y n", "decay:f32 first:f32 total:f32! weight:f32! most:f32!"),
}  # fmt: skip
"""All kernels, by name."""


class Held(Protocol):
    """The owner of a buffer, which it may replace by a larger one."""

    buffer: Buffer


class Step(NamedTuple):
    """One run of a kernel.

    `variant`: constants of the kernel's code (a storage type, tokens a workgroup). An item is an
    invocation or a workgroup, see `Kernel`; there are `items` for each of the step's `rows`, or for
    each `many` of `per` times the rows. `values` has the kernel's fields but rows and items.
    """

    kernel: str
    rows: str
    items: int
    values: Mapping[str, Any]
    buffers: tuple[Held, ...] = ()
    variant: tuple[str, int] = ("", 1)
    per: int = 1
    many: int = 1


def n_items(step: Step, rows: Mapping[str, int]) -> int:
    """Return how many items a step has in a batch of so many `rows` of each kind."""
    return -(-rows[step.rows] * step.per // step.many) * step.items


class Device(Protocol):
    """A GPU, or what computes as one."""

    name: str  # for people: the adapter and the API
    software: bool  # whether a CPU does its work
    shared: bool  # whether its memory is the processor's, so that reading it is cheap
    limit: int  # bytes that a kernel can be bound to at once
    allocated: int  # bytes of all buffers

    def buffer(self, n_bytes: int) -> Buffer:
        """Return new memory, all zero; raises OutOfMemory."""

    def free(self, buffer: Buffer) -> None:
        """Free a buffer at once."""

    def write(self, buffer: Buffer, offset: int, data: Any) -> None:
        """Copy bytes (a multiple of 4) to a buffer, in order with the programs that are run."""

    def read(self, buffer: Buffer, offset: int, n_bytes: int) -> bytes:
        """Wait for all programs so far, and return bytes of a buffer."""

    def copy(self, source: Buffer, start: int, target: Buffer, to: int, n_bytes: int) -> None:
        """Copy bytes between buffers, in order with the programs that are run."""

    def program(self, steps: Sequence[Step], header: Buffer, arena: Buffer) -> Program:
        """Make steps ready to run; their buffers must stay as they are."""

    def run(self, program: Program, rows: Mapping[str, int]) -> None:
        """Run the steps one after another; those for which there are no rows are left out."""

    def free_memory(self) -> int | None:
        """Return the free bytes of the device, None where nobody knows."""

    def close(self) -> None:
        """Free all that the device holds."""
