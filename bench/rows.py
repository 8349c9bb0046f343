"""The rows that compare.py measures: model file, what is done with it, and the ratio to reach.

A row is one line here and nothing else. `target` is llmpy's tokens per second over the peer's;
None measures without judging.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measurement.

    `what`: "prefill" reads `n` tokens at once; "decode" makes `n` greedy tokens after reading
    `after` tokens; "public" makes `n` tokens from a short text through each engine's highest
    interface with its default sampler; "together" is "decode" of 16 sessions in one batch, and is
    compared with one session of llmpy instead of the peer.
    """

    model: str
    what: str
    n: int
    after: int = 0
    target: float | None = None

    @property
    def name(self) -> str:
        """How the row is named in the table and by --rows."""
        long = self.n if self.what == "prefill" else self.after
        place = f"@{long}" if self.what != "public" and long > 512 else ""
        return f"{self.model}:{self.what}{place}"


ROWS = (
    Row("1b-q4_0", "prefill", 512, target=1.0),
    Row("1b-q4_k_m", "prefill", 512, target=1.0),
    Row("1b-q8_0", "prefill", 512, target=1.0),
    Row("1b-f16", "prefill", 512),
    Row("1b-q4_0", "decode", 32, after=16, target=1.0),
    Row("1b-q4_k_m", "decode", 32, after=16, target=1.0),
    Row("1b-q8_0", "decode", 32, after=16, target=1.0),
    Row("1b-f16", "decode", 16, after=16),
    Row("1b-q4_0", "prefill", 4096),
    Row("1b-q4_0", "decode", 32, after=4096),
    Row("1b-q4_0", "together", 16, after=16, target=4.0),
    Row("15m-q8_0", "together", 128, after=16),
    Row("15m-f16", "public", 256, target=4.0),
    Row("15m-q8_0", "public", 256, target=4.0),
    Row("stories260K", "public", 256),
)
