"""The rows that compare.py measures: model file, what is done with it, and what to reach.

A row is one line here and nothing else. None as a target measures without judging.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_TOKEN_SECONDS = 0.5  # at most, from opening to the first token
RESIDENT_BYTES_OVER_FILE = 120e6  # at most, stricter than asked: keys and values are in it
GENAI_TYPES = ("q4_0", "q8_0", "q4_k_m", "f16")
PYTHON_MICROSECONDS = 15.0  # at most, a token, outside of native code


@dataclass(frozen=True)
class Row:
    """One measurement.

    `what`: "prefill" reads `n` tokens at once; "decode" makes `n` greedy tokens after reading
    `after` tokens; "public" makes `n` tokens from a short text through each engine's highest
    interface with its default sampler; "together" is "decode" of 16 sessions in one batch, and is
    compared with one session of llmpy instead of the peer; "first" opens the file in a new process
    and makes one token; "python" is the time a token that llmpy spends outside of native code.

    `target` is llmpy's tokens per second over the peer's. `of_read`: bytes of weights per second
    over what so many bytes can be read at. `of_peak`: products per second over the peak of the
    8-bit dot product. `kv`: the type of keys and values;
    f16 is each engine's own choice of 16 bits.
    """

    model: str
    what: str
    n: int = 1
    after: int = 0
    target: float | None = None
    of_read: float | None = None
    of_peak: float | None = None
    kv: str = "f16"

    @property
    def name(self) -> str:
        """How the row is named in the table and by --rows."""
        place = f"@{self.length}" if self.length > 512 else ""
        return f"{self.model}:{self.what}{place}" + (f":{self.kv}" if self.kv != "f16" else "")

    @property
    def genai(self) -> bool:
        """Whether OpenVINO GenAI, which reads few types, is a second peer of this row."""
        kind = self.model.partition("-")[2]
        return self.what in ("prefill", "decode") and kind in GENAI_TYPES and self.kv == "f16"

    @property
    def length(self) -> int:
        """Tokens that are read before any is made."""
        return self.n if self.what == "prefill" else self.after


ROWS = (
    Row("1b-q4_0", "prefill", 512, target=2.8, of_peak=0.65),
    Row("1b-q4_k_m", "prefill", 512, target=2.8, of_peak=0.65),
    Row("1b-q6_k", "prefill", 512, target=2.8, of_peak=0.65),
    Row("1b-q8_0", "prefill", 512, target=3.2, of_peak=0.65),
    Row("1b-f16", "prefill", 512, target=2.0),
    Row("1b-bf16", "prefill", 512, target=2.0),
    Row("1b-q4_0", "decode", 32, after=16, target=1.25, of_read=0.9),
    Row("1b-q4_k_m", "decode", 32, after=16, target=1.25, of_read=0.9),
    Row("1b-q8_0", "decode", 32, after=16, target=1.25, of_read=0.9),
    Row("1b-f16", "decode", 16, after=16),
    Row("1b-bf16", "decode", 16, after=16),
    Row("1b-q4_0", "prefill", 4096, target=2.5),
    Row("1b-q4_0", "decode", 32, after=4096, target=1.3),
    Row("1b-q4_0", "decode", 32, after=4096, target=1.3, kv="q8_0"),
    Row("1b-q4_0", "together", 16, after=16, target=4.0),
    Row("15m-q8_0", "together", 128, after=16),
    Row("15m-f16", "decode", 256, after=16),
    Row("15m-q8_0", "decode", 256, after=16),
    Row("15m-f16", "public", 256, target=6.0),
    Row("15m-q8_0", "public", 256, target=6.0),
    Row("stories260K", "public", 256, target=8.0),
    Row("SmolLM2-135M-Instruct.Q4_1", "prefill", 512, target=3.0),
    Row("SmolLM2-135M-Instruct.Q4_1", "decode", 128, after=16, target=2.0),
    Row("SmolLM2-135M-Instruct.Q4_1", "public", 128, target=2.0),
    Row("1b-q4_0", "first", target=3.0),
    Row("1b-q4_k_m", "first", target=3.0),
    Row("1b-q8_0", "first", target=3.0),
    Row("stories260K", "python", 256),
)
