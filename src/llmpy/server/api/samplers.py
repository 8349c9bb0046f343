"""The sampler fields of llama.cpp's server that the usual chain has no place for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from llmpy.sampling import (
    Chain,
    Sampler,
    chain,
    dry,
    dynamic_temperature,
    greedy,
    locally_typical,
    min_p,
    mirostat1,
    mirostat2,
    tail_free,
    temperature,
    top_k,
    top_n_sigma,
    top_p,
    xtc,
)
from llmpy.server.errors import ApiError

__all__ = ["MoreSamplers"]

MOST_BREAKERS = 32


class MoreSamplers(msgspec.Struct, kw_only=True):
    """Fields by the names of llama.cpp's server; each one left out, or neutral, adds no step."""

    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_sequence_breakers: list[str] | None = None
    top_n_sigma: float | None = None
    typical_p: float | None = None
    tfs_z: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    dynatemp_range: float | None = None
    dynatemp_exponent: float | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None

    def extended(self, usual: Chain) -> Chain:
        """Put the steps that were asked for into the chain `usual`, in llama.cpp's order.

        DRY follows the penalties, then top-n-sigma, top-k, typical, tail-free, top-p, min-p, XTC
        and the temperature. Mirostat takes the place of all that truncate; at temperature 0 the
        penalties and DRY are all that can change the result. Raises ApiError and SamplerError.
        """
        if self.mirostat not in (None, 0, 1, 2):
            problem = f"mirostat: expected 0, 1 or 2, found {self.mirostat}"
            raise ApiError(400, problem, param="mirostat")
        steps = usual.steps
        truncating = (top_k, top_p, min_p, temperature, greedy)
        before = [step for step in steps if not isinstance(step, truncating)]
        if self.dry_multiplier:
            before.append(self._dry())
        if any(isinstance(step, greedy) for step in steps):
            return chain(*before, greedy())
        heat = [self._heat(step) for step in steps if isinstance(step, temperature)]
        if self.mirostat:
            kind = mirostat1 if self.mirostat == 1 else mirostat2
            return chain(
                *before, *heat, kind(**_given(tau=self.mirostat_tau, eta=self.mirostat_eta))
            )
        if not heat and self.dynatemp_range:
            heat = [self._heat(temperature(1.0))]
        kept: dict[Any, Sampler] = {
            kind: step for step in steps for kind in truncating[:3] if isinstance(step, kind)
        }
        return chain(*before, *self._truncations(kept), *heat)

    def _truncations(self, kept: dict[Any, Sampler]) -> Iterator[Sampler]:
        if self.top_n_sigma is not None and self.top_n_sigma > 0:
            yield top_n_sigma(self.top_n_sigma)
        if top_k in kept:
            yield kept[top_k]
        if self.typical_p is not None and self.typical_p != 1:
            yield locally_typical(self.typical_p)
        if self.tfs_z is not None and self.tfs_z != 1:
            yield tail_free(self.tfs_z)
        for kind in (top_p, min_p):
            if kind in kept:
                yield kept[kind]
        if self.xtc_probability:
            yield xtc(self.xtc_probability, **_given(threshold=self.xtc_threshold))

    def _heat(self, usual: Any) -> Sampler:
        if not self.dynatemp_range:
            return usual  # type: ignore[no-any-return]
        middle, half = usual.temperature, self.dynatemp_range
        exponent = _given(exponent=self.dynatemp_exponent)
        return dynamic_temperature(max(middle - half, 0.0), middle + half, **exponent)

    def _dry(self) -> Sampler:
        breakers = self.dry_sequence_breakers
        if breakers is not None and len(breakers) > MOST_BREAKERS:
            problem = f"expected up to {MOST_BREAKERS} texts, found {len(breakers)}"
            name = "dry_sequence_breakers"
            raise ApiError(400, f"{name}: {problem}", param=name)
        return dry(
            self.dry_multiplier or 0.0,
            **_given(
                base=self.dry_base,
                allowed_length=self.dry_allowed_length,
                last_n=self.dry_penalty_last_n,
                breakers=None if breakers is None else tuple(breakers),
            ),
        )


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
