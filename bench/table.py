"""From measured rounds to one table: value, what it is judged by, ratio, spread, pass or fail.

In every line a larger ratio is better, so that all targets are lower bounds.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rows import FIRST_TOKEN_SECONDS, RESIDENT_BYTES_OVER_FILE, ROWS, Row

HEADING = (
    "| measured | unit | llmpy | against | that | ratio | spread | target | |\n"
    "|---|---|---|---|---|---|---|---|---|"
)
MIB = 2**20


@dataclass(frozen=True)
class Line:
    """One line of the table; `pairs`: (llmpy, that, ratio) of each round."""

    name: str
    unit: str
    against: str
    pairs: list[tuple[float, float, float]]
    target: float | None = None
    noisy: int = 0

    @property
    def ratio(self) -> float:
        """The median over the rounds."""
        return statistics.median(ratio for _, _, ratio in self.pairs)

    @property
    def passed(self) -> bool | None:
        """Whether the ratio reaches the target; None without one."""
        return None if self.target is None else self.ratio >= self.target

    def __str__(self) -> str:
        ours, that = (statistics.median(pair[i] for pair in self.pairs) for i in (0, 1))
        ratios = [ratio for _, _, ratio in self.pairs]
        target = "" if self.target is None else f"{self.target:.2f}"
        passed = {None: "", True: "pass", False: "**FAIL**"}[self.passed]
        noisy = f" ({self.noisy} noisy)" if self.noisy else ""
        return (
            f"| {self.name} | {self.unit} | {short(ours)} | {self.against} | {short(that)} "
            f"| {self.ratio:.2f} | {min(ratios):.2f} to {max(ratios):.2f} | {target} "
            f"| {passed}{noisy} |"
        )


def short(value: float) -> str:
    """Three digits or all in front of the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def lines(row: Row, result: dict[str, Any]) -> list[Line]:
    """What the rounds of `row` say."""
    rounds, noisy, name = result["rounds"], result["noisy"], row.name

    def line(
        name: str, unit: str, against: str, pair: Callable[[dict[str, float]], tuple[float, float]],
        target: float | None, less: bool = False,
    ) -> Line:  # fmt: skip
        pairs = [(a, b, b / a if less else a / b) for a, b in map(pair, rounds)]
        return Line(name, unit, against, pairs, target, noisy)

    def compared(now: dict[str, float]) -> tuple[float, float]:
        return now["llmpy"], now["other"]

    if row.what == "first":
        limit = result["bytes"] + RESIDENT_BYTES_OVER_FILE
        return [
            line(f"{name} token", "s", "peer", compared, row.target, less=True),
            line(f"{name} token", "s", "limit", lambda r: (r["llmpy"], FIRST_TOKEN_SECONDS), 1.0,
                 less=True),
            line(f"{name} resident", "MiB", "limit", lambda r: (r["resident"] / MIB, limit / MIB),
                 1.0, less=True),
        ]  # fmt: skip
    if row.what == "python":
        limit_of = {"next_token": 1.0, "infer": None}
        return [
            line(f"{name} {loop}", "µs/token", "limit", lambda r, k=loop: (r[k], r["other"]),
                 target, less=True)
            for loop, target in limit_of.items()
        ]  # fmt: skip
    if genai := [r for r in rounds if "genai" in r]:
        pairs = [(r["llmpy"], r["genai"], r["llmpy"] / r["genai"]) for r in genai]
        of_genai = [Line(name, "tokens/s", "OpenVINO GenAI", pairs, noisy=noisy)]
    else:
        of_genai = []
    against = "one session" if row.what == "together" else peer_name(result)
    found = [line(name, "tokens/s", against, compared, row.target), *of_genai]
    if row.what == "decode" and row.length <= 512:  # later, keys and values are read as well
        size = result["bytes"] / 1e9
        share = line(name, "GB/s", "read speed", lambda r: (r["llmpy"] * size, r["read"]),
                     row.of_read)  # fmt: skip
        found.append(share)
    if row.of_peak is not None:
        products = result["products"] / 1e9
        share = line(name, "G products/s", "8-bit peak",
                     lambda r: (r["llmpy"] * products, r["peak"] / 1e9), row.of_peak)  # fmt: skip
        found.append(share)
    return found


def peer_name(result: dict[str, Any]) -> str:
    """The peer, and which of its ways of attention was faster."""
    return "peer, flash" if result["peer_flash_attention"] else "peer"


def merged(results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results in the order of the rows; rounds of the same row are put together."""
    found: dict[str, dict[str, Any]] = {}
    for result in results:
        if before := found.get(result["row"]):
            before["rounds"] = before["rounds"] + result["rounds"]
            before["noisy"] += result["noisy"]
        else:
            found[result["row"]] = dict(result)
    return [found[row.name] for row in ROWS if row.name in found]


def machine(n_threads: int) -> str:
    """The processor, how many there are, the threads that were used, and the level if one was."""
    about = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    for line in about.read_text().splitlines() if about.exists() else []:
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name", platform.machine())
    if "cpu family" in fields:  # one name may stand for several generations
        name += f", family {fields['cpu family']} model {fields.get('model', '?')}"
    level = f", llmpy at {os.environ['LLMPY_CPU']}" if os.environ.get("LLMPY_CPU") else ""
    return f"{name} ({platform.machine()}), {os.cpu_count()} processors, {n_threads} threads{level}"


def write(page: Path, program: str, text: str) -> None:
    """Put `text` between the program's marks on the page; raises SystemExit if it has none."""
    begin, end = f"<!-- made by bench/{program} -->", f"<!-- end of bench/{program} -->"
    whole = page.read_text(encoding="utf-8")
    if begin not in whole or end not in whole:
        raise SystemExit(f"{program}: {page} has no lines {begin} and {end}")
    before, after = whole.partition(begin)[0], whole.partition(end)[2]
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8")
