"""The source of kernels in WGSL: declarations from the table of kernels, then files of `wgsl/`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from llmpy.backends.gpu.device import FLOATS, KERNELS, Kernel
from llmpy.backends.gpu.header import FIELDS

__all__ = ["INVOCATIONS", "source"]

INVOCATIONS = 64  # of a workgroup, where an item is an invocation
_FOLDER = Path(__file__).parent / "wgsl"
_USES = {  # files besides common.wgsl and the kernel's own
    "linear": ("weights",), "embed": ("weights",), "map": ("functions",), "route": ("functions",),
    "attend": ("functions", "chunk", "finish"), "attend_part": ("functions", "chunk"),
    "attend_merge": ("finish",), "top": ("sampler",), "draw": ("sampler",),
}  # fmt: skip
_FILES = {  # of kernels that share one
    **dict.fromkeys(("previous", "conv", "scan", "delta_rule", "wkv4"), "recurrent"),
    **dict.fromkeys(("attend", "attend_part", "attend_merge"), "attend"),
    "largest_part": "largest",
}
_INVOCATION = """
@compute @workgroup_size({size})
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {{
    let i = (id.y * n.x + id.x) * {size}u + lane;
    if (i < n_rows() * p.items) {{ item(i); }}
}}
"""
_GROUP = """
@compute @workgroup_size({size})
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {{
    group(id.y * n.x + id.x, lane);
}}
"""


def source(name: str, variant: tuple[str, int]) -> str:
    """Return the WGSL of a kernel; `variant`: a storage type, and how many rows at once."""
    kernel, (dtype, many) = KERNELS[name], variant
    text = _text(_FILES.get(name, name))
    parts = [_declarations(kernel), _text("common"), *map(_text, _USES.get(name, ())), text]
    body = _chosen("\n".join(parts), {"type": dtype, "kernel": name})
    body = re.sub(
        r"^ *\$(.*)$", lambda m: "\n".join(m[1].replace("{t}", str(t)) for t in range(many)), body,
        flags=re.M,
    )  # fmt: skip
    body = re.sub(r"\bMANY\b", f"{many}u", re.sub(r"\bPARTS\b", f"{256 * many}", body))
    main = _GROUP if kernel.lanes else _INVOCATION
    return body + main.format(size=kernel.lanes or INVOCATIONS)


def _declarations(kernel: Kernel) -> str:
    """The parameters, the header and its sections, the arena, and the buffers of a kernel."""
    fields = "".join(f"    {f}: {'f32' if f in FLOATS else 'u32'},\n" for f in kernel.fields)
    lines = [
        f"struct Params {{\n{fields}}}",
        "@group(0) @binding(0) var<uniform> p: Params;",
        "@group(0) @binding(1) var<storage, read> H: array<u32>;",
        "@group(0) @binding(2) var<storage, read_write> A: array<f32>;",
    ]
    for i, buffer in enumerate(kernel.buffers, 3):
        name, _, kind = buffer.partition(":")
        access = "read_write" if kind.endswith("!") else "read"
        lines.append(f"@group(0) @binding({i}) var<storage, {access}> {name}: array<{kind[:3]}>;")
    for i, section in enumerate(FIELDS[3:-3], 3):
        lines.append(f"fn {section}(i: u32) -> u32 {{ return H[H[{i}] + i]; }}")
    return "\n".join(lines)


def _chosen(text: str, choice: dict[str, str]) -> str:
    """Leave out the sections of other types and kernels: they begin with //#type or //#kernel."""

    def keep(match: re.Match[str]) -> str:
        return match[3] if choice[match[1]] == match[2] else ""

    return re.sub(r"^//#(type|kernel) (\w+)\n(.*?)(?=^//[#=]|\Z)", keep, text, flags=re.M | re.S)


@cache
def _text(name: str) -> str:
    return (_FOLDER / f"{name}.wgsl").read_text(encoding="utf-8") + "//=\n"
