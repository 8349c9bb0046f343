"""Is anybody else using the processors? A turn with a busy neighbour says nothing about an engine.

With two threads on two processors, an engine that waits at barriers can lose most of its speed to
one busy neighbour, and not every engine loses as much. So a turn waits for quiet, looks afterwards
how much processor time others took meanwhile, and is repeated if it was too much (Linux only;
elsewhere every turn counts as quiet).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

STAT = Path("/proc/stat")
# The kernel counts in ticks of 10 ms, a tick for whoever runs as it strikes.
ROUNDING = 0.02


class Quiet:
    """Watches the processor time of all processes but `pids` and this one.

    `limit`: how many processors others may use during a turn, on average. `patience`: seconds to
    wait for quiet before a turn. `noisy` counts the turns that were kept although they were not
    quiet, because `tries` of them were not either.
    """

    def __init__(self, limit: float = 0.1, patience: float = 20.0, tries: int = 3) -> None:
        self.limit, self.patience, self.tries = limit, patience, tries
        self.pids: list[int] = []
        self.noisy = 0

    def turn(self, work: Callable[[], float]) -> float:
        """The result of `work`, from a quiet turn if there is one among `tries`."""
        if not STAT.exists():
            return work()
        attempts = []
        for _ in range(self.tries):
            self.wait()
            before = self._others()
            begin = time.perf_counter()
            result = work()
            seconds = time.perf_counter() - begin
            used = max(0.0, self._others() - before - ROUNDING)
            if used <= self.limit * seconds:
                return result
            attempts.append((used / seconds, result))
        self.noisy += 1
        return min(attempts)[1]

    def wait(self) -> None:
        """Return when others are quiet, or when patience ends."""
        if not STAT.exists():
            return
        end = time.perf_counter() + self.patience
        while time.perf_counter() < end:
            before = self._others()
            time.sleep(0.2)
            if self._others() - before <= 0.2 * self.limit + ROUNDING / 2:
                return

    def _others(self) -> float:
        """Processor seconds that others have used, the hypervisor's theft among them."""
        # user nice system idle iowait irq softirq steal; waiting is nobody's use.
        fields = [int(field) for field in STAT.read_text().split("\n", 1)[0].split()[1:9]]
        busy = sum(fields) - fields[3] - fields[4]
        return (busy - sum(ticks([os.getpid(), *self.pids]))) / os.sysconf("SC_CLK_TCK")


def ticks(pids: Iterable[int]) -> Iterable[int]:
    """Clock ticks that each process has used, all its threads."""
    for pid in pids:
        # The name in brackets may hold spaces; utime and stime are 12th and 13th behind it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        yield int(fields[11]) + int(fields[12])
