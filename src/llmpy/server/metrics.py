"""Numbers about a server, in the text format of Prometheus."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmpy.server.models import Models

__all__ = ["Metrics"]

BUCKETS = (0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
QUOTED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Histogram:
    """A histogram: how many values lie below each bound."""

    def __init__(self) -> None:
        self.counts = [0] * len(BUCKETS)
        self.n = 0
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.n += 1
        self.total += value
        for i, bound in enumerate(BUCKETS):
            self.counts[i] += value <= bound

    def lines(self, name: str) -> list[str]:
        """As Prometheus reads it."""
        found = [
            f'{name}_bucket{{le="{bound}"}} {n}'
            for bound, n in zip(BUCKETS, self.counts, strict=True)
        ]
        found.append(f'{name}_bucket{{le="+Inf"}} {self.n}')
        return [*found, f"{name}_sum {self.total:.6f}", f"{name}_count {self.n}"]


class Metrics:
    """Counts of requests, and times until their first token and until their end."""

    def __init__(self) -> None:
        self._requests = Counter[tuple[str, int]]()
        self._seconds = Histogram()
        self.first_token = Histogram()

    def count(self, path: str, status: int, seconds: float) -> None:
        """Count a request that has ended."""
        self._requests[path, status] += 1
        self._seconds.add(seconds)

    def text(self, models: Models) -> str:
        """All numbers, with those of the models that are loaded."""
        lines = ["# TYPE llmpy_requests_total counter"]
        lines += [
            f'llmpy_requests_total{{path="{path}",status="{status}"}} {n}'
            for (path, status), n in sorted(self._requests.items())
        ]
        lines += ["# TYPE llmpy_request_seconds histogram"]
        lines += self._seconds.lines("llmpy_request_seconds")
        lines += ["# TYPE llmpy_first_token_seconds histogram"]
        lines += self.first_token.lines("llmpy_first_token_seconds")
        loaded = [offer.loaded for offer in models.offers.values() if offer.loaded is not None]
        cached = [m.model.prefix_cache() for m in loaded]
        for name, kind, values in (
            ("prefix_cache_tokens_asked_total", "counter", [c.n_asked for c in cached]),
            ("prefix_cache_tokens_found_total", "counter", [c.n_found for c in cached]),
            ("prefix_cache_bytes", "gauge", [c.n_bytes for c in cached]),
            ("prompt_tokens_total", "counter", [m.decoder.counts.n_prompt for m in loaded]),
            ("generated_tokens_total", "counter", [m.decoder.counts.n_generated for m in loaded]),
            ("steps_total", "counter", [m.decoder.counts.n_steps for m in loaded]),
            ("step_seconds_total", "counter", [m.decoder.counts.seconds for m in loaded]),
            ("generations_active", "gauge", [m.decoder.n_active for m in loaded]),
            ("generations_waiting", "gauge", [m.decoder.n_waiting for m in loaded]),
        ):
            lines.append(f"# TYPE llmpy_{name} {kind}")
            lines += [
                f'llmpy_{name}{{model="{m.name.translate(QUOTED)}"}} {value}'
                for m, value in zip(loaded, values, strict=True)
            ]
        return "\n".join(lines) + "\n"
